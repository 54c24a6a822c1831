"""Numbers in memory that a process shares with those it forks, a row for each process.

A process holds its row by a lock, which the kernel takes back when the process ends.  A process
that takes the place of a dead one goes on with its row, so counters never fall.
"""

from __future__ import annotations

import fcntl
import itertools
import mmap
import os

ROWS = 512


class Board:
    """`rows` rows of `width` numbers."""

    def __init__(self, width: int, rows: int = ROWS) -> None:
        self._width, self._rows = 1 + width, rows
        self._file = os.memfd_create("metrics")
        os.ftruncate(self._file, 8 * self._width * rows)
        self._cells = memoryview(mmap.mmap(self._file, 0)).cast("d")
        self._own = -1

    def claim(self) -> memoryview[float]:
        """A row of our own; if all are taken, one that no other process sees."""
        for number in range(self._rows):
            if self._lock(number):
                self._own = number
                self._cells[number * self._width] = 1.0  # it is in use
                return self._row(number)
        return memoryview(bytearray(8 * self._width)).cast("d")[1:]

    def rows(self, *, living: bool = False) -> list[memoryview[float]]:
        """All rows that were ever in use, or only those of living processes."""
        used = itertools.takewhile(lambda number: self._cells[number * self._width], range(self._rows))
        return [self._row(number) for number in used if not living or self._lives(number)]

    def _row(self, number: int) -> memoryview[float]:
        return self._cells[number * self._width + 1 : (number + 1) * self._width]

    def _lives(self, number: int) -> bool:
        if number == self._own:
            return True
        if not self._lock(number):
            return True
        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, number)
        return False

    def _lock(self, number: int) -> bool:
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
        except OSError:
            return False
        return True
