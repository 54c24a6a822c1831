"""Purging: it removes useless data, so that dictionaries stay small and mail stays fast.

The rules are those of DSPAM (reference/cli.md 7): signatures by age, tokens that say
nothing, tokens that were not hit for long, rare ones sooner.  `stale` applies them to
rows, and is pure; `purge` walks through one owner's dictionary.

It never locks mail out: it removes tokens in small transactions, and after each piece of work
it rests for longer than the work took.  The caller may cancel it at any point, and begin it
again; the remaining data is whole.  A token that is hit between its reading and its removal loses
that hit, as in DSPAM.

DSPAM looked at stored preferences only.  Here the training mode in effect counts: a
dictionary that learns from errors alone must not vanish because it made none.
"""

from __future__ import annotations

import asyncio
import time
from array import array
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from dspamd.engine.model import ScoreOptions, Totals
from dspamd.engine.modes import RULES, Rules
from dspamd.engine.token_probabilities import classic, probabilities
from dspamd.errors import TempFail
from dspamd.storage.contract import POSITION, Storage, TokenRow, Uid

S = TypeVar("S")
T = TypeVar("T")

NEUTRAL = (0.35, 0.65)
"""Probabilities between which a token says nothing, both included."""

_RARE = 5  # a token with fewer hits, innocent ones counted twice, is a hapax
_AT_ONCE = 100  # tokens or signatures between two rests; more hold up mail where pages are many (SQLite)
_REST, _LONGEST_REST_S = 3.0, 1.0  # times the work took; longer work has waited for mail itself
PATIENCE_S = (1.0, 5.0, 25.0)
"""Seconds until a failed step is tried again."""


class Unused(NamedTuple):
    """Days after the last hit until tokens go, in the order of `-u`; None: never; 0: at once."""

    any: int | None = 90
    hapaxes: int | None = 30  # hit rarely
    spam_once: int | None = 15  # hit once, in spam
    innocent_once: int | None = 15


@dataclass(frozen=True, slots=True)
class Ages:
    """Days after which things go; None: never; 0: at once."""

    signatures: int | None = None
    neutral: int | None = None
    unused: Unused | None = None

    def __bool__(self) -> bool:
        """Whether anything may go."""
        return self != Ages()


@dataclass(frozen=True, slots=True)
class Purged:
    """Numbers of tokens and signatures that went, and of those that stayed."""

    tokens: int = 0
    tokens_left: int = 0
    signatures: int = 0
    signatures_left: int = 0

    def plus(self, other: Purged) -> Purged:
        return Purged(
            self.tokens + other.tokens,
            self.tokens_left + other.tokens_left,
            self.signatures + other.signatures,
            self.signatures_left + other.signatures_left,
        )


def stale(
    rows: Sequence[TokenRow], today: int, ages: Ages, totals: Totals, options: ScoreOptions
) -> array[int]:
    """The tokens among `rows` that are to go on a day (days since 1970-01-01)."""
    gone = array("Q")
    if ages.unused is not None:
        rules = RULES[options.mode]
        gone.extend(row.token for row in rows if _unused(row, today - row.last_hit, ages.unused, rules))
    if ages.neutral is not None:
        old = [row for row in rows if _past(today - row.last_hit, ages.neutral)]
        # Whatever the algorithm: to confidence nearly all tokens are neutral, and a site may change.
        pairs = ((row.spam, row.innocent) for row in old)
        probability = probabilities(pairs, totals, classic(options))
        low, high = NEUTRAL
        neutral = {row.token for row in old if low <= probability[row.spam, row.innocent] <= high}
        gone.extend(sorted(neutral.difference(gone)))
    return gone


def _unused(row: TokenRow, days: int, ages: Unused, rules: Rules) -> bool:
    """Whether a token is unused.  If mail is not learned, the day of the last hit says nothing about that."""
    _, spam, innocent, _ = row
    dated = rules.learns_mail and spam + innocent < rules.well_known
    if dated and _past(days, ages.any):
        return True
    if spam + 2 * innocent >= _RARE:
        return False
    return (
        _past(days, ages.hapaxes)
        or ((spam, innocent) == (1, 0) and _past(days, ages.spam_once))
        or ((spam, innocent) == (0, 1) and _past(days, ages.innocent_once))
    )


def _past(days: int, age: int | None) -> bool:
    return age is not None and (age == 0 or days > age)


async def purge(
    storage: Storage,
    uid: Uid,
    ages: Ages,
    options: ScoreOptions,
    today: int,
    *,
    patience_s: Sequence[float] = PATIENCE_S,
) -> AsyncIterator[Purged]:
    """Purge one dictionary; yields after each step what it has removed so far.

    If the store is busy, it tries a step again after each of `patience_s`.  Raises `TempFail`.
    """
    purged, patient = Purged(), _Patient(patience_s)
    if ages.signatures is not None:
        async for done in _purge_signatures(storage, uid, ages.signatures, today, patient):
            yield (purged := done)
    if ages.neutral is not None or ages.unused is not None:
        before = purged
        async for done in _purge_tokens(storage, uid, ages, options, today, patient):
            yield (purged := before.plus(done))
    if purged.tokens or purged.signatures:
        while await patient.work(storage.compact, uid):
            yield purged
    yield purged


async def _purge_signatures(
    storage: Storage, uid: Uid, age: int, today: int, patient: _Patient
) -> AsyncIterator[Purged]:
    """Corrections go with their signatures.  Without the position of a copy, that would add twice later."""
    found = await _gently(storage.signatures(uid))
    known = [each for each in found if not each[0].startswith(POSITION)]
    old = [signature for signature, created in known if _past(today - created, age)]
    gone = 0

    async def delete(some: list[str]) -> int:
        return sum([await storage.delete_signature(uid, signature) for signature in some])

    for first in range(0, len(old), _AT_ONCE):
        gone += await patient.work(delete, old[first : first + _AT_ONCE])
        yield Purged(signatures=gone, signatures_left=len(known) - gone)
    yield Purged(signatures=gone, signatures_left=len(known) - len(old))


async def _purge_tokens(
    storage: Storage, uid: Uid, ages: Ages, options: ScoreOptions, today: int, patient: _Patient
) -> AsyncIterator[Purged]:
    totals = (await storage.read(uid, array("Q"))).totals
    gone = left = 0

    async def delete(some: array[int]) -> int:
        return await storage.delete_tokens(uid, some)

    batches = aiter(storage.tokens(uid, ordered=False))
    while batch := await _gently(_next(batches)):
        old = stale(batch, today, ages, totals, options)
        left += len(batch) - len(old)
        for first in range(0, len(old), _AT_ONCE):
            gone += await patient.work(delete, old[first : first + _AT_ONCE])
            yield Purged(tokens=gone, tokens_left=left)
        yield Purged(tokens=gone, tokens_left=left)


async def _next(batches: AsyncIterator[list[TokenRow]]) -> list[TokenRow]:
    return await anext(batches, [])


async def _gently(work: Awaitable[T]) -> T:
    """Do some work, then leave the store to the mail for a while."""
    start = time.perf_counter()
    result = await work
    await asyncio.sleep(min(_LONGEST_REST_S, _REST * (time.perf_counter() - start)))
    return result


class _Patient(NamedTuple):
    """Does work again, after pauses of some seconds, while the store is busy."""

    pauses_s: Sequence[float]

    async def work(self, work: Callable[[S], Awaitable[T]], what: S) -> T:
        """Do some work gently, and again later if the store is busy, because mail comes first."""
        for pause in self.pauses_s:
            try:
                return await _gently(work(what))
            except TempFail:
                await asyncio.sleep(pause)
        return await _gently(work(what))
