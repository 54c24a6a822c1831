"""Failures that already know their answer.

A failure is born where it happens, with the reply that the sending mail server gets, the exit status
that a calling program gets, and the reason that metrics count.  `TempFail` keeps the mail where it is
(its sender tries again), `PermFail` returns it to its sender.  Any other exception is our own
bug: the server logs its traceback and answers it like a `TempFail` (`INTERNAL`), because no bug may
cost a message.

Replies follow RFC 5321 4.2 with the enhanced codes of RFC 3463; exit statuses
follow sysexits.h, which Postfix pipe(8), procmail and maildrop understand.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reply:
    """One SMTP or LMTP reply: code, enhanced status code, text for the peer."""

    code: int
    enhanced: str
    text: str

    @property
    def ok(self) -> bool:
        return 200 <= self.code < 300

    def __str__(self) -> str:
        return " ".join(filter(None, (f"{self.code:03d}", self.enhanced, self.text)))


class Failure(Exception):
    """An operation that failed, and the answer to the peer.

    `text` is for the peer, so it stays generic; `detail` goes to the log; metrics count failures by `reason`.
    """

    code = 451
    enhanced = "4.3.0"
    exit_status = os.EX_TEMPFAIL
    reason = "other"

    def __init__(
        self,
        text: str,
        *,
        detail: str = "",
        code: int | None = None,
        enhanced: str | None = None,
        exit_status: int | None = None,
        reason: str | None = None,
    ) -> None:
        super().__init__(f"{text}: {detail}" if detail else text)
        self.text = text
        self.detail = detail
        self.reply = Reply(code or self.code, enhanced or self.enhanced, text)
        self.exit_status = self.exit_status if exit_status is None else exit_status
        self.reason = reason or self.reason


class TempFail(Failure):
    """Try again later: the mail stays where it is (451, exit 75)."""


class PermFail(Failure):
    """Trying again would not help: 550, exit 69."""

    code = 550
    enhanced = "5.3.0"
    exit_status = os.EX_UNAVAILABLE
    reason = "refused"


class InvalidName(PermFail):
    """A name that no store can keep: its user has no dictionary, but may get mail."""

    code = 553
    enhanced = "5.1.3"

    def __init__(self, detail: str) -> None:
        super().__init__("Invalid user name", detail=detail)


INTERNAL = Reply(451, "4.3.0", "Internal error, please try again later")


_SHOWN = 600  # characters of a problem
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))} | {ord("\n"): " "}


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault in a configuration file; its text may quote any bytes of the file."""

    file: str
    line: int
    text: str

    def __post_init__(self) -> None:
        text = self.text if len(self.text) <= _SHOWN else f"{self.text[:_SHOWN]}..."
        object.__setattr__(self, "text", text.translate(_CONTROLS))

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}" if self.line else f"{self.file}: {self.text}"


class ConfigError(Exception):
    """A configuration that cannot be used, with all its problems (exit 78).

    `warnings` alone would not stop the daemon.  They belong here all the same: an unknown directive
    may be the misspelled one whose absence is the error.
    """

    exit_status = os.EX_CONFIG

    def __init__(self, problems: Sequence[Problem], warnings: Sequence[Problem] = ()) -> None:
        super().__init__("\n".join([*map(str, problems), *(f"warning: {each}" for each in warnings)]))
        self.problems = problems


class UsageError(Exception):
    """A command line that no program can carry out; DSPAM exits 1 here."""

    exit_status = 1
