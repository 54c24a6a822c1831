"""The time that each stage of a message takes: the pipeline sets a mark at the end of each stage."""

from __future__ import annotations

import time
from collections.abc import Callable


class Stopwatch:
    """Runs from its construction.  `seconds` are those of each stage so far; a stage may come back.

    `before` has the seconds of earlier stages, which `total` does not contain.
    """

    __slots__ = ("_clock", "_last", "_started", "seconds")

    def __init__(self, clock: Callable[[], float] = time.perf_counter, **before: float) -> None:
        self._clock = clock
        self._started = self._last = clock()
        self.seconds = dict(before)

    def mark(self, stage: str) -> None:
        """Add the time since the last mark to this stage."""
        now = self._clock()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._last
        self._last = now

    @property
    def total(self) -> float:
        """Seconds from the beginning to the last mark."""
        return self._last - self._started
