"""A cache of a few seconds for answers that every message asks for.

A change of their source can take that long to apply.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from cachetools import TTLCache

SECONDS = 5.0
ENTRIES = 10_000

T = TypeVar("T")


def cache(clock: Callable[[], float]) -> TTLCache[str, T]:
    """A cache by name; `clock` gives the time in seconds.  The oldest of too many entries goes first."""
    return TTLCache(ENTRIES, SECONDS, timer=clock)
