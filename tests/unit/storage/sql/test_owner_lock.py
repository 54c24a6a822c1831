"""The owner lock: one change of an owner at a time, others meanwhile."""

from __future__ import annotations

import asyncio
import gc

import pytest

from dspamd.errors import TempFail
from dspamd.storage.sql.owner_lock import OwnerLock


async def test_an_owner_has_one_turn_at_a_time_in_order() -> None:
    lock = OwnerLock(5)
    running: set[int] = set()
    order: list[int] = []

    async def change(number: int) -> None:
        async with lock.held(1):
            assert not running
            running.add(number)
            order.append(number)
            await asyncio.sleep(0)
            running.clear()

    await asyncio.gather(*map(change, range(20)))
    assert order == list(range(20))


async def test_other_owners_do_not_wait() -> None:
    lock = OwnerLock(5)
    async with lock.held(1), lock.held("bob"), lock.held(2):
        pass


async def test_nobody_waits_for_ever() -> None:
    lock = OwnerLock(0.01)
    async with lock.held(1):
        with pytest.raises(TempFail, match="busy"):
            async with lock.held(1):
                pass
    async with lock.held(1):
        pass


async def test_who_fails_or_leaves_gives_the_turn_on() -> None:
    lock = OwnerLock(5)
    with pytest.raises(ZeroDivisionError):
        async with lock.held(1):
            _ = 1 // 0
    async with lock.held(1):
        waiting = asyncio.create_task(lock.held(1).__aenter__())
        await asyncio.sleep(0)
        waiting.cancel()
    async with lock.held(1):
        pass


async def test_nothing_is_kept_of_owners_who_are_done() -> None:
    lock = OwnerLock(5)
    for uid in range(100):
        async with lock.held(uid):
            pass
    gc.collect()
    assert not lock._locks
