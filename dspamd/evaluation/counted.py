"""How much a scorer writes: a store that counts what is asked of it, and the CPU time that this takes.

A row is one of a token, of the totals, of a signature, of a correction, or a change of a block.  Bytes
are those of the values themselves, without indexes and page headers: 16 of a token, 64 of the totals.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from dspamd.engine.model import Learned, Snapshot
from dspamd.storage.contract import Change, Uid
from dspamd.storage.memory import MemoryStorage

TOKEN_BYTES = 16
_TOTALS_BYTES = 64
_NOTHING = Learned.nothing().totals


@dataclass(slots=True)
class Written:
    """Rows and bytes that were written."""

    rows: int = 0
    bytes: int = 0

    def add(self, rows: int, size: int) -> None:
        self.rows += rows
        self.bytes += size


class CountedStorage(MemoryStorage):
    """A store in memory that counts what it writes.  `seconds` of CPU went into reading and changing it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = Written()
        self.seconds = 0.0

    def __getstate__(self) -> tuple[object, ...]:
        return (*super().__getstate__(), self.written, self.seconds)

    def __setstate__(self, state: tuple[object, ...]) -> None:
        *kept, self.written, self.seconds = state  # type: ignore[assignment]
        super().__setstate__(tuple(kept))

    @contextmanager
    def _timed(self) -> Iterator[None]:
        started = time.process_time()
        try:
            yield
        finally:
            self.seconds += time.process_time() - started

    async def read(self, uid: Uid, tokens: array[int]) -> Snapshot:
        with self._timed():
            return await super().read(uid, tokens)

    async def apply(self, uid: Uid, change: Change) -> None:
        with self._timed():
            await super().apply(uid, change)
        tokens, totals = len(change.learned.tokens.tokens), change.learned.totals != _NOTHING
        self.written.add(tokens + totals, TOKEN_BYTES * tokens + _TOTALS_BYTES * totals)
        if change.signature is not None:
            self.written.add(1, len(change.signature.data))
        block = 0 if change.block is None else len(change.block.data)
        if change.correct is not None:  # what was changed in effect is kept with it
            self.written.add(1, TOKEN_BYTES * tokens + _TOTALS_BYTES + block)
        if change.block is not None:
            self.written.add(1, block)

    async def fold(
        self, uid: Uid, name: str, version: int, data: bytes, *, expected: int | None = None
    ) -> bool:
        folded = await super().fold(uid, name, version, data, expected=expected)
        if folded:
            self.written.add(1, len(data))
        return folded
