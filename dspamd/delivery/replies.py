"""Replies of the next hop, and their meaning for a message.

Our reply has the next hop's enhanced status code (RFC 2034, RFC 3463) and text, after the
words of reference/protocols.md 4.3.  So a bounce with 5.1.1 tells the sender that the user
does not exist, and 4.2.2 tells a list manager that the mailbox is full.
"""

from __future__ import annotations

import re

from aiosmtplib import SMTPResponse

from dspamd.errors import PermFail, Reply, TempFail

_ENHANCED = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?: |$)")
_UNPRINTABLE = re.compile(r"[^\t\n\r -~]")
_TEXT_LENGTH = 400  # characters: a reply line has at most 512 with its code and our own words


def accepted(response: SMTPResponse) -> Reply:
    """A success in the words of the next hop."""
    enhanced = _enhanced(response)
    return Reply(response.code, enhanced or "", _text(response, enhanced))


def deferred(text: str, *, enhanced: str | None = None) -> TempFail:
    """A temporary failure, for this reason."""
    return TempFail(f"Deferred: {_one_line(text)}", code=450, enhanced=enhanced, reason="deferred")


def refusal(response: SMTPResponse) -> TempFail | PermFail:
    """The failure that a reply of 4xx or 5xx means for us."""
    if response.code >= 500:
        return PermFail(f"Fatal: {_told(response)}", enhanced=_enhanced(response))
    return deferred(_told(response), enhanced=_enhanced(response))


def unwelcome(command: str, response: SMTPResponse) -> TempFail:
    """The failure when the next hop refuses to talk to us, which is never the fault of a message."""
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
    """A text that fits into one reply line, whatever the next hop wrote (RFC 5321 4.5.3.1.5)."""
    return " ".join(_UNPRINTABLE.sub("?", text[: 2 * _TEXT_LENGTH]).split())[:_TEXT_LENGTH].rstrip()
