"""What is asked of us for one message: the options of `dspam` as a value.

The same words arrive in three ways: on the command line of `dspam`, as
`ServerParameters` for mail that comes by LMTP, and as `DSPAMPROCESSMODE` from
`dspamc`.  reference/cli.md 3 describes them.
"""

from __future__ import annotations

from dataclasses import dataclass

from dspamd.engine.model import Lesson, Mode


@dataclass(frozen=True, slots=True)
class Request:
    """The options of one run, checked."""

    users: tuple[str, ...] = ()
    recipients: tuple[str, ...] = ()
    sender: bytes = b""
    lesson: Lesson | None = None
    classify: bool = False
    mode: Mode | None = None  # None: as configured
    features: tuple[str, ...] | None = None  # None: as configured
    deliver_innocent: bool = False
    deliver_spam: bool = False
    summary: bool = False
    stdout: bool = False
    signature: str | None = None
    profile: str | None = None
    agent_arguments: tuple[str, ...] = ()
