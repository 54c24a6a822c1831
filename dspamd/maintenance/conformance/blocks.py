"""Blocks: they grow with the rest of a change, are folded, and outlive purges."""

from __future__ import annotations

import asyncio

from dspamd.engine.model import Label, ScoreOptions
from dspamd.maintenance.conformance.steps import (
    MISSED,
    Violation,
    all_tokens,
    append,
    expect,
    expect_stale,
    learn,
    learning,
    new,
)
from dspamd.maintenance.purge import Ages, Unused, purge
from dspamd.storage.block import LIMIT_BYTES, NO_BLOCK
from dspamd.storage.contract import Block, BlockChange, Change, Correct, Signature, Storage


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
    missed = Change(MISSED, correct=Correct("s", None, Label.SPAM), block=second)
    await storage.apply(uid, missed)
    await expect_stale(storage, uid, missed)
    await expect_stale(storage, uid, Change(MISSED, correct=Correct("t", None, Label.SPAM), block=second))
    expect((await storage.block(uid, "weights")).changes, (first.data, second.data), "changes")
    stored = await storage.signature(uid, "s")
    expect(stored and stored.correction and stored.correction.block, second, "block change of a correction")
    back = BlockChange("weights", b"taken back")
    await storage.apply(uid, Change(MISSED, correct=Correct("s", Label.SPAM, Label.INNOCENT), block=back))
    stored = await storage.signature(uid, "s")
    expect(stored and stored.correction and stored.correction.block, back, "block change of the next one")
    await storage.apply(uid, Change(MISSED, correct=Correct("s", Label.INNOCENT, Label.SPAM)))
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


async def blocks_are_replaced_if_nothing_came_between(storage: Storage, owner: str) -> None:
    uid = await new(storage, owner)
    expect(
        await storage.fold(uid, "weights", 9, b"x", expected=5), False, "replaced a block that is not there"
    )
    expect(await storage.block(uid, "weights"), NO_BLOCK, "block that was not replaced")
    expect(await storage.fold(uid, "weights", 9, b"first", expected=0), True, "made")
    expect(await storage.fold(uid, "weights", 20, b"x", expected=0), False, "made again")
    expect(await storage.block(uid, "weights"), Block(9, 9, b"first", ()), "block that was made")
    await append(storage, uid, b"1")
    for stale in (0, 9, 11):
        expect(await storage.fold(uid, "weights", 20, b"x", expected=stale), False, "replaced unread changes")
    expect(await storage.fold(uid, "weights", 9, b"x", expected=10), False, "replaced by an older base")
    expect(await storage.block(uid, "weights"), Block(10, 9, b"first", (b"1",)), "block with a change")
    expect(await storage.fold(uid, "weights", 20, b"next", expected=10), True, "replaced")
    expect(await storage.block(uid, "weights"), Block(20, 20, b"next", ()), "replaced block")


async def replacements_of_blocks_lose_no_change(storage: Storage, owner: str) -> None:
    """Clients append to a block, which none of them made first, while others replace it all the time."""
    uid = await new(storage, owner)

    async def messages(first: int) -> None:
        for n in range(first, first + 5):
            await append(storage, uid, b"%d " % n)

    async def replacements() -> None:
        for _ in range(10):
            block = await storage.block(uid, "weights")
            data, version = (block.base or b"") + b"".join(block.changes), block.version
            await storage.fold(uid, "weights", version + 1, data, expected=version)

    await asyncio.gather(*(messages(first) for first in range(0, 40, 5)), replacements(), replacements())
    whole = await storage.block(uid, "weights")
    kept = ((whole.base or b"") + b"".join(whole.changes)).split()
    expect(sorted(map(int, kept)), list(range(40)), "changes")


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
