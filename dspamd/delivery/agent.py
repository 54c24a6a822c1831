"""Hands a message to a program: TrustedDeliveryAgent, UntrustedDeliveryAgent, QuarantineAgent.

The program runs without a shell, and reads the message with LF line ends from its
standard input.  Its exit status says whether it took the message.  It inherits our
standard output and error.

The words `%u`, `$u`, `%r` and `%s` of the command are replaced by user, recipient and
sender; inside a longer word they stay as they are (reference/cli.md 3.10).

An address that begins with `-` would be an option there: the agent refuses it, unless the
command has the word `--` somewhere in front of it.

A status other than 0 is a temporary failure, or with LMTPLDAErrorsPermanent a permanent one.
Always temporary are 75 (EX_TEMPFAIL), death by a signal, a program that does not start, and a
program that takes too long.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence

from dspamd.errors import PermFail, Reply, TempFail
from dspamd.filter.outlet import Handover
from dspamd.offload import process_group
from dspamd.request.command_line import split

_SYSEXITS = range(os.EX_USAGE, os.EX_CONFIG + 1)


class Agent:
    """A command that takes one user's messages.

    `command` is as configured, `arguments` come from the caller; both are split at blanks.
    `timeout_s` limits the whole delivery.
    """

    def __init__(
        self,
        command: str,
        arguments: Sequence[str] = (),
        *,
        user: str,
        timeout_s: float,
        errors_permanent: bool = False,
    ) -> None:
        self._words = split(command)
        for argument in arguments:
            self._words += argument.split() or [""]
        self._user = user
        self._timeout_s = timeout_s
        self._errors_permanent = errors_permanent

    async def deliver(self, handover: Handover) -> Reply:
        """Run the command on a message.  Raises `TempFail`, `PermFail`."""
        if not self._words:
            raise TempFail("Unable to run delivery agent", detail="none is configured")
        words = self._command_line(handover)
        try:
            process = await asyncio.create_subprocess_exec(
                *words,
                stdin=asyncio.subprocess.PIPE,
                start_new_session=True,  # so that a kill reaches its children
            )
        except (OSError, ValueError) as error:
            raise TempFail("Unable to run delivery agent", detail=f"{self._words[:1]}: {error}") from error
        try:
            async with asyncio.timeout(self._timeout_s):
                await _fed(process, handover.content.replace(b"\r\n", b"\n"))
        except TimeoutError as error:
            raise TempFail("Delivery agent took too long", detail=" ".join(self._words)) from error
        finally:
            await process_group.end(process)
        return self._reply(process.returncode or 0)

    async def close(self) -> None:
        """Do nothing: an agent keeps nothing between messages."""

    def _command_line(self, handover: Handover) -> list[bytes]:
        """The words with their values.  Raises `PermFail` if a value would become an option."""
        user = os.fsencode(self._user)
        stands_for = {"%u": user, "$u": user, "%r": handover.recipient or user, "%s": handover.sender}
        # The original's manual writes them with a backslash against the shell.
        stands_for |= {f"\\{word}": value for word, value in stands_for.items()}
        words = [stands_for.get(word, os.fsencode(word)) for word in self._words]
        option = process_group.mistaken([os.fsencode(word) for word in self._words], words)
        if option is not None:
            raise PermFail(
                f"The delivery agent would take {os.fsdecode(option)} for an option",
                detail=f"no -- in front of it: {' '.join(self._words)}",
                enhanced="5.1.7" if option == handover.sender else "5.1.3",
            )
        return words

    def _reply(self, status: int) -> Reply:
        if status == 0:
            return Reply(250, "2.0.0", "Delivered")
        detail = " ".join(self._words)
        if status < 0:
            raise TempFail(f"Delivery agent died by signal {-status}", detail=detail)
        text = f"Delivery agent returned exit code {status}"
        if self._errors_permanent and status != os.EX_TEMPFAIL:
            raise PermFail(text, detail=detail, exit_status=status if status in _SYSEXITS else None)
        raise TempFail(text, detail=detail)


async def _fed(process: asyncio.subprocess.Process, content: bytes) -> None:
    """Send a message to a program, as much of it as it reads, and wait for its end."""
    try:
        await process.communicate(content)
    except RuntimeError:  # uvloop's error for a program that ended before it read anything
        await process.wait()
