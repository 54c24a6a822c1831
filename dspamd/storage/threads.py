"""Threads for stores whose library blocks: one lane of work for each key.

Everything done with one key (a user's database file) happens in one thread, in the
order in which it was asked for, so what is kept open for that key needs no locks.
The number of threads is fixed; different keys share them.

A call returns within its deadline or raises `TempFail`.  Work that waits for its
turn when the deadline passes is never begun.  A thread cannot be stopped from
outside: work that has begun must watch the deadline itself.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from dspamd.errors import TempFail

T = TypeVar("T")


class Threads:
    """`count` threads, each with a lane of work of its own."""

    def __init__(self, name: str, count: int, deadline_s: float) -> None:
        self._lanes = [ThreadPoolExecutor(1, f"{name}-{n}") for n in range(count)]
        self._deadline_s = deadline_s

    def __len__(self) -> int:
        return len(self._lanes)

    def lane(self, key: object) -> int:
        """The number of the lane in which everything with this key is done."""
        return hash(key) % len(self._lanes)

    async def run(self, lane: int, work: Callable[[float], T]) -> T:
        """The result of `work`, which is told when to be done (`time.monotonic()`).

        Raises `TempFail` if it is not done by then, else what the work raises.
        """
        until = time.monotonic() + self._deadline_s
        result = asyncio.get_running_loop().run_in_executor(self._lanes[lane], work, until)
        done, _ = await asyncio.wait((result,), timeout=self._deadline_s)
        if not done:
            result.cancel()
            raise TempFail("Storage is busy", detail=f"no answer within {self._deadline_s} s")
        return result.result()

    def stop(self) -> None:
        """Take no more work; what waits is dropped, the threads end with what they do."""
        for lane in self._lanes:
            lane.shutdown(wait=False, cancel_futures=True)
