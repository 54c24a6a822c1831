"""The kinds of metrics: a name with its help, and numbers for each combination of label values.

Base units (seconds, bytes).  Labels have few values, all known here; any other value counts as `other`.
Counting takes well below a microsecond and cannot fail.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from dspamd.telemetry.board import Board

OTHER = "other"


class Reading(NamedTuple):
    """The numbers of one combination of label values.

    Those of a histogram are its buckets, not cumulated, and the sum.
    """

    labels: tuple[str, ...]
    numbers: tuple[float, ...]


class Metric:
    """A name with its help, and a place in each row for each combination of label values."""

    width = 1

    def __init__(self, name: str, help: str, **labels: Sequence[str]) -> None:
        self.name, self.help = name, help
        self.labels = tuple(labels)
        self._at: dict[tuple[str, ...], int] = {}
        self._values: Mapping[str, Sequence[str]] = labels
        self._row: memoryview[float] = memoryview(bytearray()).cast("d")  # none before `count_in`
        self._board: Board | None = None

    def place(self, first: int) -> int:
        """Take the places from `first` on; returns the first one after them."""
        for values in itertools.product(*self._values.values()):
            self._at[values] = first
            first += self.width
        return first

    def count_in(self, row: memoryview[float], board: Board | None) -> None:
        """Count in this row, which is one of `board` if other processes count too."""
        self._row, self._board = row, board

    def readings(self) -> list[Reading]:
        """The numbers of all processes together, for each combination of label values."""
        rows = self._rows()
        return [
            Reading(values, tuple(self._join(row[at + step] for row in rows) for step in range(self.width)))
            for values, at in self._at.items()
        ]

    def _rows(self) -> list[memoryview[float]]:
        return self._board.rows() if self._board else [self._row]

    def _join(self, numbers: Iterable[float]) -> float:
        return sum(numbers)

    def _other(self, values: tuple[str, ...]) -> int:
        """The place of label values of which some are unknown: those count as `other`."""
        known = zip(values, self._values.values(), strict=True)
        return self._at[tuple(value if value in allowed else OTHER for value, allowed in known)]


class Counter(Metric):
    """A number that only rises."""

    def add(self, *values: str, by: float = 1.0) -> None:
        at = self._at.get(values, -1)
        self._row[at if at >= 0 else self._other(values)] += by


class Gauge(Metric):
    """A number that rises and falls; only living processes count."""

    def add(self, *values: str, by: float) -> None:
        at = self._at.get(values, -1)
        self._row[at if at >= 0 else self._other(values)] += by

    @contextmanager
    def counted(self, *values: str) -> Iterator[None]:
        """Count one more while the body runs."""
        self.add(*values, by=1)
        try:
            yield
        finally:
            self.add(*values, by=-1)

    def _rows(self) -> list[memoryview[float]]:
        return self._board.rows(living=True) if self._board else [self._row]

    def reset(self) -> None:
        """Reset the values that a dead owner of our row left."""
        for at in self._at.values():
            self._row[at] = 0.0


class Latest(Metric):
    """The time of the last event, in seconds since 1970; 0: none yet."""

    def set(self, when: float) -> None:
        self._row[self._at[()]] = when

    def _join(self, numbers: Iterable[float]) -> float:
        return max(numbers)


class Histogram(Metric):
    """Counts of values by bucket; `bounds` are the upper ends of the buckets but the last."""

    def __init__(self, name: str, help: str, bounds: Sequence[float], **labels: Sequence[str]) -> None:
        super().__init__(name, help, **labels)
        self.bounds = tuple(bounds)
        self.width = len(bounds) + 2

    def observe(self, value: float, *values: str) -> None:
        at, row = self._at.get(values, -1), self._row
        if at < 0:
            at = self._other(values)
        row[at + bisect_left(self.bounds, value)] += 1.0
        row[at + self.width - 1] += value
