"""The store in memory keeps the contract, and comes back whole from a pickle."""

from __future__ import annotations

import pickle
from array import array

import pytest

from dspamd.engine.model import Label
from dspamd.maintenance.conformance import CASES, Case, learning
from dspamd.storage.contract import BlockChange, Change, Correct, Signature
from dspamd.storage.memory import MemoryStorage, Size


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_case(case: Case) -> None:
    await case(MemoryStorage(), "someone")


async def test_a_pickle_is_the_whole_store() -> None:
    store = MemoryStorage()
    uid = await store.uid("bob", create=True)
    assert uid is not None
    block = BlockChange("weights", b"data")
    await store.apply(uid, Change(learning([1, 2**64 - 1], 3, 2), Signature("s", b"text"), block=block))
    await store.apply(uid, Change(learning([1], 1, -1), correct=Correct("s", None, Label.SPAM)))
    await store.set_preference("bob", "spamAction", "tag")
    again = pickle.loads(pickle.dumps(store))
    for read in (
        lambda each: each.read(uid, array("Q", [1, 2, 2**64 - 1])),
        lambda each: each.signature(uid, "s"),
        lambda each: each.block(uid, "weights"),
        lambda each: each.preferences("bob"),
        lambda each: each.owners(),
    ):
        assert await read(again) == await read(store)
    assert again.size() == store.size() == Size(rows=2, block_bytes=4)
