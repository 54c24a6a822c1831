"""The contract that every driver of a store keeps.

A store keeps, for each owner of a dictionary, the eight totals, the hits of
tokens, the signatures of recent messages, the corrections made with them, and
blocks: versioned bytes that only their scorer understands (`storage/block.py`).
The owner is a user, or the group that a user shares a dictionary with.  The driver
chooses its key (`Uid`): a number in the SQL databases, the name itself in file stores.

Promises of every driver:

* One message costs one read (`read`) and one write (`apply`).  `apply` is one
  transaction: totals, hits, signature, correction and block change together or not
  at all, and concurrent writers of one owner lose nothing.
* The versions of a block have no gaps.  Reading its new changes costs one round trip.
* Counters never fall below zero, and a token without hits gets no row of its own.
* A signature belongs to its owner.  Asking for another owner's finds nothing.
* Statements carry the uid, touch one uid's rows, use no sequence and no session
  state, so that they run unchanged on engines that shard or replicate by key.
* No call blocks the event loop or waits without a deadline.  For trouble with the
  store, a driver raises `TempFail`, never an exception of its library.
"""

from __future__ import annotations

from array import array
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple, Protocol

from dspamd.engine.model import Hits, Label, Learned, Snapshot, TokenChange, Totals
from dspamd.errors import TempFail
from dspamd.storage.block import Block, BlockChange

Uid = int | str

LOADED_AT_ONCE = 10_000
"""Rows that `load` takes: some hundred milliseconds, and a statement of half a megabyte."""

POSITION = "dspamdimport"
"""How the ids of signatures begin that hold how far a copy by `load` came.  They never age."""


class Signature(NamedTuple):
    """The tokens of a message as first seen, kept so that a correction needs no mail."""

    id: str
    data: bytes  # engine.md 8.2


class Correction(NamedTuple):
    """The correction in force for one signature.

    `label` is the user's answer, or our own verdict, which we learned until the user says more.
    `provisional`: it is all that was learned of the message, so one that contradicts it takes it back
    and has a lesson of its own to teach.  `applied` is the effective change, after clamping at
    zero: a caller takes the correction back by applying the negation, which restores every
    counter exactly.  `block` is the change that the correction appended to a block; the
    scorer that made it knows the change that takes it back.
    """

    label: Label
    applied: Learned
    block: BlockChange | None = None
    provisional: bool = False


@dataclass(frozen=True, slots=True)
class Correct:
    """Guard and record of a correction inside `Change`.

    The store applies the change only if the signature is still there and the label in force
    for it still is `expected` (None: never corrected).  Afterwards the label is `label`, and
    the store keeps the effective change as the `Correction`, as long as the signature; if
    `label` is None, no correction is in force any more.

    A change that stores the signature itself is the first one to know it: nothing is in force.

    With `copied`, the store keeps that effect instead: the counters already have it, from another store.
    """

    signature: str
    expected: Label | None
    label: Label | None
    provisional: bool = False
    copied: Correction | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """Everything one message changes for one owner, applied in one transaction."""

    learned: Learned
    signature: Signature | None = None  # store it, in place of one with the same id
    correct: Correct | None = None
    day: date | None = None  # of the hits and the signature, if the store keeps days; None: today
    block: BlockChange | None = None  # append it; the first one makes the block

    @property
    def begins(self) -> bool:
        """Whether the change stores the signature that its correction is about."""
        return (
            self.signature is not None
            and self.correct is not None
            and self.correct.signature == self.signature.id
        )


class Stale(Exception):
    """Another correction of the same signature came first, or the signature is gone.

    The store has not changed; read again and decide again.
    """


class Stored(NamedTuple):
    """A stored signature with the correction in force, if there is one."""

    data: bytes
    correction: Correction | None
    corrections: bool = True  # whether the store keeps any; where it does not, there may have been some


class TokenRow(NamedTuple):
    token: int
    spam: int
    innocent: int
    last_hit: int  # days since 1970-01-01


def hits_of(rows: Sequence[TokenRow]) -> TokenChange:
    """The hits of rows, as a change that adds them."""
    return TokenChange(
        array("Q", [row.token for row in rows]),
        array("i", [row.spam for row in rows]),
        array("i", [row.innocent for row in rows]),
    )


class Storage(Protocol):
    """A store.  All methods may raise `TempFail`."""

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def uid(self, owner: str, *, create: bool) -> Uid | None:
        """The key of an owner.  With `create` the store makes a missing one, free of races; else None.

        A store of files may make them only when it learns something.
        Raises `InvalidName` for a name that this store can never keep.
        """

    async def owner_of(self, uid: Uid) -> str | None:
        """The name of a key, which may be any number.  If several names share it, the first one."""

    async def read(self, uid: Uid, tokens: array[int]) -> Snapshot:
        """Totals and the hits of those of `tokens` ('Q') that are known; one round trip."""

    async def apply(self, uid: Uid, change: Change) -> None:
        """Do all of `change` or nothing.

        Raises `Stale` if its guard does not hold, `NoBlocks`, ValueError for a block that is not allowed.
        """

    async def need_changes(self) -> None:
        """Return if the store takes changes, as far as it knows without one.

        Raises `NoChanges` if not, which says why.
        """

    async def need_blocks(self) -> None:
        """Return if the store has a place for blocks.

        Raises `NoBlocks` if not, which says what the administrator has to do.
        """

    async def load(self, uid: Uid, rows: Sequence[TokenRow], position: Signature) -> None:
        """Add hits with their days, and store a signature, in one transaction: for copies of dictionaries.

        Rows ascend, have hits, and are at most `LOADED_AT_ONCE`.  A token keeps the later of two days.
        A store that keeps no days leaves them out.
        """

    async def block(self, uid: Uid, name: str, *, since: int = 0) -> Block:
        """The part of a block that a reader at version `since` lacks; `NO_BLOCK` if there is no block.

        One round trip, of a few bytes if `since` is the current version.  Raises `NoBlocks`, ValueError.
        """

    async def fold(
        self, uid: Uid, name: str, version: int, data: bytes, *, expected: int | None = None
    ) -> bool:
        """Make `data` the base of a block as of `version`, and drop the changes up to it.

        Does nothing, and returns False, unless the base is older, and the version of the block is
        `expected`, if that is given (0: there is no such block).  A version beyond the current one
        replaces the whole block, or makes it.  Raises `NoBlocks`, ValueError.
        """

    async def blocks(self, uid: Uid) -> list[str]:
        """Names of all blocks of an owner, sorted; none if the store has no place for blocks."""

    async def has_room(self, uid: Uid, signature: Signature) -> bool:
        """Whether the store can keep a signature of that size.

        Callers ask before they hand over mail with its id.  The driver answers from its knowledge of
        the store, without a round trip for each message.  Raises `NoChanges` if it takes none of the owner.
        """

    async def signature(self, uid: Uid, signature: str) -> Stored | None:
        """The signature of that id which belongs to `uid`."""

    async def delete_signature(self, uid: Uid, signature: str) -> bool: ...

    async def preferences(self, owner: str) -> Mapping[str, str]:
        """Stored preferences of a user, or of everybody under the name "" (config.md 5.3)."""

    async def set_preference(self, owner: str, name: str, value: str | None) -> None:
        """Store a preference; None removes it."""

    async def owners(self) -> list[str]:
        """Names of all owners, sorted."""

    def tokens(self, uid: Uid, *, ordered: bool = True) -> AsyncIterator[list[TokenRow]]:
        """All tokens of an owner in batches: ascending, or in the cheapest order if not `ordered`."""

    async def signatures(self, uid: Uid) -> list[tuple[str, int]]:
        """All signature ids of an owner with their day of creation (days since 1970-01-01)."""

    async def delete_tokens(self, uid: Uid, tokens: array[int]) -> int:
        """Remove tokens in one short transaction; how many were there."""

    async def compact(self, uid: Uid, *, whole: bool = False) -> bool:
        """Give freed space back, if that pays, in a step that mail hardly notices; whether more is due.

        `whole`: all of it, by a new copy of the rest; the owner's mail waits as long as that takes.
        A server that uses the space again has nothing to do.
        """

    async def delete_owner(self, owner: str) -> None:
        """Remove everything that the store keeps for an owner."""

    async def rename_owner(self, owner: str, name: str) -> None:
        """Give an owner another name, which must be free; does nothing if no owner has the old one.

        Their preferences go with them.  Raises `InvalidName` for a name that this store can never keep.
        """


__all__ = [
    "Block",
    "BlockChange",
    "Change",
    "Correct",
    "Correction",
    "Hits",
    "Learned",
    "Signature",
    "Snapshot",
    "Stale",
    "Storage",
    "Stored",
    "TokenRow",
    "Totals",
    "Uid",
]


class NoChanges(TempFail):
    """The store can be read, but it takes no changes until the administrator helps."""

    def __init__(self, reason: str) -> None:
        super().__init__("Storage takes no changes", detail=reason)


class Unreachable(TempFail):
    """The driver could not connect, or the server takes no changes (any more).

    The server did nothing, so a caller may ask another one instead.
    """


class ReadOnly(NoChanges, Unreachable):
    """The server is read-only as a whole; another one may take changes."""
