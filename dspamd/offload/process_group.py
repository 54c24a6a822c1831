"""Programs of the site (delivery agents, look-ups): what they are told, and how they end.

Words of their command lines stand for addresses and users, which strangers choose: none
of these must be taken for an option.

They are started in a session of their own, so that those which they start can be ended
with them.  Whoever starts one sees to it that it is gone afterwards, whatever happened:
deadlines and clients that left must leave no processes behind.
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

    Behind a `--` of the command there are no options any more (POSIX, utility syntax guideline 10);
    whether a program knows it is known to whoever wrote the command.
    """
    for wanted, word in zip(command, words, strict=True):
        if wanted == b"--":
            return None
        if word.startswith(b"-") and not wanted.startswith(b"-"):
            return word
    return None


async def end(process: asyncio.subprocess.Process) -> None:
    """Kill a program, with all that it started, and wait for its end; if it has ended, let go of it.

    It must have been started with `start_new_session`.
    """
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_REAP_S):
            # A pipe is closed when it has been read to its end.
            while process.stdout is not None and await process.stdout.read(_PIECE):
                pass
            await process.wait()
