"""A store that may not create tables for blocks."""

from __future__ import annotations

import pytest

from dspamd.engine.model import Label
from dspamd.maintenance.conformance.steps import append, counts, learning, new
from dspamd.storage.block import NoBlocks
from dspamd.storage.contract import BlockChange, Change, Correct, Signature, Storage


async def blocks_are_refused(storage: Storage, reason: str) -> None:
    """Each operation on blocks says why, and changes nothing; everything else works."""
    uid = await new(storage, "bob")
    lesson = Change(learning([1], 1), Signature("s", b"data"), block=BlockChange("weights", b"one"))
    for work in (
        storage.block(uid, "weights"),
        storage.fold(uid, "weights", 1, b"data"),
        append(storage, uid, b"one"),
        storage.apply(uid, lesson),
    ):
        with pytest.raises(NoBlocks, match=f"dspamd_block: .*{reason}"):
            await work
    assert await storage.blocks(uid) == []
    assert await counts(storage, uid, [1]) == {}
    assert await storage.signature(uid, "s") is None
    await storage.apply(uid, Change(learning([1], 1), Signature("s", b"data")))
    await storage.apply(uid, Change(learning([1], 0, 1), correct=Correct("s", None, Label.INNOCENT)))
    assert await counts(storage, uid, [1]) == {1: (1, 1)}
    assert await storage.delete_signature(uid, "s")
    await storage.delete_owner("bob")
    assert await storage.uid("bob", create=False) is None
