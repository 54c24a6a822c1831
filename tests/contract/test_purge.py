"""Purging on every driver: removed and remaining data, while mail flows, and after an interruption.

The rules themselves are held against the recordings of the original in
tests/golden/test_clean.py.
"""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Sequence
from pathlib import Path

import pytest

from dspamd.engine.model import Label, Learned, Mode, ScoreOptions, Totals
from dspamd.errors import TempFail
from dspamd.home.home import Home
from dspamd.maintenance.conformance.steps import all_tokens, counts, learn, learning, new
from dspamd.maintenance.purge import PATIENCE_S, Ages, Purged, Unused, purge
from dspamd.storage.contract import Change, Correct, Signature, Storage, Uid
from dspamd.storage.files.css import Shape
from dspamd.storage.files.hash import HashFiles
from dspamd.storage.files.sqlite import SQLite
from tests.support.day import NUMBER as DAY
from tests.support.day import TODAY

RARE, COMMON = range(1, 3_001), range(3_001, 3_101)


async def dictionary(storage: Storage, owner: str) -> Uid:
    """3,000 tokens hit once in spam, 100 hit ten times, all of them today."""
    uid = await new(storage, owner)
    await learn(storage, uid, RARE, 1, 0, spam_learned=20, innocent_learned=20)
    await learn(storage, uid, COMMON, 0, 10)
    return uid


async def purged(
    storage: Storage,
    uid: Uid,
    ages: Ages,
    day: int,
    options: ScoreOptions | None = None,
    patience_s: Sequence[float] = PATIENCE_S,
) -> Purged:
    done = purge(storage, uid, ages, options or ScoreOptions(), day, patience_s=patience_s)
    steps = [step async for step in done]
    assert [step.tokens for step in steps] == sorted(step.tokens for step in steps)
    return steps[-1]


async def left(storage: Storage, uid: Uid) -> list[int]:
    return [row.token for row in await all_tokens(storage, uid)]


async def test_tokens_go_after_their_day(storage: Storage) -> None:
    uid, other = await dictionary(storage, "someone"), await dictionary(storage, "someone else")
    ages = Ages(unused=Unused(90, 30, 15, 15))
    assert await purged(storage, uid, ages, DAY + 15) == Purged(0, 3_100)
    assert await purged(storage, uid, ages, DAY + 16, patience_s=(0, 0)) == Purged(3_000, 100)
    assert await purged(storage, uid, ages, DAY + 90) == Purged(0, 100)
    assert await purged(storage, uid, ages, DAY + 91, ScoreOptions(mode=Mode.TOE)) == Purged(0, 100)
    assert await left(storage, uid) == list(COMMON)
    assert await purged(storage, uid, ages, DAY + 91) == Purged(100, 0)
    assert (await storage.read(uid, array("Q"))).totals == Totals(20, 20)
    assert len(await left(storage, other)) == 3_100


async def test_a_purged_hash_file_is_small_again(tmp_path: Path) -> None:
    storage = HashFiles(Home(tmp_path), Shape(records=101, seek=10), today=lambda: TODAY)
    uid = await dictionary(storage, "someone")
    file = Home(tmp_path).file("someone", "css")
    large = file.stat().st_size
    assert await purged(storage, uid, Ages(unused=Unused(any=None)), DAY + 31) == Purged(3_000, 100)
    assert file.stat().st_size < large / 5
    assert await counts(storage, uid, COMMON) == dict.fromkeys(COMMON, (0, 10))
    await storage.close()


async def test_neutral_tokens_go(storage: Storage) -> None:
    uid = await dictionary(storage, "someone")
    assert await purged(storage, uid, Ages(neutral=30), DAY + 30) == Purged(0, 3_100)
    assert await purged(storage, uid, Ages(neutral=30), DAY + 31) == Purged(3_000, 100)
    assert await purged(storage, uid, Ages(neutral=0), DAY) == Purged(0, 100)


async def test_signatures_go_with_their_corrections(storage: Storage) -> None:
    uid, other = await new(storage, "someone"), await new(storage, "someone else")
    for owner in (uid, other):
        for number in range(7):
            await storage.apply(owner, Change(Learned.nothing(), Signature(f"4c873d4a{number}", b"data")))
    missed = Change(
        learning([1], 1, 0, spam_learned=1), correct=Correct("4c873d4a0", expected=None, label=Label.SPAM)
    )
    await storage.apply(uid, missed)
    created = {day for _, day in await storage.signatures(uid)}
    (day,) = created
    assert await purged(storage, uid, Ages(signatures=14), day + 14) == Purged(signatures_left=7)
    assert await purged(storage, uid, Ages(signatures=14), day + 15) == Purged(signatures=7)
    assert await storage.signatures(uid) == []
    assert len(await storage.signatures(other)) == 7
    await storage.apply(uid, Change(Learned.nothing(), Signature("4c873d4a0", b"again")))
    stored = await storage.signature(uid, "4c873d4a0")
    assert stored is not None
    assert stored.correction is None


async def test_mail_that_comes_meanwhile_is_learned(storage: Storage) -> None:
    uid = await dictionary(storage, "someone")
    fresh = range(10_001, 10_051)
    messages = 0

    async def mail() -> None:
        nonlocal messages
        while True:
            await learn(storage, uid, fresh, 0, 5, innocent_learned=1)
            messages += 1

    task = asyncio.create_task(mail())
    try:
        done = await purged(storage, uid, Ages(unused=Unused(90, 30, 15, 15)), DAY + 16)
    finally:
        task.cancel()
        await asyncio.wait((task,))
    assert done.tokens == 3_000
    assert messages > 0
    known = await counts(storage, uid, fresh)
    # The one that was cut short may have been learned too, but only as a whole.
    assert set(known) == set(fresh)
    assert known[fresh[0]][1] in (5 * messages, 5 * messages + 5)
    assert len(set(known.values())) == 1


@pytest.mark.parametrize("steps", [1, 3])
async def test_what_was_cut_short_is_taken_up_again(steps: int, storage: Storage) -> None:
    uid = await dictionary(storage, "someone")
    ages = Ages(unused=Unused(90, 30, 15, 15))
    walk = purge(storage, uid, ages, ScoreOptions(), DAY + 16)
    gone = [(await anext(walk)).tokens for _ in range(steps)][-1]
    assert 0 < gone < 3_000
    assert len(await left(storage, uid)) == 3_100 - gone
    assert await purged(storage, uid, ages, DAY + 16) == Purged(3_000 - gone, 100)
    assert await left(storage, uid) == list(COMMON)


async def test_a_busy_store_is_asked_again(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    uid = await dictionary(storage, "someone")
    delete, asked = storage.delete_tokens, 0

    async def busy_at_first(uid: Uid, tokens: array[int]) -> int:
        nonlocal asked
        asked += 1
        if asked < 3:
            raise TempFail("Storage is busy")
        return await delete(uid, tokens)

    monkeypatch.setattr(storage, "delete_tokens", busy_at_first)
    ages = Ages(unused=Unused(90, 30, 15, 15))
    assert await purged(storage, uid, ages, DAY + 16, patience_s=(0, 0)) == Purged(3_000, 100)


async def test_a_store_out_of_order_is_not_asked_for_ever(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    uid = await dictionary(storage, "someone")

    async def busy(uid: Uid, tokens: array[int]) -> int:
        raise TempFail("Storage is busy")

    monkeypatch.setattr(storage, "delete_tokens", busy)
    with pytest.raises(TempFail, match="busy"):
        await purged(storage, uid, Ages(unused=Unused(90, 30, 15, 15)), DAY + 16, patience_s=(0, 0))
    assert len(await left(storage, uid)) == 3_100


async def test_rests_follow_the_work_and_not_the_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that was busy once must not stop the purge for minutes."""
    storage = SQLite(Home(tmp_path), today=lambda: TODAY)
    uid = await dictionary(storage, "someone")
    delete, busy, rests = storage.delete_tokens, True, list[float]()

    async def busy_once(uid: Uid, tokens: array[int]) -> int:
        nonlocal busy
        if busy:
            busy = False
            raise TempFail("Storage is busy")
        return await delete(uid, tokens)

    async def rest(seconds: float) -> None:
        rests.append(seconds)

    monkeypatch.setattr(storage, "delete_tokens", busy_once)
    monkeypatch.setattr("dspamd.maintenance.purge.asyncio.sleep", rest)
    done = await purged(storage, uid, Ages(unused=Unused(any=None)), DAY + 31, patience_s=(7.0,))
    assert done.tokens == 3_000
    assert rests.count(7.0) == 1  # before it is asked again
    rests.remove(7.0)
    assert all(0 < seconds <= 1 for seconds in rests)
    await storage.close()
