"""The corrections of signatures: what a change checks before it takes effect, and keeps afterwards."""

from __future__ import annotations

from functools import partial

from asyncpg import Connection

from dspamd.engine.model import Learned
from dspamd.offload.threads import aside
from dspamd.storage.contract import BlockChange, Correct, Stale, Uid
from dspamd.storage.correction import record
from dspamd.storage.postgres import statements as sql
from dspamd.storage.postgres.statements import Statements
from dspamd.storage.sql.common import storable


async def check(connection: Connection, statements: Statements, uid: Uid, correct: Correct) -> None:
    """Lock the signature of a correction; raise `Stale` if its guard does not hold."""
    signature = storable(correct.signature)
    if await connection.fetchval(sql.LOCK_SIGNATURE, uid, signature) is None:
        raise Stale
    if statements.corrections:  # asked after the lock: what was decided meanwhile is seen
        label = await connection.fetchval(sql.LABEL, uid, signature)
        if label != (correct.expected and correct.expected.value):
            raise Stale


async def keep(
    connection: Connection,
    statements: Statements,
    uid: Uid,
    correct: Correct,
    applied: Learned,
    block: BlockChange | None,
) -> None:
    """Keep what a correction did in effect, in place of the one before."""
    if not statements.corrections:
        return
    signature, label = storable(correct.signature), correct.label
    if label is None:
        await connection.execute(sql.DELETE_CORRECTION, uid, signature)
    else:
        recorded = await aside(8 * len(applied.tokens.tokens), partial(record, correct, applied, block))
        await connection.execute(sql.STORE_CORRECTION, uid, signature, label.value, recorded)
