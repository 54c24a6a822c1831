"""The duties of every store, as cases that run against any of them.

The test suite runs them for each driver; `check` runs them against the store of a
site, with owners of its own that it removes afterwards.

A case takes an open store and the name of an owner who does not exist yet; names
of further owners begin with that name.  It raises `Violation` if the store breaks the contract
(`storage/contract.py`).  Tests beside the drivers do what needs access to the machine
(killed processes, full disks, held locks).
"""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from dspamd.engine.changes import joined
from dspamd.engine.model import Hits, Label, Learned, ScoreOptions, Snapshot, TokenChange, Totals
from dspamd.errors import InvalidName
from dspamd.maintenance.purge import Ages, Purged, Unused, purge
from dspamd.storage.block import LIMIT_BYTES, NO_BLOCK
from dspamd.storage.contract import (
    Block,
    BlockChange,
    Change,
    Correct,
    Correction,
    Signature,
    Stale,
    Storage,
    Stored,
    TokenRow,
    Uid,
    Unreachable,
)

Case = Callable[[Storage, str], Awaitable[None]]

EDGES = (1, 2**32, 2**63 - 1, 2**63, 2**63 + 1, 2**64 - 1)  # where signed and unsigned differ
HOSTILE = ("", "'", "a'; DROP TABLE dspam_stats; --", "\0", "\udcff", "%", "ü" * 200, "x" * 5_000)
ODD_NAMES = (
    "{}", "{} with space", "{}o'brien", '{}"quoted"', "{}`tick`", "{}back\\slash", "{};--", "{}%_*?[a]",
    "{}ünï-ツ", "{}@example.org", "{}@other.example.org", "{}\udce4", "{}/../{}", "../{}", "{}\n", "{}\0",
)  # fmt: skip


class Violation(AssertionError):
    """The store broke its contract."""


def expect(actual: object, wanted: object, what: str) -> None:
    if actual != wanted:
        raise Violation(f"{what}: {actual!r}, not {wanted!r}")


async def new(storage: Storage, owner: str) -> Uid:
    """The uid of a new owner."""
    uid = await storage.uid(owner, create=True)
    if uid is None:
        raise Violation(f"owner {owner!r} was not made")
    return uid


def learning(tokens: Sequence[int], spam: int = 0, innocent: int = 0, **totals: int) -> Learned:
    """The same change for all `tokens`, and changes of totals by name."""
    n = len(tokens)
    changes = TokenChange(array("Q", tokens), array("i", [spam] * n), array("i", [innocent] * n))
    return Learned(Totals(**totals), changes)


async def learn(storage: Storage, uid: Uid, tokens: Sequence[int], *hits: int, **totals: int) -> None:
    await storage.apply(uid, Change(learning(tokens, *hits, **totals)))


async def counts(storage: Storage, uid: Uid, tokens: Sequence[int]) -> dict[int, tuple[int, int]]:
    """Spam and innocent hits of those tokens that have any."""
    hits = (await storage.read(uid, array("Q", tokens))).hits
    return {token: (s, i) for token, s, i in zip(*hits, strict=True) if s or i}


async def totals(storage: Storage, uid: Uid) -> Totals:
    return (await storage.read(uid, array("Q"))).totals


async def all_tokens(storage: Storage, uid: Uid) -> list[TokenRow]:
    return [row async for batch in storage.tokens(uid) for row in batch]


async def owners_are_made_on_demand(storage: Storage, owner: str) -> None:
    expect(await storage.uid(owner, create=False), None, "uid of an unknown owner")
    expect(owner in await storage.owners(), False, "unknown owner is listed")
    uids = await asyncio.gather(*(storage.uid(owner, create=True) for _ in range(8)))
    expect(len(set(uids)), 1, "number of uids when eight ask at once for a new owner")
    await storage.apply(await new(storage, owner), Change(Learned.nothing()))
    expect(await storage.uid(owner, create=False), uids[0], "uid of a known owner")
    expect(owner in await storage.owners(), True, "new owner is listed")
    expect(await storage.owners(), sorted(await storage.owners()), "order of owners")


async def owners_are_found_by_their_uid(storage: Storage, owner: str) -> None:
    uid = await new(storage, owner)
    await storage.apply(uid, Change(Learned.nothing()))
    expect(await storage.owner_of(uid), owner, "owner of a uid")
    unknown: Uid = 2**32 - 1 if isinstance(uid, int) else f"{owner}-unknown"
    expect(await storage.owner_of(unknown), None, "owner of an unknown uid")


async def new_owners_know_nothing(storage: Storage, owner: str) -> None:
    uid = await new(storage, owner)
    expect((await storage.read(uid, array("Q", EDGES))), Snapshot(Totals(), Hits.none()), "first snapshot")
    expect(await all_tokens(storage, uid), [], "first tokens")
    expect(await storage.signatures(uid), [], "first signatures")
    expect(await storage.signature(uid, "none"), None, "signature never stored")
    await storage.apply(uid, Change(Learned.nothing()))
    expect(
        (await storage.read(uid, array("Q", EDGES))), Snapshot(Totals(), Hits.none()), "after an empty change"
    )


async def counters_add_up_and_stop_at_zero(storage: Storage, owner: str) -> None:
    uid = await new(storage, owner)
    await learn(storage, uid, [1, 2], 3, 1, spam_learned=5, innocent_classified=2)
    await learn(storage, uid, [2, 3], 2, 0, spam_learned=1, innocent_learned=1)
    expect(await counts(storage, uid, [1, 2, 3, 4]), {1: (3, 1), 2: (5, 1), 3: (2, 0)}, "hits added up")
    expect(await totals(storage, uid), Totals(6, 1, 0, 0, 0, 0, 0, 2), "totals added up")
    await learn(storage, uid, [1, 2], -4, 1, spam_learned=-9, innocent_learned=-1, spam_corpusfed=-1)
    expect(await counts(storage, uid, [1, 2]), {1: (0, 2), 2: (1, 2)}, "hits never fall below zero")
    expect(await totals(storage, uid), Totals(innocent_classified=2), "totals never fall below zero")


async def each_token_has_its_own_change(storage: Storage, owner: str) -> None:
    uid = await new(storage, owner)
    tokens = list(range(1, 1_001))
    changes = TokenChange(
        array("Q", tokens), array("i", (t % 7 for t in tokens)), array("i", (t % 3 for t in tokens))
    )
    await storage.apply(uid, Change(Learned(Totals(7, 3), changes)))
    wanted = {t: (t % 7, t % 3) for t in tokens if t % 7 or t % 3}
    expect(await counts(storage, uid, tokens), wanted, "hits")


async def nothing_is_kept_of_nothing(storage: Storage, owner: str) -> None:
    uid = await new(storage, owner)
    await learn(storage, uid, [1, 2], -1, 0)
    await learn(storage, uid, [3], 0, 0)
    expect(await all_tokens(storage, uid), [], "tokens after taking back what was never learned")


async def tokens_are_unsigned(storage: Storage, owner: str) -> None:
    uid = await new(storage, owner)
    await learn(storage, uid, EDGES, 1, 2, spam_learned=1, innocent_learned=2)
    await learn(storage, uid, EDGES[-1:], 1, 0, spam_learned=1)
    wanted = dict.fromkeys(EDGES, (1, 2)) | {EDGES[-1]: (2, 2)}
    expect(await counts(storage, uid, EDGES), wanted, "hits of the largest and smallest tokens")
    expect([row.token for row in await all_tokens(storage, uid)], sorted(EDGES), "their order")


async def large_messages_are_read_whole(storage: Storage, owner: str) -> None:
    uid = await new(storage, owner)
    tokens = [(n * 0x9E3779B97F4A7C15) % 2**64 for n in range(1, 30_001)]
    await learn(storage, uid, tokens, 0, 1, innocent_learned=1)
    known = await counts(storage, uid, [*tokens, *range(1, 101)])
    expect(known, dict.fromkeys(tokens, (0, 1)), "hits of 30,000 tokens")
    rows = await all_tokens(storage, uid)
    expect([row.token for row in rows], sorted(tokens), "tokens in batches, ascending")
    walked = [row async for batch in storage.tokens(uid, ordered=False) for row in batch]
    expect(sorted(walked), rows, "tokens in the order of the store")


async def tokens_are_removed_while_they_are_listed(storage: Storage, owner: str) -> None:
    uid = await new(storage, owner)
    tokens = [(n * 0x9E3779B97F4A7C15) % 2**64 for n in range(1, 12_001)]
    await learn(storage, uid, tokens, 1, 0, spam_learned=1)
    removed = 0
    async for batch in storage.tokens(uid, ordered=False):
        removed += await storage.delete_tokens(uid, array("Q", (row.token for row in batch)))
    expect(removed, len(tokens), "number of removed tokens")
    expect(await storage.delete_tokens(uid, array("Q", tokens[:9])), 0, "number of those removed again")
    expect(await all_tokens(storage, uid), [], "what is left")
    expect((await totals(storage, uid)).spam_learned, 1, "totals stay")


async def what_is_stale_is_purged(storage: Storage, owner: str) -> None:
    """The purge uses the days of the store: with a wrong clock somewhere it would empty dictionaries."""
    uid = await new(storage, owner)
    signature = Signature("4c873d4a27473", b"data")
    await storage.apply(uid, Change(learning([1, 2], 1, 0, spam_learned=1), signature))
    await learn(storage, uid, [2], 0, 9, innocent_learned=9)
    day = (await all_tokens(storage, uid))[0].last_hit
    expect(await storage.signatures(uid), [(signature.id, day)], "day of a signature, as that of its tokens")
    ages = Ages(signatures=14, unused=Unused(90, 30, 15, 15))
    # The second lesson may have come after midnight.
    for days, wanted in ((13, Purged(0, 2, 0, 1)), (16, Purged(1, 1, 1, 0)), (92, Purged(1, 0, 0, 0))):
        steps = [step async for step in purge(storage, uid, ages, ScoreOptions(), day + days)]
        expect(steps[-1], wanted, f"purged after {days} days")
    expect(await all_tokens(storage, uid), [], "tokens left in the end")
    expect(await totals(storage, uid), Totals(1, 9), "totals, which stay")


async def concurrent_learning_loses_nothing(storage: Storage, owner: str) -> None:
    uid = await new(storage, owner)
    tokens = range(1, 301)

    async def messages() -> None:
        for _ in range(5):
            await learn(storage, uid, tokens, 1, 0, spam_learned=1)

    await asyncio.gather(*(messages() for _ in range(8)))
    expect((await totals(storage, uid)).spam_learned, 40, "messages learned")
    expect(await counts(storage, uid, tokens), dict.fromkeys(tokens, (40, 0)), "hits learned")


async def owners_are_kept_apart(storage: Storage, owner: str) -> None:
    uid, other = await new(storage, owner), await new(storage, f"{owner}-2")
    signature = Signature("4c873d4a27473", b"mine")
    await storage.apply(uid, Change(learning([7], 1, 0, spam_learned=1), signature))
    await storage.apply(other, Change(Learned.nothing()))
    expect(
        await storage.read(other, array("Q", [7])),
        Snapshot(Totals(), Hits.none()),
        "counters of another owner",
    )
    expect(await storage.signature(other, signature.id), None, "another owner's signature")
    expect(await storage.delete_signature(other, signature.id), False, "another owner's signature deleted")
    expect((await _stored(storage, uid, signature.id)), b"mine", "the owner's signature")


async def names_may_be_odd(storage: Storage, owner: str) -> None:
    """Each odd name has its own dictionary, or the store refuses it with `InvalidName`."""
    names = [*(name.replace("{}", owner) for name in ODD_NAMES), (owner + "x" * 128)[:128]]
    uids: dict[str, Uid] = {}
    for number, name in enumerate(names, 1):
        try:
            uids[name] = await new(storage, name)
        except InvalidName:
            continue
        await learn(storage, uids[name], [5], number, 0, spam_learned=number)
    for number, name in enumerate(names, 1):
        if name in uids:
            expect(await counts(storage, uids[name], [5]), {5: (number, 0)}, f"hits of owner {name!r}")
            expect(await storage.uid(name, create=False), uids[name], f"uid of owner {name!r}")
            expect(name in await storage.owners(), True, f"owner {name!r} is listed")
            await storage.delete_owner(name)
    for name in (owner, f"{owner}@example.org", names[-1]):
        expect(name in uids, True, f"owner {name!r} is accepted")


async def signatures_come_back_as_stored(storage: Storage, owner: str) -> None:
    uid = await new(storage, owner)
    large = bytes(range(256)) * (16 * 2**20 // 256)
    stored = {"6b001007286951114515361": large, "12,4c873d4a27473": b"", "4c873d4a" * 4: b"\0'\"\xff"}
    for id, data in stored.items():
        expect(await storage.has_room(uid, Signature(id, data)), True, f"{id} has room")
        await storage.apply(uid, Change(Learned.nothing(), Signature(id, data)))
    for id, data in stored.items():
        expect(await _stored(storage, uid, id) == data, True, f"content of {id} is what was stored")
    expect(sorted(id for id, _ in await storage.signatures(uid)), sorted(stored), "ids")
    await storage.apply(uid, Change(Learned.nothing(), Signature("12,4c873d4a27473", b"later")))
    expect(await _stored(storage, uid, "12,4c873d4a27473"), b"later", "content of an id stored twice")
    for id in stored:
        expect(await storage.delete_signature(uid, id), True, f"{id} was there to delete")
        expect(await storage.delete_signature(uid, id), False, f"{id} was there to delete again")
    expect(await storage.signatures(uid), [], "ids after all were deleted")


async def hostile_signatures_find_nothing(storage: Storage, owner: str) -> None:
    """Ids come out of mails, so they may be any text."""
    uid = await new(storage, owner)
    await storage.apply(uid, Change(Learned.nothing(), Signature("4c873d4a27473", b"data")))
    for id in HOSTILE:
        expect(await storage.signature(uid, id), None, f"signature {id[:40]!r}")
        expect(await storage.delete_signature(uid, id), False, f"signature {id[:40]!r} deleted")
    expect(await _stored(storage, uid, "4c873d4a27473"), b"data", "the true signature")


async def corrections_count_once(storage: Storage, owner: str) -> None:
    uid = await new(storage, owner)
    await _deliver(storage, uid, [1, 2])
    missed = Change(_MISSED, correct=Correct("s", None, Label.SPAM))
    await storage.apply(uid, missed)
    corrected = await storage.read(uid, array("Q", [1, 2]))
    expect(corrected.totals, Totals(spam_learned=1, spam_misclassified=1), "totals after a correction")
    await _stale(storage, uid, missed)
    await _stale(storage, uid, Change(_MISSED, correct=Correct("s", Label.INNOCENT, Label.SPAM)))
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
        change = stored.correction.applied.negated() if stored and stored.correction else _MISSED
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
    await _deliver(storage, uid, [1, 2])
    missed = Change(_MISSED, correct=Correct("s", None, Label.SPAM))
    await _stale(storage, other, missed)
    await storage.apply(uid, missed)
    await storage.delete_signature(uid, "s")
    await _stale(storage, uid, missed)
    await storage.apply(uid, Change(Learned.nothing(), Signature("s", b"again")))
    stored = await storage.signature(uid, "s")
    expect(stored and stored.correction, None, "correction of a new signature with an old id")


async def one_of_many_equal_corrections_wins(storage: Storage, owner: str) -> None:
    uid = await new(storage, owner)
    await _deliver(storage, uid, [1, 2])
    missed = Change(_MISSED, correct=Correct("s", None, Label.SPAM))
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
    await _stale(storage, uid, Change(users, correct=Correct("s", None, Label.SPAM)))
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


async def blocks_grow_by_changes(storage: Storage, owner: str) -> None:
    uid, other = await new(storage, owner), await new(storage, f"{owner}-2")
    expect(await storage.block(uid, "weights"), NO_BLOCK, "block never written")
    expect(await storage.block(uid, "weights", since=7), NO_BLOCK, "block never written, to who knows one")
    expect(await storage.blocks(uid), [], "names of no blocks")
    for data in (b"one", b"", bytes(range(256))):
        await append(storage, uid, data)
    whole = await storage.block(uid, "weights")
    expect(whole[2:], (b"", (b"one", b"", bytes(range(256)))), "base and changes")
    last = whole.version
    expect(whole.base_version, last - 3, "version of the base, with a version for each change")
    expect(await storage.block(uid, "weights", since=last), Block(last, last - 3, None, ()), "nothing new")
    expect(
        (await storage.block(uid, "weights", since=last - 2))[2:], (None, whole.changes[1:]), "what is new"
    )
    expect((await storage.block(uid, "weights", since=last - 3))[2:], (None, whole.changes), "all changes")
    for since in (last - 4, last + 1):
        expect(await storage.block(uid, "weights", since=since), whole, "for a reader of another block")
    await learn(storage, other, [1], 1)
    expect(await storage.block(other, "weights"), NO_BLOCK, "block of another owner")
    expect(await storage.block(uid, "weights-2"), NO_BLOCK, "block of another name")
    await append(storage, uid, b"x", "another_1")
    expect(await storage.blocks(uid), ["another_1", "weights"], "names")
    expect(await storage.block(uid, "weights"), whole, "block beside another one")


async def blocks_are_folded(storage: Storage, owner: str) -> None:
    uid = await new(storage, owner)
    for data in (b"1", b"2", b"3"):
        await append(storage, uid, data)
    last = (await storage.block(uid, "weights")).version
    expect(await storage.fold(uid, "weights", last - 1, b"1+2"), True, "folded")
    folded = Block(last, last - 1, b"1+2", (b"3",))
    expect(await storage.block(uid, "weights"), folded, "folded block")
    expect(
        await storage.block(uid, "weights", since=last - 2),
        folded,
        "folded block, for a reader who lacks a change",
    )
    new_ = Block(last, last - 1, None, (b"3",))
    expect(
        await storage.block(uid, "weights", since=last - 1),
        new_,
        "folded block, for a reader who has all of its base",
    )
    for version in (last - 2, last - 1):
        expect(await storage.fold(uid, "weights", version, b"late"), False, "folded after another did so")
    expect(await storage.block(uid, "weights"), folded, "block after late folds")
    await append(storage, uid, b"4")
    expect((await storage.block(uid, "weights", since=last))[2:], (None, (b"4",)), "change after a fold")
    expect(await storage.fold(uid, "weights", last + 9, b"new"), True, "replaced")
    expect(await storage.block(uid, "weights"), Block(last + 9, last + 9, b"new", ()), "replaced block")
    await append(storage, uid, b"5")
    expect((await storage.block(uid, "weights"))[2:], (b"new", (b"5",)), "change after a replacement")
    expect(await storage.fold(uid, "made", 5, b"made"), True, "block made by a fold")
    expect(await storage.block(uid, "made"), Block(5, 5, b"made", ()), "block that a fold made")


async def blocks_change_with_the_rest_or_not_at_all(storage: Storage, owner: str) -> None:
    uid = await new(storage, owner)
    first, second = (BlockChange("weights", data) for data in (b"delivered", b"corrected"))
    await storage.apply(uid, Change(learning([1, 2], 0, 1), Signature("s", b"data"), block=first))
    missed = Change(_MISSED, correct=Correct("s", None, Label.SPAM), block=second)
    await storage.apply(uid, missed)
    await _stale(storage, uid, missed)
    await _stale(storage, uid, Change(_MISSED, correct=Correct("t", None, Label.SPAM), block=second))
    expect((await storage.block(uid, "weights")).changes, (first.data, second.data), "changes")
    stored = await storage.signature(uid, "s")
    expect(stored and stored.correction and stored.correction.block, second, "block change of a correction")
    back = BlockChange("weights", b"taken back")
    await storage.apply(uid, Change(_MISSED, correct=Correct("s", Label.SPAM, Label.INNOCENT), block=back))
    stored = await storage.signature(uid, "s")
    expect(stored and stored.correction and stored.correction.block, back, "block change of the next one")
    await storage.apply(uid, Change(_MISSED, correct=Correct("s", Label.INNOCENT, Label.SPAM)))
    stored = await storage.signature(uid, "s")
    expect(stored and stored.correction and stored.correction.block, None, "block change of one without")
    expect((await storage.block(uid, "weights")).changes, (first.data, second.data, back.data), "changes")


async def concurrent_changes_of_blocks_are_all_kept(storage: Storage, owner: str) -> None:
    """While some clients fold, a reader sees every appended change once."""
    uid = await new(storage, owner)

    async def messages(first: int) -> None:
        for n in range(first, first + 5):
            await storage.apply(uid, Change(learning([1], 1), block=BlockChange("weights", b"%d " % n)))

    async def folds() -> None:
        for _ in range(5):
            block = await storage.block(uid, "weights")
            if block.version:
                await storage.fold(
                    uid, "weights", block.version, (block.base or b"") + b"".join(block.changes)
                )

    await asyncio.gather(*(messages(first) for first in range(0, 40, 5)), folds(), folds())
    whole = await storage.block(uid, "weights")
    kept = ((whole.base or b"") + b"".join(whole.changes)).split()
    expect(sorted(map(int, kept)), list(range(40)), "changes")
    expect(whole.version - whole.base_version, len(whole.changes), "number of versions after the base")


async def blocks_may_be_large(storage: Storage, owner: str) -> None:
    uid = await new(storage, owner)
    large = bytes(range(256)) * (LIMIT_BYTES // 256)
    await append(storage, uid, large)
    block = await storage.block(uid, "weights")
    expect(block.changes == (large,), True, "large change is what was appended")
    await storage.fold(uid, "weights", block.version, large[::-1])
    await append(storage, uid, large)
    block = await storage.block(uid, "weights")
    expect(block.base == large[::-1] and block.changes == (large,), True, "large block is what was written")
    for name, data in (("weights", large + b"x"), ("", b""), ("../x", b""), ("A", b""), ("x" * 33, b"")):
        for work in (append(storage, uid, data, name), storage.fold(uid, name, block.version + 1, data)):
            try:
                await work
            except ValueError:
                continue
            raise Violation(f"block {name!r} with {len(data)} bytes was not refused")


async def blocks_are_never_purged(storage: Storage, owner: str) -> None:
    uid = await new(storage, owner)
    change = BlockChange("weights", b"data")
    await storage.apply(uid, Change(learning([1], 1, 0), Signature("s", b"data"), block=change))
    before = await storage.block(uid, "weights")
    at_once = Ages(signatures=0, neutral=0, unused=Unused(0, 0, 0, 0))
    async for _ in purge(storage, uid, at_once, ScoreOptions(), (await all_tokens(storage, uid))[0].last_hit):
        pass
    expect((await all_tokens(storage, uid), await storage.signatures(uid)), ([], []), "what is left")
    expect(await storage.block(uid, "weights"), before, "block after a purge")


async def preferences_are_kept(storage: Storage, owner: str) -> None:
    other = f"{owner}-2"
    name = "dspamdCheck"  # the default record belongs to the whole site: leave it as it was
    everybody = dict(await storage.preferences(""))
    expect(await storage.preferences(owner), {}, "preferences of an unknown owner")
    await storage.set_preference(owner, "spamAction", "tag")
    await storage.set_preference(owner, "spamSubject", "[JUNK] = 'ü'; --")
    await storage.set_preference(owner, "spamAction", "deliver")
    await storage.set_preference("", name, "1")
    wanted = {"spamAction": "deliver", "spamSubject": "[JUNK] = 'ü'; --"}
    expect(await storage.preferences(owner), wanted, "preferences")
    expect(await storage.preferences(other), {}, "preferences of another owner")
    expect(await storage.preferences(""), everybody | {name: "1"}, "preferences of everybody")
    await storage.set_preference("", name, None)
    await storage.set_preference(owner, "spamSubject", None)
    await storage.set_preference(owner, "nosuch", None)
    expect(await storage.preferences(owner), {"spamAction": "deliver"}, "preferences that remain")
    expect(await storage.preferences(""), everybody, "preferences of everybody that remain")


async def deleted_owners_leave_nothing(storage: Storage, owner: str) -> None:
    other = f"{owner}-2"
    for name in (owner, other):
        uid = await new(storage, name)
        change = learning([1], 1, 0, spam_learned=1)
        await storage.apply(uid, Change(change, Signature("s", b"data")))
        await storage.set_preference(name, "spamAction", "tag")
    await storage.delete_owner(owner)
    await storage.delete_owner(owner)
    expect(await storage.uid(owner, create=False), None, "uid of a deleted owner")
    expect(owner in await storage.owners(), False, "deleted owner is listed")
    expect(await storage.preferences(owner), {}, "preferences of a deleted owner")
    uid = await new(storage, owner)
    expect(
        await storage.read(uid, array("Q", [1])),
        Snapshot(Totals(), Hits.none()),
        "counters of the next owner",
    )
    expect(await storage.signature(uid, "s"), None, "signature of a deleted owner")
    uid = await new(storage, other)
    expect(await counts(storage, uid, [1]), {1: (1, 0)}, "hits of another owner")
    expect(await storage.preferences(other), {"spamAction": "tag"}, "preferences of another owner")


async def blocks_of_deleted_owners_are_gone(storage: Storage, owner: str) -> None:
    other = f"{owner}-2"
    for name in (owner, other):
        await append(storage, await new(storage, name), b"old")
    known = await storage.block(await new(storage, owner), "weights")
    kept = await storage.block(await new(storage, other), "weights")
    await storage.delete_owner(owner)
    uid = await new(storage, owner)
    expect(await storage.block(uid, "weights"), NO_BLOCK, "block of a deleted owner")
    expect(await storage.blocks(uid), [], "names of blocks of a deleted owner")
    await append(storage, uid, b"new")
    found = await storage.block(uid, "weights", since=known.version)
    expect(found[2:], (b"", (b"new",)), "new block, for a reader of the deleted owner's")
    expect(await storage.block(await new(storage, other), "weights"), kept, "block of another owner")


async def append(storage: Storage, uid: Uid, data: bytes, name: str = "weights") -> None:
    """Append to a block, and do nothing else."""
    await storage.apply(uid, Change(Learned.nothing(), block=BlockChange(name, data)))


_MISSED = learning([1, 2], 1, -1, spam_learned=1, spam_misclassified=1, innocent_learned=-1)


async def _deliver(storage: Storage, uid: Uid, tokens: Sequence[int]) -> None:
    """A message learned as innocent, with the signature `s`."""
    await storage.apply(uid, Change(learning(tokens, 0, 1, innocent_learned=1), Signature("s", b"data")))


async def _stored(storage: Storage, uid: Uid, signature: str) -> bytes | None:
    stored = await storage.signature(uid, signature)
    return stored.data if stored else None


async def _stale(storage: Storage, uid: Uid, change: Change) -> None:
    try:
        await storage.apply(uid, change)
    except Stale:
        return
    raise Violation("a correction whose guard does not hold was applied")


CASES: tuple[Case, ...] = (
    owners_are_made_on_demand,
    owners_are_found_by_their_uid,
    new_owners_know_nothing,
    counters_add_up_and_stop_at_zero,
    each_token_has_its_own_change,
    nothing_is_kept_of_nothing,
    tokens_are_unsigned,
    large_messages_are_read_whole,
    tokens_are_removed_while_they_are_listed,
    what_is_stale_is_purged,
    concurrent_learning_loses_nothing,
    owners_are_kept_apart,
    names_may_be_odd,
    signatures_come_back_as_stored,
    hostile_signatures_find_nothing,
    corrections_count_once,
    corrections_are_taken_back_exactly,
    corrections_need_their_signature,
    one_of_many_equal_corrections_wins,
    provisional_corrections_come_with_their_signature,
    provisional_corrections_have_an_effect_too,
    blocks_grow_by_changes,
    blocks_are_folded,
    blocks_change_with_the_rest_or_not_at_all,
    concurrent_changes_of_blocks_are_all_kept,
    blocks_may_be_large,
    blocks_are_never_purged,
    blocks_of_deleted_owners_are_gone,
    preferences_are_kept,
    deleted_owners_leave_nothing,
)


async def check(storage: Storage, owner: str) -> AsyncIterator[tuple[str, Exception | None]]:
    """Run all cases; yields the name of each case, with its fault or None.

    The owners it makes have names that begin with `owner`; it removes them.  It ends when the
    store is no longer in reach.
    """
    for number, case in enumerate(CASES):
        name = f"{owner}-{number}"
        trouble = await _trouble(case(storage, name))
        left = await _trouble(_remove(storage, name))
        yield case.__name__.replace("_", " "), trouble or left
        if isinstance(left, Unreachable):
            return


async def _trouble(work: Awaitable[None]) -> Exception | None:
    """The fault that a case finds; a store in trouble must not end the report."""
    try:
        await work
    except Exception as error:
        return error
    return None


async def _remove(storage: Storage, name: str) -> None:
    """Remove the owners of a case.  A user with preferences only is no owner in stores of files."""
    for left in (name, *await storage.owners()):
        if left.startswith(name):
            await storage.delete_owner(left)
