"""A store in memory: the contract without a disk, for measurements.

It keeps what every driver keeps, as long as the process lives; a pickle of it is the whole store, so a
measurement can go on where it stopped.  No site can choose it: `StorageDriver` does not know it.

Nothing here waits, so a change is a transaction by itself: no other task of the event loop runs meanwhile.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, NamedTuple

from dspamd.engine.model import Hits, Learned, Snapshot, Totals
from dspamd.storage.block import NO_BLOCK, Block, BlockChange, begins_anew, checked, first_version
from dspamd.storage.clock import day_number, utc_day
from dspamd.storage.contract import Change, Correction, Signature, Stale, Stored, TokenRow, Uid, hits_of
from dspamd.storage.correction import in_effect

_BATCH = 4_096  # tokens
_DAY_SHIFT, _SPAM_SHIFT = 48, 24
_MOST = (1 << 24) - 1  # hits


class Counters:
    """The totals of one owner, and the hits of tokens: spam, innocent and day in one number a token."""

    def __init__(self) -> None:
        self.totals = Totals()
        self._hits: dict[int, int] = {}

    def __len__(self) -> int:
        """The number of tokens that are known."""
        return len(self._hits)

    def read(self, tokens: Iterable[int]) -> Snapshot:
        """Totals, and the hits of those tokens that are known."""
        find = self._hits.get
        found = [(token, hits) for token in tokens if (hits := find(token)) is not None]
        return Snapshot(
            self.totals,
            Hits(
                array("Q", [token for token, _ in found]),
                array("Q", [hits >> _SPAM_SHIFT & _MOST for _, hits in found]),
                array("Q", [hits & _MOST for _, hits in found]),
            ),
        )

    def apply(self, learned: Learned, day: int = 0) -> None:
        """Add a change; no counter falls below zero, and a token without hits gets no row."""
        self.totals = self.totals.plus(learned.totals)
        hits, stamp = self._hits, day << _DAY_SHIFT
        for token, spam, innocent in zip(*learned.tokens, strict=True):
            before = hits.get(token)
            if before is not None:
                spam += before >> _SPAM_SHIFT & _MOST
                innocent += before & _MOST
            # Spelt out, for min and max would double the time.
            spam = 0 if spam < 0 else spam if spam < _MOST else _MOST
            innocent = 0 if innocent < 0 else innocent if innocent < _MOST else _MOST
            if spam or innocent or before is not None:
                hits[token] = stamp | spam << _SPAM_SHIFT | innocent

    def remove(self, tokens: Iterable[int]) -> int:
        """Forget tokens; how many were known."""
        return sum(self._hits.pop(token, None) is not None for token in tokens)

    def day(self, token: int) -> int:
        """The day of the last hit of a token; 0 if it is not known."""
        return self._hits.get(token, 0) >> _DAY_SHIFT

    def rows(self) -> list[TokenRow]:
        """All tokens, ascending."""
        return [
            TokenRow(token, hits >> _SPAM_SHIFT & _MOST, hits & _MOST, hits >> _DAY_SHIFT)
            for token, hits in sorted(self._hits.items())
        ]

    def __getstate__(self) -> tuple[Totals, array[int], array[int]]:
        return self.totals, array("Q", self._hits), array("Q", self._hits.values())

    def __setstate__(self, state: tuple[Totals, array[int], array[int]]) -> None:
        self.totals, tokens, hits = state
        self._hits = dict(zip(tokens, hits, strict=True))


class _Kept(NamedTuple):
    """A signature, the day it came, and the correction in force."""

    data: bytes
    day: int
    correction: Correction | None = None


@dataclass(slots=True)
class _Block:
    """A block: its base, and the changes that follow `base_version`."""

    base_version: int
    base: bytes = b""
    changes: list[bytes] = field(default_factory=list)

    @property
    def version(self) -> int:
        return self.base_version + len(self.changes)


@dataclass(slots=True)
class _Owner:
    """What is kept for one owner."""

    counters: Counters = field(default_factory=Counters)
    signatures: dict[str, _Kept] = field(default_factory=dict)
    blocks: dict[str, _Block] = field(default_factory=dict)


class Size(NamedTuple):
    """How much a store knows: rows of tokens, and bytes of blocks with their changes."""

    rows: int
    block_bytes: int


class MemoryStorage:
    """A `Storage`.  The key of an owner is their name.  `today` says which day it is."""

    def __init__(self, today: Callable[[], date] = utc_day) -> None:
        self._today = today
        self._owners: dict[str, _Owner] = {}
        self._preferences: dict[str, dict[str, str]] = {}

    def __getstate__(self) -> tuple[Any, ...]:
        return self._owners, self._preferences

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._owners, self._preferences = state
        self._today = utc_day

    def size(self) -> Size:
        """How much is known of all owners, their signatures left out."""
        blocks = [block for owner in self._owners.values() for block in owner.blocks.values()]
        return Size(
            sum(len(owner.counters) for owner in self._owners.values()),
            sum(len(block.base) + sum(map(len, block.changes)) for block in blocks),
        )

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def uid(self, owner: str, *, create: bool) -> Uid | None:
        if create:
            self._owners.setdefault(owner, _Owner())
        return owner if owner in self._owners else None

    async def owner_of(self, uid: Uid) -> str | None:
        return str(uid) if uid in self._owners else None

    async def read(self, uid: Uid, tokens: array[int]) -> Snapshot:
        return self._owner(uid).counters.read(tokens)

    async def apply(self, uid: Uid, change: Change) -> None:
        owner = self._owners.setdefault(str(uid), _Owner())
        if change.block is not None:
            checked(*change.block)
        correction = _correction(owner, change) if change.correct is not None else None
        day = day_number(change.day or self._today())
        owner.counters.apply(change.learned, day)
        if change.signature is not None:
            owner.signatures[change.signature.id] = _Kept(change.signature.data, day)
        if (correct := change.correct) is not None:
            kept = owner.signatures[correct.signature]
            owner.signatures[correct.signature] = kept._replace(correction=correction)
        if change.block is not None:
            _append(owner, change.block)

    async def need_changes(self) -> None:
        """It takes them."""

    async def need_blocks(self) -> None:
        """There is always a place for them."""

    async def load(self, uid: Uid, rows: Sequence[TokenRow], position: Signature) -> None:
        owner, by_day = self._owners.setdefault(str(uid), _Owner()), defaultdict[int, list[TokenRow]](list)
        for row in rows:
            by_day[max(row.last_hit, owner.counters.day(row.token))].append(row)
        for day, those in by_day.items():
            owner.counters.apply(Learned(Totals(), hits_of(those)), day)
        owner.signatures[position.id] = _Kept(position.data, day_number(self._today()))

    async def block(self, uid: Uid, name: str, *, since: int = 0) -> Block:
        block = self._owner(uid).blocks.get(checked(name))
        if block is None:
            return NO_BLOCK
        if begins_anew(since, block.base_version, block.version):
            return Block(block.version, block.base_version, block.base, tuple(block.changes))
        new = block.changes[since - block.base_version :]
        return Block(block.version, block.base_version, None, tuple(new))

    async def fold(
        self, uid: Uid, name: str, version: int, data: bytes, *, expected: int | None = None
    ) -> bool:
        blocks = self._owners.setdefault(str(uid), _Owner()).blocks
        block = blocks.get(checked(name, data), _Block(0))
        if block.base_version >= version or expected not in (None, block.version):
            return False
        blocks[name] = _Block(version, data, block.changes[version - block.base_version :])
        return True

    async def blocks(self, uid: Uid) -> list[str]:
        return sorted(self._owner(uid).blocks)

    async def has_room(self, uid: Uid, signature: Signature) -> bool:
        return True

    async def signature(self, uid: Uid, signature: str) -> Stored | None:
        kept = self._owner(uid).signatures.get(signature)
        return None if kept is None else Stored(kept.data, kept.correction)

    async def delete_signature(self, uid: Uid, signature: str) -> bool:
        return self._owner(uid).signatures.pop(signature, None) is not None

    async def preferences(self, owner: str) -> Mapping[str, str]:
        return dict(self._preferences.get(owner, {}))

    async def set_preference(self, owner: str, name: str, value: str | None) -> None:
        preferences = self._preferences.setdefault(owner, {})
        if value is None:
            preferences.pop(name, None)
        else:
            preferences[name] = value

    async def owners(self) -> list[str]:
        return sorted(self._owners)

    async def tokens(self, uid: Uid, *, ordered: bool = True) -> AsyncIterator[list[TokenRow]]:
        rows = self._owner(uid).counters.rows()
        for start in range(0, len(rows), _BATCH):
            yield rows[start : start + _BATCH]

    async def signatures(self, uid: Uid) -> list[tuple[str, int]]:
        return [(id_, kept.day) for id_, kept in self._owner(uid).signatures.items()]

    async def delete_tokens(self, uid: Uid, tokens: array[int]) -> int:
        return self._owner(uid).counters.remove(tokens)

    async def compact(self, uid: Uid, *, whole: bool = False) -> bool:
        return False

    async def delete_owner(self, owner: str) -> None:
        self._owners.pop(owner, None)
        self._preferences.pop(owner, None)

    async def rename_owner(self, owner: str, name: str) -> None:
        if owner in self._owners:
            self._owners[name] = self._owners.pop(owner)
        if owner in self._preferences:
            self._preferences[name] = self._preferences.pop(owner)

    def _owner(self, uid: Uid) -> _Owner:
        """What is kept for a key; nothing for one that is not known."""
        return self._owners.get(str(uid)) or _Owner()


def _correction(owner: _Owner, change: Change) -> Correction | None:
    """The correction that will be in force, if any.  Raises `Stale` if the guard does not hold."""
    correct = change.correct
    assert correct is not None
    if not change.begins:
        kept = owner.signatures.get(correct.signature)
        if kept is None or (kept.correction.label if kept.correction else None) is not correct.expected:
            raise Stale
    if correct.label is None:
        return None
    applied = in_effect(change.learned, owner.counters.read(change.learned.tokens.tokens))
    return correct.copied or Correction(correct.label, applied, change.block, correct.provisional)


def _append(owner: _Owner, change: BlockChange) -> None:
    block = owner.blocks.get(change.name)
    if block is None:
        block = owner.blocks[change.name] = _Block(first_version())
    block.changes.append(change.data)
