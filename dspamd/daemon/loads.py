"""The numbers of sessions of all workers, in shared memory.

Workers accept from the same sockets.  The kernel wakes all of them, and the fastest gets
the connection, so by chance one of two could have seven sessions of eight.  These counts
tell a worker that another has less to do, so that it can leave a connection to it.

The counts lie in memory that a supervisor and the workers it forks share.  Each
worker writes its own place only; a count that is read a moment too early costs
nothing but a little balance, so there are no locks.
"""

from __future__ import annotations

import mmap

TOLERANCE = 8  # ignore a difference of one in so many
_ABSENT = -1


class Loads:
    """The counts of `places` workers, all absent at first."""

    def __init__(self, places: int) -> None:
        self._counts = memoryview(mmap.mmap(-1, 8 * places)).cast("q")
        for place in range(places):
            self.vacate(place)

    def vacate(self, place: int) -> None:
        """Mark a place without a worker, so that no worker leaves connections to it."""
        self._counts[place] = _ABSENT

    def own(self, place: int) -> OwnLoad:
        """The count of one worker, beside those of the others."""
        return OwnLoad(self._counts, place)


class OwnLoad:
    """A worker's own count, beside those of the others."""

    def __init__(self, counts: memoryview[int], place: int) -> None:
        self._counts, self._place = counts, place
        self.left = False

    def take(self) -> None:
        """Begin to count, with no session."""
        self._counts[self._place] = 0

    def leave(self) -> None:
        """Stop being counted: other workers need not wait for us."""
        self._counts[self._place] = _ABSENT
        self.left = True

    def add(self, change: int) -> None:
        """A session more, or less."""
        if self._counts[self._place] != _ABSENT:
            self._counts[self._place] += change

    @property
    def others(self) -> int:
        """Sessions of all other workers."""
        return sum(count for count in self._counts if count > 0) - max(0, self._counts[self._place])

    @property
    def ahead(self) -> bool:
        """Whether another worker has fewer sessions, where they are many: clearly fewer."""
        own = self._counts[self._place]
        return any(count >= 0 and count + count // TOLERANCE < own for count in self._counts)
