"""Copies from any store into any other: all arrives, and a second run changes nothing."""

from __future__ import annotations

from array import array
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import date, timedelta
from functools import partial
from itertools import product
from pathlib import Path

import pytest

from dspamd.engine.model import Learned, TokenChange, Totals
from dspamd.errors import InvalidName, TempFail
from dspamd.maintenance.conformance.counters import EDGES
from dspamd.maintenance.conformance.steps import all_tokens, append, learn, new, totals
from dspamd.maintenance.transfer import OtherCounters, Transferred, transfer
from dspamd.storage.block import NoBlocks
from dspamd.storage.contract import Change, Signature, Storage, Uid
from tests.support.day import TODAY
from tests.support.drivers import DRIVERS, driver

BOB = "o'brien+x@example.org"
LONG_AGO = TODAY - timedelta(days=70)
TOTALS = Totals(7, 6, 5, 4, 3, 2, 1, 8)
SIGNATURES = {"6b000a80122151437417508": bytes(range(256)), "6b000a8012215143741750": b""}
CHANGES = (b"1", b"2", b"3")
BLOCK = (b"base", (b"3",))
PREFERENCES = {"spamAction": "tag", "spamSubject": "[JUNK] = 'ü'; --"}
MANY = range(10, 12_345)

Pair = Callable[[str, str], AbstractAsyncContextManager[tuple[Storage, Storage]]]


def _always(day: date) -> date:
    return day


@pytest.fixture
def pair(tmp_path: Path, furnish: Callable[[str, Path], None]) -> Pair:
    """Opens a source, whose data are from long ago, and a target."""

    @asynccontextmanager
    async def opened(source: str, target: str) -> AsyncIterator[tuple[Storage, Storage]]:
        stores: list[Storage] = []
        for name, place, today in ((source, "source", LONG_AGO), (target, "target", TODAY)):
            furnish(name, tmp_path / place)
            stores.append(driver(name, tmp_path / place, today=partial(_always, today)))
            await stores[-1].open()
        try:
            yield stores[0], stores[1]
        finally:
            for store in stores:
                await store.close()

    return opened


async def furnished(source: Storage) -> Uid:
    """A store that knows Bob, and a preference of everybody."""
    uid = await new(source, BOB)
    hits = TokenChange(array("Q", EDGES), array("i", (0, 1, 2, 3, 4, 5)), array("i", (9, 0, 7, 6, 5, 4)))
    await source.apply(uid, Change(Learned(TOTALS, hits)))
    for id_, data in SIGNATURES.items():
        await source.apply(uid, Change(Learned.nothing(), Signature(id_, data)))
    for data in CHANGES:
        await append(source, uid, data)
    folded = (await source.block(uid, "weights")).version - 1
    assert await source.fold(uid, "weights", folded, b"base")
    for name, value in PREFERENCES.items():
        await source.set_preference(BOB, name, value)
    await source.set_preference("", "optIn", "on")
    return uid


async def known(store: Storage, owner: str) -> tuple[Totals, list[tuple[int, int, int]]]:
    """The counters of an owner."""
    uid = await new(store, owner)
    return await totals(store, uid), [row[:3] for row in await all_tokens(store, uid)]


@pytest.mark.parametrize(("source_name", "target_name"), list(product(DRIVERS, DRIVERS)))
async def test_everything_arrives(source_name: str, target_name: str, pair: Pair) -> None:
    async with pair(source_name, target_name) as (source, target):
        await furnished(source)
        done = await transfer(source, target, BOB)
        assert done == Transferred(6, 6, 2, 2, 2, 2, 1, 1)
        assert await known(target, BOB) == await known(source, BOB)
        assert (await known(target, BOB))[0] == TOTALS
        uid = await new(target, BOB)
        for id_, data in SIGNATURES.items():
            stored = await target.signature(uid, id_)
            assert stored is not None
            assert stored.data == data
        assert (await target.block(uid, "weights"))[2:] == BLOCK
        theirs = (await source.block(await new(source, BOB), "weights")).version
        assert (await target.block(uid, "weights", since=theirs)).base == BLOCK[
            0
        ]  # for a reader of the source
        assert await target.preferences(BOB) == PREFERENCES
        assert await target.preferences("") == {}
        assert await transfer(source, target, "") == Transferred(preferences=1, preferences_changed=1)
        assert await target.preferences("") == {"optIn": "on"}
        assert await transfer(source, target, BOB) == Transferred(6, 0, 2, 0, 2, 0, 1, 0)
        assert await known(target, BOB) == await known(source, BOB)


@pytest.mark.parametrize("target_name", ["sqlite", "postgres", "mysql"])
async def test_days_are_kept(target_name: str, pair: Pair) -> None:
    async with pair("sqlite", target_name) as (source, target):
        await furnished(source)
        await transfer(source, target, BOB)
        uid, day = await new(target, BOB), (LONG_AGO - date(1970, 1, 1)).days
        assert {row.last_hit for row in await all_tokens(target, uid)} == {day}
        assert {created for _, created in await target.signatures(uid)} == {day}


@pytest.mark.parametrize(("source_name", "target_name"), [("sqlite", "hash"), ("hash", "sqlite")])
async def test_days_of_signatures_are_kept_by_hash_files(
    source_name: str, target_name: str, pair: Pair
) -> None:
    async with pair(source_name, target_name) as (source, target):
        await furnished(source)
        await transfer(source, target, BOB)
        days = {created for _, created in await target.signatures(await new(target, BOB))}
        assert days == {(LONG_AGO - date(1970, 1, 1)).days}


@pytest.mark.parametrize(
    ("source_name", "target_name"), [("hash", "mysql"), ("hash", "postgres"), ("mysql", "hash")]
)
async def test_what_was_cut_short_is_completed(
    source_name: str, target_name: str, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with pair(source_name, target_name) as (source, target):
        uid = await furnished(source)
        await learn(source, uid, MANY, 2, 1)
        apply, left = target.apply, [3]

        async def failing(uid: Uid, change: Change) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise TempFail("Storage is not available")
            await apply(uid, change)

        with monkeypatch.context() as patch:
            patch.setattr(target, "apply", failing)
            with pytest.raises(TempFail):
                await transfer(source, target, BOB)
        arrived = len((await known(target, BOB))[1])
        assert 0 < arrived < len(MANY)
        done = await transfer(source, target, BOB)
        assert (done.tokens, done.tokens_changed) == (len(MANY) + 6, len(MANY) + 6 - arrived)
        assert await known(target, BOB) == await known(source, BOB)


@pytest.mark.parametrize("target_name", DRIVERS)
async def test_what_was_learned_there_is_not_lost_unasked(target_name: str, pair: Pair) -> None:
    async with pair("sqlite", target_name) as (source, target):
        await furnished(source)
        uid = await new(target, BOB)
        await learn(target, uid, [1, 2, 3, 2**63], 1, 1, spam_learned=1, innocent_classified=99)
        await target.set_preference(BOB, "spamAction", "deliver")
        before = await known(target, BOB)
        with pytest.raises(OtherCounters):
            await transfer(source, target, BOB)
        assert await known(target, BOB) == before
        assert (await target.preferences(BOB)) == {"spamAction": "deliver"}
        done = await transfer(source, target, BOB, replace=True)
        assert (done.tokens, done.tokens_changed) == (6, 8)  # two were in the target alone
        assert await known(target, BOB) == await known(source, BOB)
        assert await target.preferences(BOB) == PREFERENCES


@pytest.mark.parametrize("target_name", DRIVERS)
async def test_blocks_are_continued_or_replaced(target_name: str, pair: Pair) -> None:
    async with pair("sqlite", target_name) as (source, target):
        uid = await furnished(source)
        await transfer(source, target, BOB)
        await append(source, uid, b"4")
        assert (await transfer(source, target, BOB)).blocks_changed == 1
        there = await new(target, BOB)
        known = await target.block(there, "weights")
        assert known[2:] == (b"base", (b"3", b"4"))
        await append(target, there, b"5")
        await append(target, there, b"x", "other")
        with pytest.raises(OtherCounters):
            await transfer(source, target, BOB)
        assert (await transfer(source, target, BOB, replace=True)).blocks_changed == 2
        assert (await target.block(there, "weights"))[2:] == known[2:]
        assert (await target.block(there, "weights", since=known.version + 1)).base == b"base"
        assert (await target.block(there, "other"))[2:] == (b"", ())
        assert (await transfer(source, target, BOB)).blocks_changed == 0


async def test_a_target_without_place_for_blocks_gets_all_else(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with pair("sqlite", "hash") as (source, target):
        await furnished(source)

        async def refusing(*_: object) -> None:
            raise NoBlocks("forbidden")

        async def none(uid: Uid) -> list[str]:
            return []

        for name, without in (("block", refusing), ("fold", refusing), ("blocks", none)):
            monkeypatch.setattr(target, name, without)
        with pytest.raises(NoBlocks, match="table dspamd_block: forbidden"):
            await transfer(source, target, BOB)
        assert await known(target, BOB) == await known(source, BOB)
        assert {id_ for id_, _ in await target.signatures(await new(target, BOB))} == set(SIGNATURES)
        for name, without in (("block", refusing), ("fold", refusing), ("blocks", none)):
            monkeypatch.setattr(source, name, without)
        assert await transfer(source, target, BOB) == Transferred(6, 0, 2, 0, 2, 2)


async def test_preferences_that_were_set_there_stay(pair: Pair) -> None:
    async with pair("sqlite", "postgres") as (source, target):
        await source.set_preference(BOB, "spamAction", "tag")
        await source.set_preference(BOB, "tagSpam", "on")
        await target.set_preference(BOB, "SpamAction", "deliver")
        assert await transfer(source, target, BOB) == Transferred(preferences=2, preferences_changed=1)
        assert await target.preferences(BOB) == {"SpamAction": "deliver", "tagSpam": "on"}


async def test_names_that_do_not_fit(pair: Pair) -> None:
    async with pair("hash", "postgres") as (source, target):
        name = "x" * 200
        await learn(source, await new(source, name), [1], 1, spam_learned=1)
        with pytest.raises(InvalidName):
            await transfer(source, target, name)
        assert await transfer(source, target, "nobody") == Transferred()
        assert await target.owners() == []
