"""Blocks: the knowledge of a scorer about an owner, beside totals and hits, as versioned bytes.

A block has a base and changes to it.  Each change has the next version, without gaps.
`fold` puts the sum of base and changes in the place of the base, and drops those changes.
Stores do not look into the bytes: the scorer knows how a change is joined to a base.

A block gets its first version by the clock (`first_version`), so a block that is made again
for a deleted owner has none of the versions that a reader may still remember.

Pure.
"""

from __future__ import annotations

import re
import time
from typing import NamedTuple

from dspamd.errors import TempFail

LIMIT_BYTES = 2**20
"""Size of a base, or of one change, that every store accepts."""

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")  # a name becomes that of a file, too


class BlockChange(NamedTuple):
    """Bytes to append to the block of that name, within the limits of `checked`."""

    name: str
    data: bytes


class Block(NamedTuple):
    """The part of a block that a reader lacks.

    If `base` is None, the reader keeps their base, and `changes` follow the version that they
    asked for.  Otherwise the reader replaces it by this base, which `changes` follow.
    """

    version: int  # 0: there is no such block
    base_version: int
    base: bytes | None
    changes: tuple[bytes, ...]


NO_BLOCK = Block(0, 0, b"", ())


class NoBlocks(TempFail):
    """The store has no tables for blocks, and the site does not let the driver make or use them.

    The store is as it was.  `reason` also says what the administrator has to do.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(
            "Storage is not available",
            detail=f"Algorithm joint and logistic need table dspamd_block: {reason}",
        )


def checked(name: str, data: bytes = b"") -> str:
    """The name.  Raises ValueError for a name or data that not every store can keep."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"block {name!r}: a name has up to 32 characters, a-z first, then also 0-9 _ -")
    if len(data) > LIMIT_BYTES:
        raise ValueError(f"block {name}: {len(data)} bytes, {LIMIT_BYTES} are allowed")
    return name


def first_version() -> int:
    """The version of a block that is made now, before its first change: microseconds since 1970-01-01."""
    return time.time_ns() // 1000


def begins_anew(since: int, base_version: int, version: int) -> bool:
    """Whether a reader at `since` needs the base: theirs is older, or of another life of the block."""
    return not base_version <= since <= version
