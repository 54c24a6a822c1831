"""The blocks of owners as their scorers read them: the recently used ones, kept by version.

A message costs one small read of the store, which brings the changes since the version that we have.
Where many changes have gathered, their sum becomes the new base (`fold`).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from cachetools import LRUCache

from dspamd.engine.scorers import Scorer, Weights
from dspamd.storage.contract import Storage, Uid
from dspamd.telemetry import log

FOLD_AFTER = 64
"""Changes that gather before their sum becomes the base: a base is as long as some hundred of them."""

MEMORY_BYTES = 64 * 2**20


@dataclass(slots=True)
class _Remembered:
    """A block up to a version; `whole` unless its base was damaged."""

    version: int
    weights: Weights
    whole: bool = True


class Blocks:
    """The blocks in one store; `memory` bounds those that are kept, in bytes.

    Only the event loop changes weights, and a run reads them without waiting in between.
    """

    def __init__(self, memory: int = MEMORY_BYTES) -> None:
        self._kept: LRUCache[tuple[Uid, str], _Remembered] = LRUCache(memory, getsizeof=_size)

    async def weights(self, storage: Storage, uid: Uid, name: str, scorer: Scorer) -> Weights:
        """What the scorer knows of an owner now.  Raises `TempFail`, `NoBlocks`."""
        kept = self._kept.get((uid, name))
        since = kept.version if kept is not None else 0
        block = await storage.block(uid, name, since=since)
        if block.base is not None or kept is None:
            kept = await _read(uid, name, block.base or b"", block.base_version, scorer)
            since = block.base_version
        for version, change in enumerate(block.changes, since + 1):
            if version == kept.version + 1:  # another task may have been faster
                _add(kept, change, uid, name)
                kept.version = version
        self._keep((uid, name), kept)  # weights grow with what they learn
        if kept.whole and block.version - block.base_version >= FOLD_AFTER and kept.version == block.version:
            await _fold(storage, uid, name, kept)
        return kept.weights

    @property
    def remembered(self) -> int:
        """The number of blocks that are kept."""
        return len(self._kept)

    def _keep(self, key: tuple[Uid, str], kept: _Remembered) -> None:
        if _size(kept) <= self._kept.maxsize:
            self._kept[key] = kept
        else:
            self._kept.pop(key, None)


def _size(kept: _Remembered) -> int:
    return kept.weights.memory


async def _read(uid: Uid, name: str, base: bytes, version: int, scorer: Scorer) -> _Remembered:
    try:
        return _Remembered(version, await asyncio.to_thread(scorer.weights, base))
    except ValueError as error:
        _report_damage(uid, name, version, error)
        return _Remembered(version, scorer.weights(b""), whole=False)


def _add(kept: _Remembered, change: bytes, uid: Uid, name: str) -> None:
    try:
        kept.weights.add(change)
    except ValueError as error:
        _report_damage(uid, name, kept.version + 1, error)


def _report_damage(uid: Uid, name: str, version: int, error: ValueError) -> None:
    cure = "dspam_admin retrain-model USER"
    log.get().error("block_damaged", uid=uid, block=name, version=version, reason=str(error), cure=cure)


async def _fold(storage: Storage, uid: Uid, name: str, kept: _Remembered) -> None:
    """Make the sum of base and changes the base, as of the version that we have."""
    version, weights = kept.version, kept.weights.copy()
    await storage.fold(uid, name, version, await asyncio.to_thread(weights.write))
