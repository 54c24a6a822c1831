"""One change of an owner at a time, and changes that wait hold no connection.

Changes of one owner wait for each other in the database anyway, because each locks the row of
the owner's totals.  A change that waits there holds one of a few connections, so a single mailbox
that gets much mail could have them all.  Changes of one process therefore wait here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from dspamd.errors import TempFail
from dspamd.storage.contract import Uid


class OwnerLock:
    """A lock for each owner; a change waits for it for `deadline_s` seconds at most."""

    def __init__(self, deadline_s: float) -> None:
        self._deadline_s = deadline_s
        self._locks: WeakValueDictionary[Uid, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def held(self, uid: Uid) -> AsyncIterator[None]:
        """Hold the lock of an owner.  Raises `TempFail` if other changes hold it too long."""
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
