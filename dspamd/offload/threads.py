"""Work that takes longer than a few milliseconds is done in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


_BRIEF = 64 * 1024
"""Bytes of a message, or of its tokens, that take less than a few milliseconds."""


def brief(size: int) -> bool:
    """Whether work on so many bytes may be done on the event loop."""
    return size <= _BRIEF


async def aside(size: int, work: Callable[[], T]) -> T:
    """Do some work: here if it is brief for its size in bytes, else in a thread."""
    return work() if brief(size) else await asyncio.to_thread(work)
