"""What a next hop says, and what that means for a message.

Its enhanced status code (RFC 2034, RFC 3463) and its text are passed on, behind the
words of reference/protocols.md 4.3: a sender whose bounce says 5.1.1 knows that nobody
is called so, and a list manager who reads 4.2.2 that the mailbox is full.
"""

from __future__ import annotations

import re

from aiosmtplib import SMTPResponse

from dspamd.errors import PermFail, Reply, TempFail

_ENHANCED = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?: |$)")


def accepted(response: SMTPResponse) -> Reply:
    """A success as the next hop told it."""
    enhanced = _enhanced(response)
    return Reply(response.code, enhanced or "", _text(response, enhanced))


def deferred(text: str, *, enhanced: str | None = None) -> TempFail:
    """The mail is to come again later, for this reason."""
    return TempFail(f"Deferred: {_one_line(text)}", code=450, enhanced=enhanced, reason="deferred")


def refusal(response: SMTPResponse) -> TempFail | PermFail:
    """What a reply of 4xx or 5xx is for us."""
    if response.code >= 500:
        return PermFail(f"Fatal: {_told(response)}", enhanced=_enhanced(response))
    return deferred(_told(response), enhanced=_enhanced(response))


def unwelcome(command: str, response: SMTPResponse) -> TempFail:
    """The next hop will not talk to us: that is never the fault of a message."""
    text = f"{command}: {_told(response)}" if command else _told(response)
    enhanced = _enhanced(response) if response.code < 500 else None
    return TempFail(text, code=450, enhanced=enhanced, reason="deferred")


def _told(response: SMTPResponse) -> str:
    """A reply in one line: its code, its enhanced status code once, and the text of all its lines."""
    enhanced = _enhanced(response)
    return " ".join(filter(None, (f"{response.code:03d}", enhanced, _text(response, enhanced))))


def _enhanced(response: SMTPResponse) -> str | None:
    """The first enhanced status code in a reply; None if it has none that fits its code."""
    found = filter(None, map(_ENHANCED.match, response.message.split("\n")))
    return next((match[1] for match in found if int(match[1][0]) == response.code // 100), None)


def _text(response: SMTPResponse, enhanced: str | None) -> str:
    """The text of all lines, without the enhanced status code that each of them begins with."""
    return _one_line(" ".join(line.removeprefix(enhanced or "") for line in response.message.split("\n")))


def _one_line(text: str) -> str:
    return " ".join(text.split())
