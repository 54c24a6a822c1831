"""The dictionary that scores a user's mail, their own or that of a group.

It is the user's own, or that of the group that shares one; a merged group adds its counters to it
(reference/engine.md 9.3 and 9.5).  Callers need not know which: `read` returns the sums,
and `uid` alone learns.

A merged group costs a second read, at the same time as the first.
"""

from __future__ import annotations

import asyncio
from array import array
from dataclasses import dataclass, field

from dspamd.engine.model import Hits, Learned, Lesson, Result, ScoreOptions, Snapshot, Totals
from dspamd.engine.scorers import Run, scorer
from dspamd.engine.tokenizer import Tokens
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

    def but(self, result: Result, learned: Learned, *, provisional: bool = False) -> Scoring:
        """The same statistics, overruled: by a scanner, or by other users."""
        return Scoring(result, learned, self.run, self.snapshot, provisional)


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


@dataclass(frozen=True, slots=True)
class Dictionary:
    """`uid` is the owner who learns, None if the store does not know them; `group` adds its counters."""

    storage: Storage
    uid: Uid | None
    group: Uid | None = None

    @classmethod
    async def of(cls, storage: Storage, user: User, *, create: bool) -> Dictionary:
        """The dictionary of a user, made if `create`.

        Raises `TempFail`, and `PermFail` for a name that the store can never keep.
        """
        uid = await storage.uid(user.owner, create=create)
        merged = user.membership.merged
        return cls(storage, uid, await storage.uid(merged, create=False) if merged else None)

    async def read(self, tokens: array[int]) -> Snapshot:
        """Totals and hits, summed; an owner whom the store does not know has none.  Raises `TempFail`."""
        if self.group is None:
            return await self._read(self.uid, tokens)
        own, group = await asyncio.gather(self._read(self.uid, tokens), self._read(self.group, tokens))
        return own.joined(group)

    async def totals(self) -> Totals:
        """Totals as they are now.  Raises `TempFail`."""
        return (await self.read(_NO_TOKENS)).totals

    async def score(
        self,
        tokens: Tokens,
        options: ScoreOptions,
        lesson: Lesson | None = None,
        watch: Stopwatch | None = None,
    ) -> Scoring:
        """Score a message, its noise patterns weighed.  Raises `TempFail`."""
        watch = watch or Stopwatch()
        snapshot = await self.read(tokens.values)
        watch.mark("store")
        size, score = 8 * len(tokens), scorer(options.algorithms).score
        run = await aside(size, lambda: score(tokens, snapshot, options, lesson))
        if run.patterns is not None:
            watch.mark("classify")
            hits = (await self.read(run.patterns)).hits
            watch.mark("store")
            await aside(size, lambda: run.weigh(hits))
        watch.mark("classify")
        return Scoring(run.result, run.learned, run, snapshot, run.provisional)

    async def _read(self, uid: Uid | None, tokens: array[int]) -> Snapshot:
        return _EMPTY if uid is None else await self.storage.read(uid, tokens)
