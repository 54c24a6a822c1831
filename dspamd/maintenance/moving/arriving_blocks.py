"""Blocks of a user out of an archive.

Only the scorer of a block can add two of them: it adds the block of the archive to the one in the store, and
the sum becomes the base, in one step.  A block without a scorer is copied, if the store has none.

We note the version of that step before it.  After an interruption, the version shows whether it was done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from dspamd.engine.model import Learned
from dspamd.engine.scorers import SCORERS, Scorer
from dspamd.maintenance.moving.archive import Record, unpacked
from dspamd.storage.block import checked, first_version
from dspamd.storage.contract import Block, BlockChange, Change, Storage, Uid

AHEAD = 1 << 20
"""Versions between what workers may remember of a block and one that took its place."""


@dataclass(slots=True)
class _Arrived:
    """A block as the archive has it."""

    name: str
    base: bytes
    changes: list[bytes] = field(default_factory=list)


class ArrivingBlocks:
    """Takes the records of blocks for an owner.

    `versions` are those that were noted by an interrupted import; `note` keeps another one with them.
    """

    def __init__(
        self,
        storage: Storage,
        uid: Uid,
        versions: Mapping[str, int],
        note: Callable[[str, int], Awaitable[None]],
    ) -> None:
        self._storage, self._uid, self._versions, self._note = storage, uid, versions, note
        self._arrived: _Arrived | None = None
        self.left_out: list[str] = []

    async def take(self, record: Record) -> None:
        """Use a record of kind `block` or `change`.  Raises ValueError for one that cannot be, `TempFail`."""
        if "block" in record:
            await self.end()
            self._arrived = _Arrived(checked(record["block"]), unpacked(record["base"]))
        elif self._arrived is None or self._arrived.name != record["of"]:
            raise ValueError(f"a change of {record['of']} without its block")
        else:
            self._arrived.changes.append(unpacked(record["change"]))

    async def end(self) -> None:
        """Bring the last block.  Raises ValueError if it is damaged, `NoBlocks`, `TempFail`."""
        if self._arrived is None:
            return
        arrived, self._arrived = self._arrived, None
        there = await self._storage.block(self._uid, arrived.name)
        version = self._versions.get(arrived.name, 0)
        if not version:
            version = max(there.version + AHEAD, first_version())
            await self._note(arrived.name, version)
        scorer = next((each for each in SCORERS.values() if each.block == arrived.name), None)
        if scorer is not None:
            await self._join(scorer, there, arrived, version)
        elif there.version and there.base_version != version:
            self.left_out.append(arrived.name)
        else:
            await self._storage.fold(self._uid, arrived.name, version, arrived.base)
            for data in arrived.changes[len(there.changes) :]:
                change = Change(Learned.nothing(), block=BlockChange(arrived.name, data))
                await self._storage.apply(self._uid, change)

    async def _join(self, scorer: Scorer, there: Block, arrived: _Arrived, version: int) -> None:
        """Add it to the one in the store, once more if the user has learned something meanwhile."""
        while there.base_version < version:
            joined = await asyncio.to_thread(_joined, scorer, there, arrived)
            if await self._storage.fold(self._uid, arrived.name, version, joined, expected=there.version):
                return
            there = await self._storage.block(self._uid, arrived.name)


def _joined(scorer: Scorer, there: Block, arrived: _Arrived) -> bytes:
    """The base that has both.  Raises ValueError if one is damaged."""
    ours, theirs = scorer.weights(there.base or b""), scorer.weights(arrived.base)
    for change in there.changes:
        ours.add(change)
    for change in arrived.changes:
        theirs.add(change)
    ours.merge(theirs)
    return ours.write()
