"""The end of a program that we started and that does not end by itself.

Programs of the site (delivery agents, look-ups) are started in a session of their
own, so that those which they start can be ended with them.  Whoever starts one sees
to it that it is gone afterwards, whatever happened: deadlines and clients that left
must leave no processes behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal

_REAP_S = 5.0
_PIECE = 65536


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
