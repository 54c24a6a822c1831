"""One change of an owner at a time, and no connection held by those that wait.

Changes of one owner wait for each other anyway, in the database, where all of them lock the row of
his totals.  But who waits there holds one of a few connections, and a single mailbox that gets
much mail could have them all.  So those of one process wait here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from dspamd.errors import TempFail
from dspamd.storage.contract import Uid


class Turns:
    """The turns of all owners; nobody waits longer than `deadline_s` seconds for his."""

    def __init__(self, deadline_s: float) -> None:
        self._deadline_s = deadline_s
        self._locks: WeakValueDictionary[Uid, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def of(self, uid: Uid) -> AsyncIterator[None]:
        """The only turn of an owner as long as the block runs.  Raises `TempFail` if it does not come."""
        lock = self._locks.setdefault(uid, asyncio.Lock())
        try:
            async with asyncio.timeout(self._deadline_s):
                await lock.acquire()
        except TimeoutError:
            detail = f"other changes of uid {uid} took {self._deadline_s:g} s"
            raise TempFail("Storage is busy", detail=detail) from None
        try:
            yield
        finally:
            lock.release()
