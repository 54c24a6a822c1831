"""The store in memory keeps the contract, and comes back whole from a pickle."""

from __future__ import annotations

import pickle
from array import array

import pytest

from dspamd.engine.model import Label
from dspamd.maintenance.conformance.steps import Case, learning
from dspamd.maintenance.conformance.suite import CASES
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
    again: MemoryStorage = pickle.loads(pickle.dumps(store))
    tokens = array("Q", [1, 2, 2**64 - 1])
    assert await again.read(uid, tokens) == await store.read(uid, tokens)
    assert await again.signature(uid, "s") == await store.signature(uid, "s")
    assert await again.block(uid, "weights") == await store.block(uid, "weights")
    assert await again.preferences("bob") == {"spamAction": "tag"}
    assert await again.owners() == ["bob"]
    assert again.size() == store.size() == Size(rows=2, block_bytes=4)
