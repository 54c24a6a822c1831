"""A store in which there is no place for corrections, and mode tone."""

from __future__ import annotations

from dspamd.engine.model import Label
from dspamd.maintenance.conformance.steps import counts, learning
from dspamd.storage.contract import Change, Correct, Signature, Storage, Stored, Uid


async def provisional_lessons_are_learned_and_not_kept(storage: Storage, uid: Uid) -> None:
    """The message is learned, and its signature stored; its correction only teaches."""
    signature = Signature("tone", b"data")
    ours = Correct(signature.id, None, Label.INNOCENT, provisional=True)
    await storage.apply(uid, Change(learning([71, 72], 0, 1, innocent_learned=1), signature, ours))
    assert await storage.signature(uid, signature.id) == Stored(b"data", None, corrections=False)
    users = Correct(signature.id, None, Label.SPAM)
    await storage.apply(uid, Change(learning([71, 72], 1, 0, spam_learned=1), correct=users))
    assert await counts(storage, uid, [71, 72]) == {71: (1, 1), 72: (1, 1)}
