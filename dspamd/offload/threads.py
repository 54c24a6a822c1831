"""Threads for work that takes longer than a few milliseconds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


_BRIEF = 64 * 1024
"""Bytes of a message, or of its tokens, that take less than a few milliseconds."""


def brief(size: int) -> bool:
    """Whether the event loop may do work on so many bytes."""
    return size <= _BRIEF


async def aside(size: int, work: Callable[[], T]) -> T:
    """Do some work: here if its size in bytes makes it brief, else in a thread."""
    return work() if brief(size) else await asyncio.to_thread(work)
