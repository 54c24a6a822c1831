"""Signatures, and corrections of what a message with a signature taught."""

from __future__ import annotations

import asyncio
from array import array

from dspamd.engine.changes import joined
from dspamd.engine.model import Label, Learned, TokenChange, Totals
from dspamd.maintenance.conformance.steps import (
    MISSED,
    content,
    counts,
    deliver,
    expect,
    expect_stale,
    learn,
    learning,
    new,
    totals,
)
from dspamd.storage.contract import (
    BlockChange,
    Change,
    Correct,
    Correction,
    Signature,
    Stale,
    Storage,
    Stored,
    Uid,
)

HOSTILE = ("", "'", "a'; DROP TABLE dspam_stats; --", "\0", "\udcff", "%", "ü" * 200, "x" * 5_000)


async def signatures_come_back_as_stored(storage: Storage, owner: str) -> None:
    uid = await new(storage, owner)
    large = await _largest(storage, uid, "6b001007286951114515361")
    stored = {"6b001007286951114515361": large, "12,4c873d4a27473": b"", "4c873d4a" * 4: b"\0'\"\xff"}
    for id, data in stored.items():
        expect(await storage.has_room(uid, Signature(id, data)), True, f"{id} has room")
        await storage.apply(uid, Change(Learned.nothing(), Signature(id, data)))
    for id, data in stored.items():
        expect(await content(storage, uid, id) == data, True, f"content of {id} is what was stored")
    expect(sorted(id for id, _ in await storage.signatures(uid)), sorted(stored), "ids")
    await storage.apply(uid, Change(Learned.nothing(), Signature("12,4c873d4a27473", b"later")))
    expect(await content(storage, uid, "12,4c873d4a27473"), b"later", "content of an id stored twice")
    for id in stored:
        expect(await storage.delete_signature(uid, id), True, f"{id} was there to delete")
        expect(await storage.delete_signature(uid, id), False, f"{id} was there to delete again")
    expect(await storage.signatures(uid), [], "ids after all were deleted")


async def _largest(storage: Storage, uid: Uid, id: str) -> bytes:
    """A signature of 16 MB, or of as much as the server takes: that is a limit, no fault, down to 64 KB."""
    data = bytes(range(256)) * (16 * 2**20 // 256)
    while len(data) > 2**16 and not await storage.has_room(uid, Signature(id, data)):
        data = data[: len(data) // 2]
    return data


async def corrections_can_be_copied(storage: Storage, owner: str) -> None:
    """They stay what they were in another store, and change no counter."""
    uid = await new(storage, owner)
    await learn(storage, uid, [1, 2], 1, 0, spam_learned=1)
    kept = Correction(Label.SPAM, MISSED, BlockChange("weights", b"step"), provisional=True)
    correct = Correct("s", None, kept.label, kept.provisional, kept)
    await storage.apply(uid, Change(Learned.nothing(), Signature("s", b"data"), correct))
    expect(await storage.signature(uid, "s"), Stored(b"data", kept), "a copied correction")
    expect(await counts(storage, uid, [1, 2]), {1: (1, 0), 2: (1, 0)}, "hits beside a copied correction")
    expect(await storage.blocks(uid), [], "blocks beside a copied correction")


async def hostile_signatures_find_nothing(storage: Storage, owner: str) -> None:
    """Ids come out of mails, so they may be any text."""
    uid = await new(storage, owner)
    await storage.apply(uid, Change(Learned.nothing(), Signature("4c873d4a27473", b"data")))
    for id in HOSTILE:
        expect(await storage.signature(uid, id), None, f"signature {id[:40]!r}")
        expect(await storage.delete_signature(uid, id), False, f"signature {id[:40]!r} deleted")
    expect(await content(storage, uid, "4c873d4a27473"), b"data", "the true signature")


async def corrections_count_once(storage: Storage, owner: str) -> None:
    uid = await new(storage, owner)
    await deliver(storage, uid, [1, 2])
    missed = Change(MISSED, correct=Correct("s", None, Label.SPAM))
    await storage.apply(uid, missed)
    corrected = await storage.read(uid, array("Q", [1, 2]))
    expect(corrected.totals, Totals(spam_learned=1, spam_misclassified=1), "totals after a correction")
    await expect_stale(storage, uid, missed)
    await expect_stale(storage, uid, Change(MISSED, correct=Correct("s", Label.INNOCENT, Label.SPAM)))
    expect((await storage.read(uid, array("Q", [1, 2]))).totals, corrected.totals, "after stale corrections")
    expect(await counts(storage, uid, [1, 2]), dict.fromkeys((1, 2), (1, 0)), "after stale corrections")


async def corrections_are_taken_back_exactly(storage: Storage, owner: str) -> None:
    """Also where counters had stopped at zero: token 2 was purged, 3 and the total were never learned."""
    uid = await new(storage, owner)
    await storage.apply(uid, Change(learning([1], 0, 5), Signature("s", b"")))
    before = await counts(storage, uid, [1, 2, 3]), await totals(storage, uid)
    last: Label | None = None
    for label in (Label.SPAM, Label.INNOCENT, Label.SPAM, Label.INNOCENT):
        stored = await storage.signature(uid, "s")
        last = stored.correction.label if stored and stored.correction else None
        change = stored.correction.applied.negated() if stored and stored.correction else MISSED
        await storage.apply(uid, Change(change, correct=Correct("s", last, label)))
        if label is Label.INNOCENT:
            now = await counts(storage, uid, [1, 2, 3]), await totals(storage, uid)
            expect(now, before, "counters after the opposite correction")
        else:
            expect(await counts(storage, uid, [1, 2]), {1: (1, 4), 2: (1, 0)}, "corrected hits")
            expect(
                await totals(storage, uid), Totals(spam_learned=1, spam_misclassified=1), "corrected totals"
            )


async def corrections_need_their_signature(storage: Storage, owner: str) -> None:
    uid, other = await new(storage, owner), await new(storage, f"{owner}-2")
    await deliver(storage, uid, [1, 2])
    missed = Change(MISSED, correct=Correct("s", None, Label.SPAM))
    await expect_stale(storage, other, missed)
    await storage.apply(uid, missed)
    await storage.delete_signature(uid, "s")
    await expect_stale(storage, uid, missed)
    await storage.apply(uid, Change(Learned.nothing(), Signature("s", b"again")))
    stored = await storage.signature(uid, "s")
    expect(stored and stored.correction, None, "correction of a new signature with an old id")


async def one_of_many_equal_corrections_wins(storage: Storage, owner: str) -> None:
    uid = await new(storage, owner)
    await deliver(storage, uid, [1, 2])
    missed = Change(MISSED, correct=Correct("s", None, Label.SPAM))
    outcomes = await asyncio.gather(*(storage.apply(uid, missed) for _ in range(8)), return_exceptions=True)
    expect(outcomes.count(None), 1, "number of corrections applied")
    expect(sum(isinstance(outcome, Stale) for outcome in outcomes), 7, "number of stale corrections")
    expect(await counts(storage, uid, [1, 2]), dict.fromkeys((1, 2), (1, 0)), "hits of one correction")


async def provisional_corrections_come_with_their_signature(storage: Storage, owner: str) -> None:
    uid = await new(storage, owner)
    await learn(storage, uid, [1, 2], 3, 1, spam_learned=3, innocent_learned=1)
    before = await storage.read(uid, array("Q", [1, 2, 3]))
    ours, block = learning([1, 2, 3], 0, 1, innocent_learned=1), BlockChange("weights", b"ours")
    correct = Correct("s", None, Label.INNOCENT, provisional=True)
    await storage.apply(uid, Change(ours, Signature("s", b"data"), correct, block=block))
    in_force = Correction(Label.INNOCENT, ours, block, provisional=True)
    expect(await storage.signature(uid, "s"), Stored(b"data", in_force), "signature and correction")
    delivered = await storage.read(uid, array("Q", [1, 2, 3]))
    expect(delivered.totals, Totals(3, 2), "totals")
    expect(await counts(storage, uid, [1, 2, 3]), {1: (3, 2), 2: (3, 2), 3: (0, 1)}, "hits")
    users = learning([1, 2, 3], 1, 0, spam_learned=1, spam_misclassified=1)
    await expect_stale(storage, uid, Change(users, correct=Correct("s", None, Label.SPAM)))
    change = joined(ours.negated(), users)
    await storage.apply(uid, Change(change, correct=Correct("s", Label.INNOCENT, Label.SPAM)))
    corrected = {1: (4, 1), 2: (4, 1), 3: (1, 0)}
    expect(await counts(storage, uid, [1, 2, 3]), corrected, "hits after the user's correction")
    stored = await storage.signature(uid, "s")
    expect(stored and stored.correction, Correction(Label.SPAM, change), "the user's correction")
    await storage.apply(uid, Change(change.negated(), correct=Correct("s", Label.SPAM, Label.INNOCENT)))
    expect(await storage.read(uid, array("Q", [1, 2, 3])), delivered, "counters after it was taken back")
    await storage.apply(uid, Change(ours.negated(), correct=Correct("s", Label.INNOCENT, None)))
    after = await storage.read(uid, array("Q", [1, 2]))
    expect(
        (after.totals, await counts(storage, uid, [1, 2, 3])), (before.totals, {1: (3, 1), 2: (3, 1)}), "end"
    )
    expect(await storage.signature(uid, "s"), Stored(b"data", None), "signature when nothing is in force")
    await storage.apply(uid, Change(users, correct=Correct("s", None, Label.SPAM)))
    expect(await counts(storage, uid, [3]), {3: (1, 0)}, "hits of a correction after that")


async def provisional_corrections_have_an_effect_too(storage: Storage, owner: str) -> None:
    """They are kept as they changed counters that stop at zero, in place of what had that id before."""
    uid = await new(storage, owner)
    await learn(storage, uid, [1], 0, 1, innocent_learned=1)
    for data in (b"old", b"new"):
        correct = Correct("s", None, Label.SPAM, provisional=True)
        change = learning([1, 2], 1, -1, spam_learned=1, innocent_learned=-1)
        await storage.apply(uid, Change(change, Signature("s", data), correct))
    applied = Learned(
        Totals(spam_learned=1), TokenChange(array("Q", [1, 2]), array("i", [1, 1]), array("i", [0, 0]))
    )
    wanted = Stored(b"new", Correction(Label.SPAM, applied, provisional=True))
    expect(await storage.signature(uid, "s"), wanted, "signature stored again, with its correction")
    await storage.apply(uid, Change(applied.negated(), correct=Correct("s", Label.SPAM, Label.INNOCENT)))
    expect(await counts(storage, uid, [1, 2]), {1: (1, 0), 2: (1, 0)}, "hits of the first")
