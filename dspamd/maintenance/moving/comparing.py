"""Whether a site has what an archive has of a user: totals, tokens, signatures, preferences."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import AsyncIterator, Sequence

from dspamd.engine.model import Totals
from dspamd.maintenance.moving.archive import Archive, BadArchive, Contents, Record, TokenDigest, row_of
from dspamd.maintenance.moving.possessions import Site, hit_tokens, signatures
from dspamd.storage.contract import Storage, TokenRow, Uid


async def compare(site: Site, name: str, archive: Archive, contents: Contents, *, exact: bool) -> list[str]:
    """What differs, in words; empty if the site has all.

    `exact`: counters are the same; else they may be higher, because other mail was learned, too.
    Raises `BadArchive`, `InvalidName`, `TempFail`, OSError.
    """
    uid = await site.storage.uid(name, create=False)
    known = {id_ for id_, _ in await signatures(site.storage, uid)} if uid is not None else set()
    preferences = {each.lower() for each in await site.storage.preferences(name)}
    found: list[str] = []
    lacking = dict.fromkeys(("token", "signature", "preference"), 0)
    try:
        async for records in _batches(archive, tokens=not exact):
            for record in records:
                if "totals" in record:
                    found += await _totals(site.storage, uid, Totals(**record["totals"]), exact=exact)
                lacking["signature"] += "signature" in record and record["signature"] not in known
                lacking["preference"] += (
                    "preference" in record and record["preference"].lower() not in preferences
                )
            rows = [row_of(record) for record in records if "token" in record]
            lacking["token"] += await _fewer(site.storage, uid, rows)
    except (KeyError, TypeError, ValueError) as error:
        raise BadArchive(archive.path, f"a record cannot be used: {error!r}") from error
    if exact:
        found += await _tokens(site.storage, uid, contents)
    return found + [f"{count} {kind}s are missing" for kind, count in lacking.items() if count]


async def _batches(archive: Archive, *, tokens: bool) -> AsyncIterator[list[Record]]:
    records = archive.records(tokens=tokens)
    while (batch := await asyncio.to_thread(next, records, None)) is not None:
        yield batch[0]


async def _totals(storage: Storage, uid: Uid | None, wanted: Totals, *, exact: bool) -> list[str]:
    found = Totals() if uid is None else (await storage.read(uid, array("Q"))).totals
    enough = found == wanted if exact else all(map(int.__ge__, found, wanted))
    return [] if enough else [f"the totals are {tuple(found)}, not {tuple(wanted)}"]


async def _fewer(storage: Storage, uid: Uid | None, rows: Sequence[TokenRow]) -> int:
    """How many tokens are not there, or have fewer hits."""
    if uid is None or not rows:
        return len(rows)
    hits = (await storage.read(uid, array("Q", [row.token for row in rows]))).hits
    known = {token: (spam, innocent) for token, spam, innocent in zip(*hits, strict=True)}
    there = (known.get(row.token, (-1, -1)) for row in rows)
    return sum(
        spam < row.spam or innocent < row.innocent for row, (spam, innocent) in zip(rows, there, strict=True)
    )


async def _tokens(storage: Storage, uid: Uid | None, contents: Contents) -> list[str]:
    count, digest = 0, TokenDigest()
    async for rows in hit_tokens(storage, uid) if uid is not None else _none():
        count += len(rows)
        await asyncio.to_thread(digest.add, rows)
    wanted = contents.counts.get("token", 0), contents.tokens
    if (count, digest.hex()) == wanted:
        return []
    return [
        f"there are {count} tokens with checksum {digest.hex()[:16]}, not {wanted[0]} with {wanted[1][:16]}"
    ]


async def _none() -> AsyncIterator[list[TokenRow]]:
    return
    yield []
