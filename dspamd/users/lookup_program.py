"""Look-ups by a program."""

from __future__ import annotations

import asyncio
import os

from dspamd.errors import TempFail
from dspamd.offload import process_group
from dspamd.telemetry import log
from dspamd.users.lookup_source import template

_LONGEST_ANSWER = 1023  # bytes


class Program:
    """A program that prints the name of a user, as the first line of its output, or nothing.

    It runs without a shell and with an empty environment; `%u` in the words of `command` is the
    user.  We do not ask it about a name that would be an option there.  Its exit status
    counts only if it printed nothing: if a signal ended it, or it asks for a retry (75), it gave no
    answer.
    """

    def __init__(self, command: str) -> None:
        self._command = [os.fsencode(word) for word in command.split()]
        self._words = [template(word) for word in command.split()]

    async def find(self, name: str) -> str | None:
        words = [os.fsencode(word(name)) for word in self._words]
        if process_group.mistaken(self._command, words) is not None:
            log.get().warning("not_looked_up", user=name, reason="no -- in front of %u in ExtLookupServer")
            return None
        try:
            process = await asyncio.create_subprocess_exec(
                *words,
                env={},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                limit=_LONGEST_ANSWER,
                start_new_session=True,  # so that its children can be ended with it
            )
        except (OSError, ValueError) as error:
            raise TempFail("Unable to look up user", detail=f"{words[0]!r}: {error}") from error
        try:
            line = await _first_line(process)
            status = await process.wait()
        finally:
            await process_group.end(process)
        if not line and (status < 0 or status == os.EX_TEMPFAIL):
            raise TempFail("Unable to look up user", detail=f"{words[0]!r} ended with status {status}")
        return os.fsdecode(line) or None


async def _first_line(process: asyncio.subprocess.Process) -> bytes:
    """The first line that a program prints; the rest is read, too, so that the program can finish."""
    assert process.stdout is not None
    try:
        line = await process.stdout.readline()
    except ValueError as error:
        raise TempFail("Unable to look up user", detail="the answer is too long") from error
    while await process.stdout.read(_LONGEST_ANSWER):
        pass
    return line.rstrip(b"\r\n")
