"""Blocks of owners: read by version, folded, shared by tasks, never lost by damage."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dspamd.engine._weights import Evidence, Table
from dspamd.engine.joint import JOINT
from dspamd.engine.model import Learned
from dspamd.filter.blocks import FOLD_AFTER, Blocks
from dspamd.storage.contract import BlockChange, Change, Storage, Uid
from dspamd.telemetry import log
from tests.support.drivers import driver


class Owner:
    """A user of a real store, and another worker that teaches them too."""

    def __init__(self, storage: Storage, uid: Uid) -> None:
        self.storage, self.uid, self.expected, self.taught = storage, uid, Table(), 0

    async def learn(self, times: int = 1) -> None:
        for _ in range(times):
            self.taught += 1
            features = array("Q", [(self.taught * 7919 % 100) << 40, 5 << 32])
            change = Evidence(features, (self.expected,)).lesson(self.taught % 2 == 0, 1e9)
            self.expected.add(change)
            await self.append(change)

    async def append(self, change: bytes) -> None:
        block = BlockChange("joint", change)
        await self.storage.apply(self.uid, Change(Learned.nothing(), block=block))

    async def seen(self, blocks: Blocks) -> bytes:
        return (await blocks.weights(self.storage, self.uid, "joint", JOINT)).write()


@pytest.fixture
async def owner(tmp_path: Path) -> AsyncIterator[Owner]:
    storage = driver("sqlite", tmp_path)
    await storage.open()
    uid = await storage.uid("bob", create=True)
    assert uid is not None
    yield Owner(storage, uid)
    await storage.close()


async def test_workers_see_what_the_others_taught(owner: Owner) -> None:
    one, two, forgetful = Blocks(), Blocks(), Blocks(memory=0)
    for times in (0, 1, 3, 10):
        await owner.learn(times)
        for blocks in (one, two, forgetful):
            assert await owner.seen(blocks) == owner.expected.write()


async def test_many_changes_become_a_base(owner: Owner) -> None:
    one, two = Blocks(), Blocks()
    await owner.learn(FOLD_AFTER - 1)
    await owner.seen(one)
    assert len((await owner.storage.block(owner.uid, "joint")).changes) == FOLD_AFTER - 1
    await owner.learn()
    assert await owner.seen(two) == owner.expected.write()
    block = await owner.storage.block(owner.uid, "joint")
    assert (block.changes, block.base) == ((), owner.expected.write())
    assert await owner.seen(one) == owner.expected.write()
    await owner.learn(5)
    assert await owner.seen(one) == await owner.seen(two) == owner.expected.write()


async def test_tasks_at_the_same_time_add_each_change_once(owner: Owner) -> None:
    blocks = Blocks()
    for _ in range(4):
        await owner.learn(30)
        seen = await asyncio.gather(*(owner.seen(blocks) for _ in range(8)))
        assert set(seen) == {owner.expected.write()}


async def test_only_so_many_blocks_are_remembered(owner: Owner) -> None:
    blocks = Blocks(memory=3 * Table().memory)
    for name in range(10):
        uid = await owner.storage.uid(f"user{name}", create=True)
        assert uid is not None
        await blocks.weights(owner.storage, uid, "joint", JOINT)
    assert blocks.remembered == 3


async def test_a_block_that_grows_makes_others_forgotten(owner: Owner) -> None:
    blocks = Blocks(memory=2 * Table().memory + 2048)
    other = await owner.storage.uid("other", create=True)
    assert other is not None
    await blocks.weights(owner.storage, other, "joint", JOINT)
    for remembered in (2, 1):
        assert await owner.seen(blocks) == owner.expected.write()
        assert blocks.remembered == remembered
        features = array("Q", [n << 40 for n in range(1000)])
        change = Evidence(features, (owner.expected,)).lesson(True, 1e9)
        owner.expected.add(change)
        await owner.append(change)
    alone = Blocks(memory=Table().memory)
    await alone.weights(owner.storage, other, "joint", JOINT)
    assert await owner.seen(alone) == owner.expected.write()
    assert alone.remembered == 1


async def test_a_damaged_block_is_logged_and_neither_stops_mail_nor_is_overwritten(
    owner: Owner, capfd: pytest.CaptureFixture[str]
) -> None:
    log.configure()
    await owner.learn(2)
    version = (await owner.storage.block(owner.uid, "joint")).version
    assert await owner.storage.fold(owner.uid, "joint", version, b"not what we wrote")
    for _ in range(FOLD_AFTER + 1):
        await owner.append(b"\xff")
    weights = await Blocks().weights(owner.storage, owner.uid, "joint", JOINT)
    assert isinstance(weights, Table)
    assert (len(weights), weights.lessons) == (0, 0)
    said = capfd.readouterr().err
    assert said.count("event=block_damaged") == 1 + FOLD_AFTER + 1
    assert said.count("dspam_admin retrain-model USER") == 1 + FOLD_AFTER + 1
    assert (await owner.storage.block(owner.uid, "joint")).base == b"not what we wrote"
