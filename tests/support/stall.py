"""How long an event loop stood still: through its own work, or because a thread held Python's lock.

A time in which the machine was busy with others is no stall.  The kernel counts how long a thread waits
for a processor (the second number of schedstat), and the processor time of this process says how much
of a gap was anybody's work here.
"""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

_TICK_S = 0.01


class Stall:
    """The longest one so far, in seconds."""

    def __init__(self) -> None:
        self.longest_s = 0.0
        self._waits = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat")

    async def watch(self) -> None:
        while True:
            before = self._now()
            await asyncio.sleep(_TICK_S)
            gone, worked, waited = (b - a for a, b in zip(before, self._now(), strict=True))
            self.longest_s = max(self.longest_s, min(gone - _TICK_S - waited, worked))

    def _now(self) -> tuple[float, float, float]:
        """Times in seconds: of the clock, of our work, of waiting for a processor."""
        return time.monotonic(), time.process_time(), int(self._waits.read_text().split()[1]) / 1e9


@asynccontextmanager
async def watched() -> AsyncIterator[Stall]:
    """Watch the running loop meanwhile.

    Python collects no garbage then: that takes as long as all the objects of all tests are many.
    """
    stall = Stall()
    task = asyncio.create_task(stall.watch())
    await asyncio.sleep(_TICK_S)
    gc.disable()
    try:
        yield stall
        await asyncio.sleep(2 * _TICK_S)  # the last gap ends
    finally:
        gc.enable()
        task.cancel()
