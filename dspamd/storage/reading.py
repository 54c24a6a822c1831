"""The operations on a store that only read: a part of `Storage`, with the same promises.

The stores of SQL servers satisfy it, if they may make no tables; files have separate readers, which open
nothing for writing and make no file.
"""

from __future__ import annotations

from array import array
from collections.abc import AsyncIterator, Mapping
from typing import Protocol

from dspamd.engine.model import Snapshot
from dspamd.storage.contract import TokenRow, Uid


class Readable(Protocol):
    """A store that is read.  All methods may raise `TempFail`."""

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def uid(self, owner: str, *, create: bool) -> Uid | None: ...

    async def read(self, uid: Uid, tokens: array[int]) -> Snapshot: ...

    async def owners(self) -> list[str]: ...

    async def preferences(self, owner: str) -> Mapping[str, str]: ...

    def tokens(self, uid: Uid, *, ordered: bool = True) -> AsyncIterator[list[TokenRow]]: ...

    async def token_count(self, uid: Uid) -> int:
        """How many tokens an owner has, those without hits included."""

    async def signatures(self, uid: Uid) -> list[tuple[str, int]]: ...
