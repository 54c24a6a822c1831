"""The usage of dspam and dspamc, and their complaints about messages that they could not filter.

`dspamc` imports this module, and must start fast: the module loads nothing before there is trouble.
"""

from __future__ import annotations

import os
import sys

from dspamd.request import command_line


class Trouble(Exception):
    """A failure, with our exit status and that of DSPAM 3.10.2.

    `final`: the command must not print the mail as it came, because the filter refused it, or
    because the command does not have all of it.
    """

    def __init__(
        self, text: str, status: int = os.EX_TEMPFAIL, classic: int = 251, *, final: bool = False
    ) -> None:
        super().__init__(text)
        self.status = status
        self.classic = classic
        self.final = final


class WrongUsage(Trouble):
    """A command line that cannot be carried out (exit 1)."""

    def __init__(self, text: str) -> None:
        super().__init__(text, 1, 1)


def status_of_pass(trouble: Trouble, *, again: bool, strict: bool = False) -> int:
    """The exit status after printing a mail as it came: 0, unless the caller must do something.

    The mail is delivered, but the status must report wrong usage, output that could not be written, and a
    call that the caller must make `again`, such as a lesson that was not learned.
    """
    if trouble.final or again or isinstance(trouble, WrongUsage):
        return trouble.classic if strict else trouble.status
    return os.EX_OK


def unprintable(error: OSError) -> Trouble:
    """Standard output takes nothing: it is full, or closed."""
    return Trouble(f"standard output: {error.strerror or error}", final=True)


def answered_help(given: list[str], items: list[command_line.Item]) -> bool:
    """Answer a caller who asks for the usage; --help, as in DSPAM, on stderr."""
    if given != ["-h"] and not command_line.values(items, "help"):
        return False
    (sys.stdout if given == ["-h"] else sys.stderr).write(command_line.SYNTAX)
    return True


def tell(program: str, text: str) -> None:
    """Write a line to standard error and to syslog, because pipes lose the former.  Never raises."""
    from contextlib import suppress

    from dspamd.telemetry.log_target import Syslog

    line = "".join(character if character.isprintable() else " " for character in text)
    if sys.stderr is not None:
        with suppress(OSError):
            sys.stderr.write(f"{program}: {line}\n")
    Syslog(program).write("warning", line)


def hold_standard_streams() -> None:
    """Open the standard streams that are closed, or other files would take their place.

    It opens them for reading: a write to a closed stream must fail.
    """
    while (opened := os.open(os.devnull, os.O_RDONLY)) <= 2:
        os.set_inheritable(opened, True)  # for delivery agents
    os.close(opened)
