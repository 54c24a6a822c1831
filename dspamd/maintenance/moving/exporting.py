"""Writes everything that a site keeps of a user into an archive (`archive`), from any store.

Totals are read before and after the tokens: if they differ, mail was learned meanwhile.
"""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import IO, NamedTuple

from dspamd import __version__
from dspamd.home import system_log, user_files
from dspamd.home.home import Home
from dspamd.maintenance.moving.archive import Record, Writer, as_text, day_text, packed
from dspamd.maintenance.moving.possessions import Site, hit_tokens, signatures
from dspamd.storage.contract import Storage, Stored, Uid
from dspamd.storage.correction import pack

_AT_ONCE = 64  # records of files: messages may be large
Told = Callable[[float], None]


class Exported(NamedTuple):
    """How many records of each kind there are, and how many messages were learned meanwhile."""

    counts: dict[str, int]
    learned_meanwhile: int


async def export(site: Site, name: str, file: IO[bytes], told: Told, *, files: bool = True) -> Exported:
    """Write the archive of a user; calls `told` with the share of tokens and signatures that are written.

    Without `files`, only what the store has of them.

    Raises `InvalidName`, `TempFail`, OSError.
    """
    writer = Writer(file, _header(site, name))
    uid = await site.storage.uid(name, create=False)
    learned = 0
    if uid is not None:
        before = await _learned(site.storage, uid)
        await _dictionary(writer, site.storage, uid, told)
        learned = await _learned(site.storage, uid) - before
    wanted = await site.storage.preferences(name)
    writer.add({"preference": preference, "value": value} for preference, value in wanted.items())
    if files:
        await asyncio.to_thread(_add_files, writer, site.home, name)
    contents = await asyncio.to_thread(writer.end)
    return Exported(contents.counts, learned)


def _header(site: Site, name: str) -> Record:
    config = site.config
    return {
        "version": __version__,
        "user": name,
        "driver": site.driver,
        "algorithms": list(config.Algorithm),
        "tokenizer": config.Tokenizer,
        "view": config.MessageView,
        "created": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
    }


async def _learned(storage: Storage, uid: Uid) -> int:
    totals = (await storage.read(uid, array("Q"))).totals
    return totals.spam_learned + totals.innocent_learned


async def _dictionary(writer: Writer, storage: Storage, uid: Uid, told: Told) -> None:
    totals = (await storage.read(uid, array("Q"))).totals
    writer.add([{"totals": totals._asdict()}])
    async for rows in hit_tokens(storage, uid):
        await asyncio.to_thread(writer.add_tokens, rows)
        if rows:
            told(rows[-1].token / 2**64)
    async for record in _signatures(storage, uid, told):
        writer.add([record])
    async for records in block_records(storage, uid):
        writer.add(records)


async def block_records(storage: Storage, uid: Uid) -> AsyncIterator[list[Record]]:
    """The records of the blocks of an owner, those of each block at once."""
    for name in await storage.blocks(uid):
        block = await storage.block(uid, name)
        records: list[Record] = [{"block": name, "base": packed(block.base or b"")}]
        yield records + [{"change": packed(change), "of": name} for change in block.changes]


async def _signatures(storage: Storage, uid: Uid, told: Told) -> AsyncIterator[Record]:
    known = await signatures(storage, uid)
    for n, (id_, day) in enumerate(known, 1):
        stored = await storage.signature(uid, id_)
        if stored is not None:  # else it was purged meanwhile
            yield _signature(id_, day, stored)
        told(n / len(known))


def _signature(id_: str, day: int, stored: Stored) -> Record:
    record: Record = {"signature": id_, "day": day_text(day), "data": packed(stored.data)}
    if (correction := stored.correction) is not None:
        record["correction"] = {
            "label": correction.label.value,
            "provisional": correction.provisional,
            "effect": packed(pack(correction.applied, correction.block)),
        }
    return record


def _add_files(writer: Writer, home: Home, name: str) -> None:
    records = _files(home, name)
    while some := list(islice(records, _AT_ONCE)):
        writer.add(some)


def _files(home: Home, name: str) -> Iterator[Record]:
    for way in user_files.opted(home, name):
        yield {"opt": way}
    owned = user_files.owned(home, name)
    for ending in user_files.LINES:
        if ending in owned:
            for line in user_files.lines(owned[ending]):
                yield {"line": as_text(line), "of": ending}
    for line in system_log.lines_of(home.system_log, name):
        yield {"line": as_text(line), "of": "system.log"}
    if user_files.MAILBOX in owned:
        for message in user_files.messages(owned[user_files.MAILBOX]):
            yield {"quarantined": packed(message)}
    for ending, path in user_files.others(home, name):
        yield {"file": ending, "data": packed(path.read_bytes())}
