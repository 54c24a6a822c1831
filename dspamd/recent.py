"""What was found out lately, so that it need not be found out again with every message.

Entries last some seconds; so long may a change of what they were read from take to
have effect.  Their number is bounded: the oldest goes first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

REMEMBERED_SECONDS = 5.0
REMEMBERED_ENTRIES = 10_000

T = TypeVar("T")


class Recent(Generic[T]):
    """Values by name; `clock` gives the time in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._entries: dict[str, tuple[float, T]] = {}

    def get(self, name: str) -> T | None:
        """The value that was put there in the last seconds."""
        until, value = self._entries.get(name, (0.0, None))
        return value if self._clock() < until else None

    def clear(self) -> None:
        """Forget everything: what it was found out from has changed."""
        self._entries.clear()

    def put(self, name: str, value: T) -> None:
        self._entries.pop(name, None)  # so that it counts as the youngest
        if len(self._entries) >= REMEMBERED_ENTRIES:
            del self._entries[next(iter(self._entries))]
        self._entries[name] = (self._clock() + REMEMBERED_SECONDS, value)
