"""The transfer of owners from one store to another, for a site that changes its storage driver.

It copies totals, hits with their days, signatures, blocks and preferences, between any two stores.
It does not copy corrections: one that a user repeats afterwards counts again.  A store that cannot
take days from outside (hash files) counts all tokens as hit today.

`transfer` makes the other dictionary equal to this one.  The caller may cancel it at any point
and start it again: it leaves equal data as it is, so that nothing counts twice.  Without `replace`
it does not touch a dictionary that has learned other mail, as totals and blocks show.  Neither store
should learn meanwhile; if one does, the next run makes them equal.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple

from dspamd.engine.model import Learned, TokenChange, Totals
from dspamd.errors import PermFail
from dspamd.storage.block import NO_BLOCK, first_version
from dspamd.storage.clock import day_of
from dspamd.storage.contract import Block, BlockChange, Change, Signature, Storage, TokenRow, Uid
from dspamd.telemetry import log

_AT_ONCE = 5_000  # tokens in one transaction
_MOST = 2**31 - 1  # hits that one change can add


class OtherCounters(PermFail):
    """The owner has a dictionary there that is not a copy of this one."""

    exit_status = 1


class Transferred(NamedTuple):
    """Numbers of an owner's data, and of those that were missing or different in the target."""

    tokens: int = 0
    tokens_changed: int = 0
    signatures: int = 0
    signatures_changed: int = 0
    preferences: int = 0
    preferences_changed: int = 0
    blocks: int = 0
    blocks_changed: int = 0

    def plus(self, other: Transferred) -> Transferred:
        return Transferred(*(a + b for a, b in zip(self, other, strict=True)))


async def transfer(source: Storage, target: Storage, owner: str, *, replace: bool = False) -> Transferred:
    """Copy all data of an owner; the empty name means everybody, with preferences only.

    Raises `OtherCounters` before it changes anything; `InvalidName` for a name that the target
    cannot keep; `TempFail` if a store is in trouble.
    """
    done = Transferred()
    uid = await source.uid(owner, create=False) if owner else None
    if uid is not None:
        done = await _dictionary(source, uid, target, owner, replace=replace)
    return done.plus(await _preferences(source, target, owner, replace=replace))


async def _dictionary(
    source: Storage, uid: Uid, target: Storage, owner: str, *, replace: bool
) -> Transferred:
    there = await target.uid(owner, create=True)
    assert there is not None
    wanted, found = [
        (await store.read(key, array("Q"))).totals for store, key in ((source, uid), (target, there))
    ]
    missing_blocks = [each async for each in _missing_blocks(source, uid, target, there)]
    if not replace and ((any(found) and found != wanted) or any(missing.other for missing in missing_blocks)):
        raise OtherCounters("has learned other mail over there")
    if found != wanted:  # first: hash files may not have more hits than messages
        missing = wanted.joined(found.negated())
        await target.apply(there, Change(Learned(missing, TokenChange.none())))
    tokens, tokens_changed = await _tokens(source, uid, target, there)
    signatures, signatures_changed = await _signatures(source, uid, target, there)
    for block in missing_blocks:  # last: where the target has no place for blocks, all else is there
        await _bring(block, target, there)
    blocks = len(await source.blocks(uid))
    return Transferred(
        tokens,
        tokens_changed,
        signatures,
        signatures_changed,
        blocks=blocks,
        blocks_changed=len(missing_blocks),
    )


async def _tokens(source: Storage, uid: Uid, target: Storage, there: Uid) -> tuple[int, int]:
    """Give the target the hits of the source; how many tokens that has, and how many were not equal."""
    count = changed = 0
    changes, surplus = _Changes(target, there), array("Q")
    async for token, wanted, found in _side_by_side(_hit(source, uid), _hit(target, there)):
        count += wanted is not None
        if wanted is None:
            surplus.append(token)
        elif found is None or wanted[1:3] != found[1:3]:
            await changes.add(wanted, found or TokenRow(token, 0, 0, 0))
        else:
            continue
        changed += 1
    await changes.finish()
    for start in range(0, len(surplus), _AT_ONCE):
        await target.delete_tokens(there, surplus[start : start + _AT_ONCE])
    return count, changed


async def _hit(store: Storage, uid: Uid) -> AsyncIterator[TokenRow]:
    """The tokens of an owner that were hit, ascending."""
    async for batch in store.tokens(uid):
        for row in batch:
            if row.spam or row.innocent:
                yield row


async def _side_by_side(
    ours: AsyncIterator[TokenRow], theirs: AsyncIterator[TokenRow]
) -> AsyncIterator[tuple[int, TokenRow | None, TokenRow | None]]:
    """Each token of two dictionaries, ascending, with its rows; None where it is not known."""
    our, their = await anext(ours, None), await anext(theirs, None)
    while our is not None or their is not None:
        token = min(row.token for row in (our, their) if row is not None)
        here, there = (row if row is not None and row.token == token else None for row in (our, their))
        yield token, here, there
        if here is not None:
            our = await anext(ours, None)
        if there is not None:
            their = await anext(theirs, None)


@dataclass(slots=True)
class _Changes:
    """Changes of hits that are applied many at once, those of one day together."""

    target: Storage
    uid: Uid
    by_day: defaultdict[int, TokenChange] = field(default_factory=lambda: defaultdict(TokenChange.none))

    async def add(self, wanted: TokenRow, found: TokenRow) -> None:
        """Note the change that gives a token the wanted hits."""
        tokens, spam, innocent = self.by_day[wanted.last_hit]
        tokens.append(wanted.token)
        spam.append(min(wanted.spam, _MOST) - min(found.spam, _MOST))
        innocent.append(min(wanted.innocent, _MOST) - min(found.innocent, _MOST))
        if len(tokens) >= _AT_ONCE:
            await self._apply(wanted.last_hit)

    async def finish(self) -> None:
        for day in sorted(self.by_day):
            await self._apply(day)

    async def _apply(self, day: int) -> None:
        await self.target.apply(self.uid, Change(Learned(Totals(), self.by_day.pop(day)), day=_date(day)))


async def _signatures(source: Storage, uid: Uid, target: Storage, there: Uid) -> tuple[int, int]:
    """Copy the missing signatures; the numbers of all, and of the missing ones."""
    wanted = await source.signatures(uid)
    known = {id_ for id_, _ in await target.signatures(there)}
    changed = 0
    for id_, day in wanted:
        if id_ in known or (stored := await source.signature(uid, id_)) is None:
            continue
        signature = Signature(id_, stored.data)
        if await target.has_room(there, signature):
            await target.apply(there, Change(Learned.nothing(), signature, day=_date(day)))
            changed += 1
        else:  # go on with the others
            log.get().warning("signature_not_copied", signature=id_, bytes=len(stored.data))
    return len(wanted), changed


class _Missing(NamedTuple):
    """What a block lacks in the target: some last changes, or all of it if it is another one."""

    name: str
    wanted: Block
    found: Block

    @property
    def other(self) -> bool:
        """Whether the target has content that is no copy of the source's."""
        return not self.continues and bool(self.found.base or self.found.changes)

    @property
    def continues(self) -> bool:
        """Whether the source's changes begin with those of the target."""
        known = len(self.found.changes)
        return self.found.base == self.wanted.base and self.found.changes == self.wanted.changes[:known]


async def _missing_blocks(source: Storage, uid: Uid, target: Storage, there: Uid) -> AsyncIterator[_Missing]:
    """Those blocks of either that are not equal."""
    ours, theirs = await source.blocks(uid), await target.blocks(there)
    for name in sorted({*ours, *theirs}):
        wanted = await source.block(uid, name) if name in ours else NO_BLOCK
        found = await target.block(there, name) if name in theirs else NO_BLOCK
        if (found.base, found.changes) != (wanted.base, wanted.changes):
            yield _Missing(name, wanted, found)


async def _bring(missing: _Missing, target: Storage, there: Uid) -> None:
    """Make a block equal.  A base that replaces others has a version that no reader knows."""
    name, wanted, found = missing
    known = len(found.changes)
    if not missing.continues:
        known = 0
        version = max(found.version + 1, first_version())  # none of the source's: both may learn from now on
        await target.fold(there, name, version, wanted.base or b"")
    for data in wanted.changes[known:]:
        await target.apply(there, Change(Learned.nothing(), block=BlockChange(name, data)))


async def _preferences(source: Storage, target: Storage, owner: str, *, replace: bool) -> Transferred:
    """Copy the preferences; without `replace`, those of the target stay."""
    wanted = await source.preferences(owner)
    found = await target.preferences(owner) if wanted else {}
    known = {name.lower(): value for name, value in found.items()}
    missing = {
        name: value
        for name, value in wanted.items()
        if name.lower() not in known or (replace and known[name.lower()] != value)
    }
    for name, value in missing.items():
        await target.set_preference(owner, name, value)
    return Transferred(preferences=len(wanted), preferences_changed=len(missing))


def _date(day: int) -> date | None:
    """A day as a date; None, which means today, for an unknown one."""
    return day_of(day) if day > 0 else None
