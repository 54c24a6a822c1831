"""Threads for stores whose library blocks: one lane of work for each key.

One thread does everything with one key (a user's database file), in the order of the
requests, so the files that are open for that key need no locks.
The number of threads is fixed; different keys share them.

A call returns within its deadline or raises `TempFail`.  Work that waits for its
turn when the deadline passes is never begun.  A thread cannot be stopped from
outside: work that has begun must watch the deadline itself.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Generic, TypeVar, cast

from dspamd.errors import TempFail

T = TypeVar("T")


class Threads:
    """`count` threads, each with a lane of work of its own; `idle` waits `patience_s` at most."""

    def __init__(self, name: str, count: int, deadline_s: float, *, patience_s: float = 0.005) -> None:
        self._lanes = [_Lane(f"{name}-{n}") for n in range(count)]
        self._unfinished = [0] * count
        self._awaited: list[list[asyncio.Future[None]]] = [[] for _ in range(count)]
        self._deadline_s = deadline_s
        self._patience_s = patience_s

    def __len__(self) -> int:
        return len(self._lanes)

    def lane(self, key: object) -> int:
        """The number of the lane in which everything with this key is done."""
        return hash(key) % len(self._lanes)

    async def idle(self, lane: int) -> bool:
        """Whether nothing is done in a lane, nor will be before the caller lets others have their turn.

        The event loop may then do work that does not block itself, as if it were that thread.
        That is so much cheaper that it is worth a short wait.
        """
        if self._unfinished[lane]:
            loop = asyncio.get_running_loop()
            rest = loop.create_future()
            self._awaited[lane].append(rest)
            timer = loop.call_later(self._patience_s, _resolve, rest)
            try:
                await rest
            finally:
                timer.cancel()
        return not self._unfinished[lane]

    async def run(self, lane: int, work: Callable[[float], T], deadline_s: float | None = None) -> T:
        """The result of `work`, which gets its deadline (`time.monotonic()`): the usual one, unless
        `deadline_s` says otherwise.

        Raises `TempFail` if it is not done by then, and the exceptions of the work.
        """
        task = _Task(work, deadline_s or self._deadline_s)
        self._unfinished[lane] += 1
        self._lanes[lane].put(partial(task, partial(self._finished, lane)))
        return await task.result_in_time()

    def _finished(self, lane: int) -> None:
        self._unfinished[lane] -= 1
        if not self._unfinished[lane]:
            for rest in self._awaited[lane]:
                _resolve(rest)
            self._awaited[lane].clear()

    def stop(self) -> None:
        """Take no more work; drop waiting work, and end the threads after their current work."""
        for lane in self._lanes:
            lane.stop()


class _Lane:
    """One thread, and the work that waits for it; an executor takes longer to hand it over."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: Thread | None = None
        self._stopped = False

    def put(self, work: Callable[[], None]) -> None:
        if self._stopped:
            raise RuntimeError(f"{self._name} was stopped")
        if self._thread is None:  # made when it is needed: a supervisor forks, threads would be lost
            self._thread = Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        self._work.put(work)

    def stop(self) -> None:
        """Drop waiting work; the thread ends after its current work."""
        self._stopped = True
        self._work.put(None)

    def _run(self) -> None:
        while (work := self._work.get()) is not None and not self._stopped:
            work()


class _Task(Generic[T]):
    """Work on its way through a thread and back; asyncio's own way there takes three times as long."""

    def __init__(self, work: Callable[[float], T], deadline_s: float) -> None:
        self._work, self._deadline_s = work, deadline_s
        self._until = time.monotonic() + deadline_s
        self._expired = False
        self._loop = asyncio.get_running_loop()
        self._result: asyncio.Future[T] = self._loop.create_future()

    async def result_in_time(self) -> T:
        timer = self._loop.call_later(self._deadline_s, self._expire)
        try:
            return await self._result
        finally:
            timer.cancel()

    def __call__(self, finished: Callable[[], None]) -> None:
        """Do the work, in its thread; afterwards the loop calls `finished`."""
        result = error = None
        if not self._expired:
            try:
                result = self._work(self._until)
            except BaseException as raised:
                error = raised
        with suppress(RuntimeError):  # the loop has ended, and no caller waits any more
            self._loop.call_soon_threadsafe(self._settle, finished, cast(T, result), error)

    def _expire(self) -> None:
        """Cancel work that has not begun by now."""
        self._expired = True
        if not self._result.done():
            busy = TempFail("Storage is busy", detail=f"no answer within {self._deadline_s} s")
            self._result.set_exception(busy)

    def _settle(self, finished: Callable[[], None], result: T, error: BaseException | None) -> None:
        finished()
        if self._result.done():
            return
        if error is None:
            self._result.set_result(result)
        elif time.monotonic() > self._until:  # work that notices this ends with an error of its library
            self._expire()
        else:
            self._result.set_exception(error)


def _resolve(rest: asyncio.Future[None]) -> None:
    if not rest.done():
        rest.set_result(None)
