"""A stand-in for the daemon that says the lines of a script, and a way to run a client against it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

DEADLINE_S = 30
LARGEST = 1 << 27  # bytes of a message

Turn = tuple[str, bytes]  # "S" and what the daemon says, or "C": the client's turn


class ScriptedDaemon:
    """Plays one side of a dialogue and keeps what the client said, turn by turn."""

    def __init__(self, script: Sequence[Turn]) -> None:
        self.said: list[bytes] = []
        self._script = script

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = False  # the client's turn is a message
        for who, text in self._script:
            if who == "S":
                writer.write(text)
                await writer.drain()
                data = text.startswith(b"354")
                continue
            try:
                self.said.append(await reader.readuntil(b"\r\n.\r\n" if data else b"\n"))
            except asyncio.IncompleteReadError as left:
                self.said.append(left.partial)
                break
        writer.close()


@asynccontextmanager
async def daemon(script: Sequence[Turn], socket: Path) -> AsyncIterator[ScriptedDaemon]:
    """A scripted daemon that listens on a socket path."""
    scripted = ScriptedDaemon(script)
    async with await asyncio.start_unix_server(scripted, socket, limit=LARGEST):
        yield scripted


class Ended(NamedTuple):
    """How a program ended."""

    status: int
    stdout: bytes
    stderr: bytes


async def run(program: str, words: Sequence[str], stdin: bytes, config: Path) -> Ended:
    """Run a command of ours as a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        f"dspamd.commands.{program}",
        *words,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "DSPAM_CONF": str(config)},
    )
    async with asyncio.timeout(DEADLINE_S):
        stdout, stderr = await process.communicate(stdin)
    return Ended(process.returncode or 0, stdout, stderr)
