"""A store with others that take over when it is unreachable (reference/config.md 3).

`Failover.PROFILE` names the profile that comes after one; `FailoverAttempts` bounds
how many stores one look-up tries.  The switch holds until that store is unreachable, too.

Only look-ups by name fail over: a uid is valid only in the store that issued it.  A message
that began with one store therefore ends with it, or comes again.  Numbers of users may
differ between databases, and a user's tokens must never meet another's.  An error or a
deadline never causes a fail-over: only a failed connection, or a refused change, proves that
the store did nothing.  If a store can be read and takes no changes, later messages go to
the next one.
"""

from __future__ import annotations

from array import array
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from dspamd.engine.model import Snapshot
from dspamd.storage.contract import Block, Change, Signature, Storage, Stored, TokenRow, Uid, Unreachable
from dspamd.telemetry import log

T = TypeVar("T")


class _Number(int):
    """A uid that knows which store issued it."""

    store: Storage


class _Name(str):
    """A uid that knows which store issued it."""

    store: Storage


def _given(uid: Uid, store: Storage) -> Uid:
    given = _Number(uid) if isinstance(uid, int) else _Name(uid)
    given.store = store
    return given


def _giver(uid: Uid) -> tuple[Storage, Uid]:
    """The store that issued a uid, and the uid as issued."""
    if isinstance(uid, _Number):
        return uid.store, int(uid)
    if isinstance(uid, _Name):
        return uid.store, str(uid)
    raise TypeError(f"{uid!r} is no uid of this store")


class Failover:
    """A `Storage` made of `stores` by profile; `following` names the one to turn to after each."""

    def __init__(
        self, profile: str, stores: Mapping[str, Storage], following: Mapping[str, str], attempts: int
    ) -> None:
        self._profile = profile
        self._stores = stores
        self._following = following
        self._attempts = attempts

    async def open(self) -> None:
        for store in self._stores.values():
            await store.open()

    async def close(self) -> None:
        for store in self._stores.values():
            await store.close()

    async def _ask(self, question: Callable[[Storage], Awaitable[T]]) -> T:
        """The answer of the store in use, or of the first reachable one after it."""
        for _ in range(self._attempts):
            profile = self._profile
            try:
                return await question(self._stores[profile])
            except Unreachable:
                if not self._turn_from(profile):
                    raise
        return await question(self._stores[self._profile])

    def _turn_from(self, profile: str) -> bool:
        """Use the profile after this one, unless another task has switched already."""
        if self._profile != profile:
            return True
        if profile not in self._following:
            log.get().error("failover_impossible", profile=profile, reason="no Failover for this profile")
            return False
        self._profile = self._following[profile]
        log.get().warning("failover", profile=profile, to=self._profile)
        return True

    async def uid(self, owner: str, *, create: bool) -> Uid | None:
        async def find(store: Storage) -> Uid | None:
            uid = await store.uid(owner, create=create)
            return None if uid is None else _given(uid, store)

        return await self._ask(find)

    async def owner_of(self, uid: Uid) -> str | None:
        """Asks the store in use: a number out of a signature does not know which store issued it."""
        return await self._ask(lambda store: store.owner_of(uid))

    async def preferences(self, owner: str) -> Mapping[str, str]:
        return await self._ask(lambda store: store.preferences(owner))

    async def set_preference(self, owner: str, name: str, value: str | None) -> None:
        await self._ask(lambda store: store.set_preference(owner, name, value))

    async def owners(self) -> list[str]:
        return await self._ask(lambda store: store.owners())

    async def delete_owner(self, owner: str) -> None:
        await self._ask(lambda store: store.delete_owner(owner))

    async def rename_owner(self, owner: str, name: str) -> None:
        await self._ask(lambda store: store.rename_owner(owner, name))

    async def read(self, uid: Uid, tokens: array[int]) -> Snapshot:
        store, uid = _giver(uid)
        return await store.read(uid, tokens)

    async def apply(self, uid: Uid, change: Change) -> None:
        store, uid = _giver(uid)
        try:
            await store.apply(uid, change)
        except Unreachable:
            self._turn_from(next(profile for profile, known in self._stores.items() if known is store))
            raise

    async def load(self, uid: Uid, rows: Sequence[TokenRow], position: Signature) -> None:
        store, uid = _giver(uid)
        await store.load(uid, rows, position)

    async def has_room(self, uid: Uid, signature: Signature) -> bool:
        store, uid = _giver(uid)
        return await store.has_room(uid, signature)

    async def signature(self, uid: Uid, signature: str) -> Stored | None:
        store, uid = _giver(uid)
        return await store.signature(uid, signature)

    async def delete_signature(self, uid: Uid, signature: str) -> bool:
        store, uid = _giver(uid)
        return await store.delete_signature(uid, signature)

    async def signatures(self, uid: Uid) -> list[tuple[str, int]]:
        store, uid = _giver(uid)
        return await store.signatures(uid)

    def tokens(self, uid: Uid, *, ordered: bool = True) -> AsyncIterator[list[TokenRow]]:
        store, uid = _giver(uid)
        return store.tokens(uid, ordered=ordered)

    async def delete_tokens(self, uid: Uid, tokens: array[int]) -> int:
        store, uid = _giver(uid)
        return await store.delete_tokens(uid, tokens)

    async def compact(self, uid: Uid, *, whole: bool = False) -> bool:
        store, uid = _giver(uid)
        return await store.compact(uid, whole=whole)

    async def need_changes(self) -> None:
        await self._ask(lambda store: store.need_changes())

    async def need_blocks(self) -> None:
        await self._ask(lambda store: store.need_blocks())

    async def block(self, uid: Uid, name: str, *, since: int = 0) -> Block:
        store, uid = _giver(uid)
        return await store.block(uid, name, since=since)

    async def fold(
        self, uid: Uid, name: str, version: int, data: bytes, *, expected: int | None = None
    ) -> bool:
        store, uid = _giver(uid)
        return await store.fold(uid, name, version, data, expected=expected)

    async def blocks(self, uid: Uid) -> list[str]:
        store, uid = _giver(uid)
        return await store.blocks(uid)
