"""Totals and hits: they add up, belong to unsigned tokens, and age."""

from __future__ import annotations

import asyncio
from array import array

from dspamd.engine.model import Hits, Learned, ScoreOptions, Snapshot, TokenChange, Totals
from dspamd.maintenance.conformance.steps import (
    all_tokens,
    content,
    counts,
    expect,
    learn,
    learning,
    new,
    totals,
)
from dspamd.maintenance.purge import Ages, Purged, Unused, purge
from dspamd.storage.contract import Change, Signature, Storage, TokenRow

EDGES = (1, 2**32, 2**63 - 1, 2**63, 2**63 + 1, 2**64 - 1)  # where signed and unsigned differ


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


async def hits_of_many_days_are_loaded(storage: Storage, owner: str) -> None:
    """They add up with what is there; the later day counts, where the store keeps days from outside."""
    uid = await new(storage, owner)
    await learn(storage, uid, EDGES[:2], 1, 1, spam_learned=9, innocent_learned=9)
    today = (await all_tokens(storage, uid))[0].last_hit
    rows = [TokenRow(token, n % 2, n, today - 9 * n) for n, token in enumerate(EDGES, 1)]
    await storage.load(uid, rows, Signature("position", b"1"))
    await storage.load(uid, rows[3:], Signature("position", b"2"))
    wanted = [
        (row.token, (1 + (n > 2)) * row.spam + (n < 2), (1 + (n > 2)) * row.innocent + (n < 2))
        for n, row in enumerate(rows)
    ]
    found = await all_tokens(storage, uid)
    expect([row[:3] for row in found], wanted, "hits that were loaded")
    days = [row.last_hit for row in found]
    kept = [today if n < 2 else row.last_hit for n, row in enumerate(rows)]
    expect(days in (kept, [today] * len(rows)), True, f"{days} are the days that were loaded, or today")
    expect(await content(storage, uid, "position"), b"2", "the signature that came with the last ones")
    expect(await totals(storage, uid), Totals(9, 9), "totals, which stay")


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
