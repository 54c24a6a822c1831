"""The tables of a database as they are, and the creation of those that are missing.

The driver uses the tables of DSPAM as it finds them.  `make` creates in an empty database all of them,
else only our own.  Each kind of ours is a step of the schema, and one that the server refuses does not
keep us from the next.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import asyncpg
from asyncpg import Connection

from dspamd.storage.postgres import statements as sql
from dspamd.storage.postgres.connections import transaction
from dspamd.storage.sql import schema
from dspamd.storage.sql.common import UserTable

CORRECTIONS = 2  # the step that creates their table
_RIGHTS = "GRANT SELECT, INSERT, UPDATE, DELETE ON dspamd_block, dspamd_block_change TO"


class Layout(NamedTuple):
    """The contents of a database: tables of DSPAM, decimal tokens, and the steps that made our tables."""

    tokens: bool
    decimal: bool | None
    correction: int | None
    block: int | None
    block_ours: bool  # whether we may use the tables of blocks
    denied: str | None  # what we may not do to the tables of DSPAM
    absent: str | None  # tables of DSPAM that are not there
    read_only: bool  # whether the server takes no changes, at least from new connections
    schema: str | None  # where we make tables; a name as in a statement
    account: str

    @property
    def missing(self) -> list[int]:
        """The steps of the schema that are to be taken."""
        there = {1: self.tokens, CORRECTIONS: self.corrections, schema.BLOCKS: self.block is not None}
        return [step for step, taken in there.items() if not taken]

    @property
    def corrections(self) -> bool:
        return self.correction is not None

    @property
    def blocks(self) -> bool:
        return self.block is not None and self.block_ours


Refused = dict[int, str]
"""Why steps were not taken, and what the administrator has to do."""


def no_blocks(layout: Layout, refused: Refused) -> str:
    """Why there are no blocks, and what the administrator has to do; empty if there are."""
    if layout.blocks:
        return ""
    if layout.block is not None:
        return f"account {layout.account} may not use it: {_RIGHTS} {layout.account};"
    reason, file = refused.get(schema.BLOCKS, "it is not there"), schema.file("postgres", schema.BLOCKS)
    return f"{reason} or load {file} as the owner of the database and {_RIGHTS} {layout.account};"


def no_changes(layout: Layout) -> str:
    """Why nothing can be learned, and what the administrator has to do; empty if it can."""
    if layout.read_only:
        return (
            "the server is read-only (a standby, or default_transaction_read_only): "
            "make it writable, or name the server that is"
        )
    if layout.absent:
        script = schema.file("postgres", 1)
        return f"there is no table {layout.absent}: restore it from a backup, or make it as in {script}"
    if not layout.denied:
        return ""
    tables = "dspam_token_data, dspam_signature_data, dspam_stats"
    grant = f"GRANT SELECT, INSERT, UPDATE, DELETE ON {tables} TO {layout.account};"
    return f"account {layout.account} lacks {layout.denied}: {grant}"


async def look(connection: Connection) -> Layout:
    """The tables of the database as they are."""
    return Layout(*await connection.fetchrow(sql.LAYOUT))


async def make(
    connection: Connection, layout: Layout, users: UserTable, *, create: bool, keep: bool = True
) -> tuple[Layout, Refused]:
    """Make the missing tables, unless `create` is off; the tables as they are then.

    Without `keep` it only tries, and takes each step back.
    """
    refused: Refused = {}
    for step in layout.missing:
        if not create:
            refused[step] = "PgSQLCreateSchema is off: turn it on,"
            continue
        try:
            layout = await transaction(connection, partial(_take, users=users, step=step, keep=keep))
        except _TakenBack:
            pass
        except asyncpg.InsufficientPrivilegeError as error:
            refused[step] = f"{error}: GRANT CREATE ON SCHEMA {layout.schema} TO {layout.account};"
        except asyncpg.PostgresError as error:
            refused[step] = f"{error};"
    return layout, refused


async def refusal(connection: Connection, users: UserTable, *, create: bool) -> str:
    """Why there would be no blocks after `make`, and what to do; empty if there would be.

    Changes nothing.
    """
    layout = await transaction(connection, look)
    _, refused = await make(connection, layout, users, create=create, keep=False)
    if layout.block is None and schema.BLOCKS not in refused:
        return ""
    return no_blocks(layout, refused)


class _TakenBack(Exception):
    """A step that was only a try."""


async def _take(connection: Connection, *, users: UserTable, step: int, keep: bool) -> Layout:
    """Take a step, unless another process just did."""
    await connection.execute(sql.LOCK_SCHEMA)
    if step in (await look(connection)).missing:
        names = {"users": users.table, "uid": users.uid, "name": users.name}
        await connection.execute(schema.steps("postgres")[step - 1].format_map(names))
    if not keep:
        raise _TakenBack
    return await look(connection)
