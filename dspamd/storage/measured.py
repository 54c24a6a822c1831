"""A store that times its operations and counts its failures (telemetry/metrics.py)."""

from __future__ import annotations

import time
from array import array
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from typing import TypeVar

from dspamd.engine.model import Snapshot
from dspamd.errors import Failure, PermFail
from dspamd.storage.contract import Block, Change, Signature, Storage, Stored, TokenRow, Uid, Unreachable
from dspamd.telemetry.metric import OTHER
from dspamd.telemetry.metrics import Metrics

T = TypeVar("T")


class Measured:
    """A `Storage` that passes all calls to `storage`; `driver` is one of `telemetry.metrics.DRIVERS`."""

    def __init__(self, storage: Storage, driver: str, metrics: Metrics) -> None:
        self._storage, self._driver = storage, driver
        self._errors, self._seconds = metrics.storage_errors, metrics.storage_seconds

    async def open(self) -> None:
        await self._storage.open()

    async def close(self) -> None:
        await self._storage.close()

    async def uid(self, owner: str, *, create: bool) -> Uid | None:
        return await self._timed("uid", self._storage.uid(owner, create=create))

    async def owner_of(self, uid: Uid) -> str | None:
        return await self._timed("uid", self._storage.owner_of(uid))

    async def read(self, uid: Uid, tokens: array[int]) -> Snapshot:
        return await self._timed("read", self._storage.read(uid, tokens))

    async def apply(self, uid: Uid, change: Change) -> None:
        await self._timed("apply", self._storage.apply(uid, change))

    async def load(self, uid: Uid, rows: Sequence[TokenRow], position: Signature) -> None:
        await self._timed(OTHER, self._storage.load(uid, rows, position))

    async def has_room(self, uid: Uid, signature: Signature) -> bool:
        return await self._storage.has_room(uid, signature)

    async def signature(self, uid: Uid, signature: str) -> Stored | None:
        return await self._timed("signature", self._storage.signature(uid, signature))

    async def delete_signature(self, uid: Uid, signature: str) -> bool:
        return await self._timed("signature", self._storage.delete_signature(uid, signature))

    async def preferences(self, owner: str) -> Mapping[str, str]:
        return await self._timed("preferences", self._storage.preferences(owner))

    async def set_preference(self, owner: str, name: str, value: str | None) -> None:
        await self._timed("preferences", self._storage.set_preference(owner, name, value))

    async def owners(self) -> list[str]:
        return await self._timed(OTHER, self._storage.owners())

    def tokens(self, uid: Uid, *, ordered: bool = True) -> AsyncIterator[list[TokenRow]]:
        return self._storage.tokens(uid, ordered=ordered)

    async def signatures(self, uid: Uid) -> list[tuple[str, int]]:
        return await self._timed(OTHER, self._storage.signatures(uid))

    async def delete_tokens(self, uid: Uid, tokens: array[int]) -> int:
        return await self._timed(OTHER, self._storage.delete_tokens(uid, tokens))

    async def compact(self, uid: Uid, *, whole: bool = False) -> bool:
        return await self._timed(OTHER, self._storage.compact(uid, whole=whole))

    async def need_changes(self) -> None:
        await self._timed(OTHER, self._storage.need_changes())

    async def need_blocks(self) -> None:
        await self._timed(OTHER, self._storage.need_blocks())

    async def block(self, uid: Uid, name: str, *, since: int = 0) -> Block:
        return await self._timed(OTHER, self._storage.block(uid, name, since=since))

    async def fold(
        self, uid: Uid, name: str, version: int, data: bytes, *, expected: int | None = None
    ) -> bool:
        return await self._timed(OTHER, self._storage.fold(uid, name, version, data, expected=expected))

    async def blocks(self, uid: Uid) -> list[str]:
        return await self._timed(OTHER, self._storage.blocks(uid))

    async def delete_owner(self, owner: str) -> None:
        await self._timed(OTHER, self._storage.delete_owner(owner))

    async def rename_owner(self, owner: str, name: str) -> None:
        await self._timed(OTHER, self._storage.rename_owner(owner, name))

    async def _timed(self, operation: str, answer: Awaitable[T]) -> T:
        started = time.perf_counter()
        try:
            return await answer
        except Failure as failure:
            self._errors.add(self._driver, _kind(failure))
            raise
        finally:
            self._seconds.observe(time.perf_counter() - started, self._driver, operation)


def _kind(failure: Failure) -> str:
    if isinstance(failure, Unreachable):
        return "unreachable"
    return "permanent" if isinstance(failure, PermFail) else "temporary"
