"""Owners: they appear on demand, are kept apart, have preferences, and leave nothing behind."""

from __future__ import annotations

import asyncio
from array import array

from dspamd.engine.model import Hits, Learned, Snapshot, Totals
from dspamd.errors import InvalidName
from dspamd.maintenance.conformance.steps import append, content, counts, expect, learn, learning, new
from dspamd.storage.contract import Change, Signature, Storage, Uid

ODD_NAMES = (
    "{}", "{} with space", "{}o'brien", '{}"quoted"', "{}`tick`", "{}back\\slash", "{};--", "{}%_*?[a]",
    "{}ünï-ツ", "{}@example.org", "{}@other.example.org", "{}\udce4", "{}/../{}", "../{}", "{}\n", "{}\0",
)  # fmt: skip


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
    expect((await content(storage, uid, signature.id)), b"mine", "the owner's signature")


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


async def owners_get_another_name(storage: Storage, owner: str) -> None:
    name = f"{owner}-2"
    await storage.apply(
        await new(storage, owner), Change(learning([1], 1, 0, spam_learned=1), Signature("s", b"d"))
    )
    await append(storage, await new(storage, owner), b"change")
    await storage.set_preference(owner, "spamAction", "tag")
    for _ in range(2):
        await storage.rename_owner(owner, name)
        expect(await storage.uid(owner, create=False), None, "uid of the old name")
        expect(await storage.preferences(owner), {}, "preferences of the old name")
        expect([each for each in await storage.owners() if each.startswith(owner)], [name], "names")
        uid = await new(storage, name)
        expect(await counts(storage, uid, [1]), {1: (1, 0)}, "hits of the new name")
        expect(await content(storage, uid, "s"), b"d", "signature of the new name")
        expect((await storage.block(uid, "weights")).changes, (b"change",), "block of the new name")
        expect(await storage.preferences(name), {"spamAction": "tag"}, "preferences of the new name")
    await learn(storage, await new(storage, owner), [1], 0, 1, innocent_learned=1)
    expect(
        await counts(storage, await new(storage, owner), [1]),
        {1: (0, 1)},
        "hits of a new owner of the old name",
    )


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
