"""A store with others to turn to."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from dspamd.config.config import Config
from dspamd.errors import ConfigError, TempFail
from dspamd.home.home import Home
from dspamd.maintenance.conformance import suite
from dspamd.maintenance.conformance.steps import counts, learn, new
from dspamd.storage.contract import Change, Uid, Unreachable
from dspamd.storage.drivers import open_storage
from dspamd.storage.files.sqlite import SQLite
from dspamd.storage.sql.failover import Failover
from tests.support.logged import Logged


class Sometimes(SQLite):
    """A store that can be reached, or not."""

    trouble: TempFail | None = None
    asked = 0

    read_only = False

    async def uid(self, owner: str, *, create: bool) -> Uid | None:
        self.asked += 1
        if self.trouble:
            raise self.trouble
        return await super().uid(owner, create=create)

    async def apply(self, uid: Uid, change: Change) -> None:
        if self.read_only:
            raise Unreachable("read-only")
        await super().apply(uid, change)


@pytest_asyncio.fixture
async def stores(tmp_path: Path) -> AsyncIterator[dict[str, Sometimes]]:
    stores = {name: Sometimes(Home(tmp_path / name)) for name in ("a", "b", "c")}
    yield stores
    for store in stores.values():
        store.trouble = None


async def opened(stores: dict[str, Sometimes], attempts: int = 1) -> Failover:
    storage = Failover("a", stores, {"a": "b", "b": "c"}, attempts)
    await storage.open()
    return storage


async def test_the_contract_is_kept(stores: dict[str, Sometimes]) -> None:
    storage = await opened(stores)
    assert [entry async for entry in suite.check(storage, "someone") if entry[1]] == []
    await storage.close()


async def test_the_next_store_is_used_from_then_on(stores: dict[str, Sometimes], logged: Logged) -> None:
    storage = await opened(stores)
    stores["a"].trouble = Unreachable("down")
    uids = await asyncio.gather(*(new(storage, "bob") for _ in range(4)))
    stores["a"].trouble = None
    asked = stores["a"].asked
    for uid in uids:
        await learn(storage, uid, [1], 1)
    assert await counts(stores["b"], "bob", [1]) == {1: (4, 0)}
    assert await stores["a"].uid("bob", create=False) is None
    await new(storage, "bob")
    assert stores["a"].asked == asked + 1
    assert logged.take().count("failover") == 1
    await storage.close()


async def test_a_store_that_takes_no_changes_is_left(stores: dict[str, Sometimes], logged: Logged) -> None:
    """Its message has been read from it, and is not learned elsewhere."""
    storage = await opened(stores)
    first, second = await new(storage, "bob"), await new(storage, "bob")
    stores["a"].read_only = True
    for uid in (first, second):
        with pytest.raises(Unreachable):
            await learn(storage, uid, [1], 1)
    assert logged.take().count("failover") == 1
    await learn(storage, await new(storage, "bob"), [1], 1)
    assert await counts(stores["b"], "bob", [1]) == {1: (1, 0)}
    await storage.close()


async def test_a_message_ends_where_it_began(stores: dict[str, Sometimes]) -> None:
    storage = await opened(stores)
    uid = await new(storage, "bob")
    stores["a"].trouble = Unreachable("down")
    await new(storage, "bob")
    await learn(storage, uid, [1], 1)
    assert await counts(stores["a"], "bob", [1]) == {1: (1, 0)}
    assert await counts(stores["b"], "bob", [1]) == {}
    with pytest.raises(TypeError):
        await storage.read("bob", array("Q", [1]))
    await storage.close()


@pytest.mark.parametrize(("attempts", "reached"), [(1, False), (2, True)])
async def test_attempts_are_bounded(stores: dict[str, Sometimes], attempts: int, reached: bool) -> None:
    storage = await opened(stores, attempts)
    stores["a"].trouble = stores["b"].trouble = Unreachable("down")
    if reached:
        await new(storage, "bob")
    else:
        with pytest.raises(Unreachable):
            await new(storage, "bob")
        await new(storage, "bob")  # the next look-up starts with that store
    assert await stores["c"].uid("bob", create=False) == "bob"
    await storage.close()


async def test_the_last_store_says_what_is_wrong(stores: dict[str, Sometimes]) -> None:
    storage = await opened(stores, attempts=9)
    for store in stores.values():
        store.trouble = Unreachable("down")
    with pytest.raises(Unreachable):
        await new(storage, "bob")
    await storage.close()


async def test_an_error_is_no_reason_to_turn(stores: dict[str, Sometimes]) -> None:
    storage = await opened(stores)
    stores["a"].trouble = TempFail("busy")
    with pytest.raises(TempFail, match="busy"):
        await new(storage, "bob")
    assert stores["b"].asked == 0
    await storage.close()


def test_profiles_must_be_declared(tmp_path: Path) -> None:
    lines = f"Home {tmp_path}\nStorageDriver hash_drv\nProfile a\nDefaultProfile a\nFailover.a b\n"
    with pytest.raises(ConfigError, match=r"dspam\.conf:5: Failover\.a: No such profile 'b'"):
        open_storage(Config.from_text(lines), Home(tmp_path))
    assert isinstance(open_storage(Config.from_text(f"{lines}Profile b"), Home(tmp_path)), Failover)
    alone = Config.from_text(f"Home {tmp_path}\nStorageDriver sqlite3_drv")
    assert isinstance(open_storage(alone, Home(tmp_path)), SQLite)
