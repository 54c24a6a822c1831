"""The dictionary that scores a user's mail, their own or that of a group.

It is the user's own, or that of the group that shares one; a merged group adds its counters to it
(reference/engine.md 9.3 and 9.5).  Callers need not know which: `read` returns the sums,
and `uid` alone learns.

A merged group costs a second read, at the same time as the first.
"""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Sized
from dataclasses import dataclass, field
from pathlib import Path

from dspamd.config.config import Config
from dspamd.engine.model import Hits, Label, Learned, Lesson, Result, ScoreOptions, Snapshot, Totals
from dspamd.engine.scorers import Run, Scorer, Weights, scorer
from dspamd.engine.tokenizer import Tokens
from dspamd.filter.blocks import MEMORY_BYTES, Blocks
from dspamd.filter.seed import NO_SEED, Seed
from dspamd.offload.threads import aside
from dspamd.storage.contract import BlockChange, Change, Correct, Signature, Storage, Uid
from dspamd.telemetry.stopwatch import Stopwatch
from dspamd.users.preferences import User

_EMPTY = Snapshot(Totals(), Hits.none())
_NO_TOKENS = array("Q")


@dataclass(frozen=True, slots=True)
class Scoring:
    """The result for a message, and its lesson for the dictionary; `snapshot` has the counters before it.

    `provisional`: the lesson is our own, and the store keeps it with the signature (mode tone).
    """

    result: Result
    learned: Learned
    run: Run = field(compare=False)
    snapshot: Snapshot = field(compare=False)
    provisional: bool = False

    @property
    def label(self) -> Label:
        """The verdict."""
        return Label.SPAM if self.result.spam else Label.INNOCENT

    @property
    def teaches(self) -> bool:
        """Whether the message is learned, not only counted."""
        totals = self.learned.totals
        return bool(totals.spam_learned or totals.innocent_learned or self.learned.block)

    def but(self, result: Result, learned: Learned, *, provisional: bool = False) -> Scoring:
        """The same statistics, overruled: by a scanner, or by other users."""
        return Scoring(result, learned, self.run, self.snapshot, provisional)


def bulk(tokens: Sized, options: ScoreOptions) -> int:
    """The bytes of the tokens of a message, or of its run, that `aside` goes by.

    0 if `options` name a scorer with weights: only the event loop reads them, because it changes
    them, and their features are bounded.
    """
    return 8 * len(tokens) if scorer(options.algorithms).block is None else 0


def change_of(
    learned: Learned,
    options: ScoreOptions,
    signature: Signature | None = None,
    correct: Correct | None = None,
) -> Change:
    """The change of the store that a lesson makes; `options` name its scorer, who has the block."""
    block = scorer(options.algorithms).block
    appended = BlockChange(block, learned.block) if block is not None and learned.block else None
    return Change(learned, signature, correct, block=appended)


class Dictionaries:
    """The dictionaries in a store; `memory` bounds the blocks that are remembered, in bytes."""

    def __init__(self, storage: Storage, memory: int = MEMORY_BYTES, seed: Seed = NO_SEED) -> None:
        self.storage, self._blocks, self._seed = storage, Blocks(memory), seed

    @classmethod
    def of_site(cls, config: Config, storage: Storage) -> Dictionaries:
        """The dictionaries as dspam.conf wants them."""
        seed = Seed(Path(config.SeedModel)) if config.SeedModel else NO_SEED
        return cls(storage, config.BlockMemory, seed)

    async def of(self, user: User, *, create: bool) -> Dictionary:
        """The dictionary of a user, made if `create`.

        Raises `TempFail`, and `PermFail` for a name that the store can never keep.
        """
        uid = await self.storage.uid(user.owner, create=create)
        merged = user.membership.merged
        group = await self.storage.uid(merged, create=False) if merged else None
        return Dictionary(self.storage, uid, group, self._blocks, self._seed)

    def at(self, uid: Uid | None) -> Dictionary:
        """The dictionary of an owner alone, whatever groups they are in."""
        return Dictionary(self.storage, uid, None, self._blocks, self._seed)


@dataclass(frozen=True, slots=True)
class Dictionary:
    """`uid` is the owner who learns, None if the store does not know them; `group` adds its knowledge."""

    storage: Storage
    uid: Uid | None
    group: Uid | None = None
    blocks: Blocks = field(default_factory=Blocks, compare=False)
    seed: Seed = NO_SEED

    async def read(self, tokens: array[int]) -> Snapshot:
        """Totals and hits, summed; an owner whom the store does not know has none.  Raises `TempFail`."""
        if self.group is None:
            return await self._read(self.uid, tokens)
        own, group = await asyncio.gather(self._read(self.uid, tokens), self._read(self.group, tokens))
        return await aside(8 * len(tokens), lambda: own.joined(group))

    async def totals(self) -> Totals:
        """Totals as they are now.  Raises `TempFail`."""
        return (await self.read(_NO_TOKENS)).totals

    async def score(
        self,
        tokens: Tokens,
        options: ScoreOptions,
        lesson: Lesson | None = None,
        watch: Stopwatch | None = None,
        *,
        before: bytes = b"",
    ) -> Scoring:
        """Score a message, its noise patterns weighed; as if the owner's block had the change `before`.

        Raises `TempFail`.
        """
        watch, chosen = watch or Stopwatch(), scorer(options.algorithms)
        snapshot = await self._known(tokens, chosen, before)
        watch.mark("store")
        size = bulk(tokens, options)
        run = await aside(size, lambda: chosen.score(tokens, snapshot, options, lesson))
        if run.patterns is not None:
            watch.mark("classify")
            hits = (await self.read(run.patterns)).hits
            watch.mark("store")
            await aside(size, lambda: run.weigh(hits))
        watch.mark("classify")
        learned = await aside(size, lambda: run.learned)
        return Scoring(run.result, learned, run, snapshot, run.provisional)

    async def _known(self, tokens: Tokens, chosen: Scorer, before: bytes) -> Snapshot:
        """What a scorer asks for: totals, hits of its tokens, and the blocks of user and group."""
        if chosen.block is None:
            return await self.read(await aside(8 * len(tokens), lambda: chosen.wanted(tokens)))
        snapshot, weights = await asyncio.gather(
            self.read(chosen.wanted(tokens)), self._weights(chosen, before)
        )
        return snapshot._replace(weights=weights)

    async def added(self, chosen: Scorer) -> tuple[Weights, ...]:
        """What is added to the owner's weights: those of the group and of the seed.  Raises `TempFail`."""
        weights = [] if self.group is None else [await self._weights_of(self.group, chosen)]
        if (seed := await self.seed.weights(chosen)) is not None:
            weights.append(seed)
        return tuple(weights)

    async def _weights(self, chosen: Scorer, before: bytes) -> tuple[Weights, ...]:
        """The weights of the owner, with a change that comes before, and those that are added to them."""
        own = await self._weights_of(self.uid, chosen)
        if before:
            own = own.copy()
            own.add(before)
        return own, *await self.added(chosen)

    async def _weights_of(self, uid: Uid | None, chosen: Scorer) -> Weights:
        if uid is None or chosen.block is None:
            return chosen.weights(b"")
        return await self.blocks.weights(self.storage, uid, chosen.block, chosen)

    async def _read(self, uid: Uid | None, tokens: array[int]) -> Snapshot:
        return _EMPTY if uid is None else await self.storage.read(uid, tokens)
