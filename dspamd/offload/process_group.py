"""Programs of the site (delivery agents, look-ups): their arguments and their end.

Their command lines have addresses and users, which strangers choose.  A program must not take
one of these for an option.

Each program runs in its own session, so that the daemon can also end the program's children.
The caller always ends the program: no process is left after a deadline or a client that left.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence

_REAP_S = 5.0
_PIECE = 65536


def mistaken(command: Sequence[bytes], words: Sequence[bytes]) -> bytes | None:
    """The first of `words` that a program would take for an option though `command` has none there.

    After a `--` of the command there are no options any more (POSIX, utility syntax guideline 10).
    The administrator who wrote the command knows whether the program supports it.
    """
    for wanted, word in zip(command, words, strict=True):
        if wanted == b"--":
            return None
        if word.startswith(b"-") and not wanted.startswith(b"-"):
            return word
    return None


async def end(process: asyncio.subprocess.Process) -> None:
    """Kill a program with all its children, and wait for its end.

    The caller must have started it with `start_new_session`.
    """
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_REAP_S):
            # A pipe closes when we have read it to its end.
            while process.stdout is not None and await process.stdout.read(_PIECE):
                pass
            await process.wait()
