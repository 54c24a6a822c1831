"""The corrections of signatures: their guards, and what they did in effect."""

from __future__ import annotations

from array import array
from functools import partial

from dspamd.engine.model import Hits, Snapshot, Totals
from dspamd.mail.signature import valid
from dspamd.offload.threads import aside
from dspamd.storage.contract import Change, Correct, Stale
from dspamd.storage.correction import in_effect, rises
from dspamd.storage.mysql import statements as sql
from dspamd.storage.mysql.server import Connection
from dspamd.storage.mysql.tables import Tables


async def correct(connection: Connection, uid: int, change: Change, guard: Correct, tables: Tables) -> None:
    """Check the guard of a correction, and record the effective change.  Raises `Stale`."""
    if not valid(guard.signature):
        raise Stale
    lock, _ = sql.locked_totals(uid)
    await connection.execute(lock)
    if not change.begins:
        label = sql.label_in_force(uid, guard.signature, corrections=tables.corrections)
        if await connection.rows(label) != ((guard.expected and guard.expected.value,),):
            raise Stale
    if not tables.corrections:
        return
    if guard.label is None:
        await connection.execute(sql.delete_correction(uid, guard.signature))
        return
    learned, size = change.learned, 8 * len(change.learned.tokens.tokens)
    if not await aside(size, partial(rises, learned)):
        before = await _locked(connection, uid, learned.tokens.tokens, tables)
        learned = await aside(size, partial(in_effect, learned, before))
    keep = partial(sql.keep, uid, guard, guard.label, learned, change.block)
    await connection.execute(await aside(size, keep))
    await connection.execute(sql.forget_purged(uid))


async def _locked(connection: Connection, uid: int, tokens: array[int], tables: Tables) -> Snapshot:
    """Lock hits and read them with the totals, which the caller has locked."""
    _, read_totals = sql.locked_totals(uid)
    (totals,) = await connection.rows(read_totals)
    hits = Hits.none()
    for portion in sql.portions(tokens, tables.statement_bytes):
        ((count, *lists),) = await connection.rows(sql.locked_hits(uid, portion))
        sql.add(hits, count, lists)
    return Snapshot(Totals(*totals), hits)
