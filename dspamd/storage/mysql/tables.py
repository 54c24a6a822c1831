"""The tables of a site as they are, and the creation of those that are missing.

DSPAM had three schemas for MySQL, which differ in the type of tokens, and sites have
changed them since (reference/storage.md 3.1).  The driver uses them as it finds them: `inspect` looks,
and `Tables` has the differences that matter to statements.

`adopt` takes the numbered steps that a database has not taken: all on an empty one,
beside the tables of DSPAM only those that make our own.  It never alters a table of DSPAM.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from dspamd.storage.mysql.server import (
    ABSENT,
    DENIED,
    PASSING,
    READ_ONLY,
    UNCHANGEABLE,
    Connection,
    Error,
    number,
)
from dspamd.storage.sql import schema
from dspamd.storage.sql.common import UserTable
from dspamd.telemetry import log

_STEPS = schema.steps("mysql")
_WITHOUT_TRANSACTIONS = ("myisam", "aria")
_CONVERTED_BYTES_S = 7_000_000  # measured: 7 to 12 MB/s, the more indexes the slower

_COLUMNS = """
SELECT c.table_name, c.column_name, c.data_type, c.character_maximum_length, t.engine,
    coalesce(t.data_length + t.index_length, 0), t.table_comment
FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name)
WHERE c.table_schema = DATABASE() AND (
    c.table_name = 'dspam_token_data' AND c.column_name = 'token'
    OR c.table_name = 'dspam_signature_data' AND c.column_name = 'signature'
    OR c.table_name = 'dspam_stats' AND c.column_name = 'uid'
    OR c.table_name IN ('dspamd_correction', 'dspamd_block') AND c.column_name = 'uid')"""


_BOUNDS = """
SELECT @@max_allowed_packet, @@read_only, CURRENT_USER(), DATABASE(),
    (SELECT character_octet_length FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = 'dspam_signature_data' AND column_name = 'data')"""


# Our statements on the tables of blocks, which change nothing: the server checks our rights all the same.
_USES = (
    "INSERT INTO dspamd_block SELECT * FROM dspamd_block WHERE FALSE",
    "UPDATE dspamd_block SET version = version WHERE FALSE",
    "DELETE FROM dspamd_block WHERE FALSE",
    "INSERT INTO dspamd_block_change SELECT * FROM dspamd_block_change WHERE FALSE",
    "DELETE FROM dspamd_block_change WHERE FALSE",
)

# So for what every message changes.
_CHANGES = (
    "INSERT INTO dspam_token_data SELECT * FROM dspam_token_data WHERE FALSE",
    "UPDATE dspam_token_data SET uid = uid WHERE FALSE",
    "INSERT INTO dspam_stats SELECT * FROM dspam_stats WHERE FALSE",
    "UPDATE dspam_stats SET uid = uid WHERE FALSE",
    "REPLACE INTO dspam_signature_data SELECT * FROM dspam_signature_data WHERE FALSE",
)

# It never makes a table, because no table has that name.  The server checks our rights first.
_TRY = "CREATE TABLE dspamd_block_change LIKE dspamd_none"

_WRITABLE = "make it writable (SET GLOBAL read_only = OFF;), or name the server that is"

_OFF = "MySQLCreateSchema is off: turn it on,"

CORRECTIONS = 2  # the step that creates their table

Refused = dict[int, str]
"""Why a step failed, and the remedy of the administrator, by the number of the step."""


class Names(NamedTuple):
    """The user table and its columns, quoted."""

    table: str
    uid: str
    name: str


class Unsafe(NamedTuple):
    """A table without transactions: a crash leaves messages half learned."""

    name: str
    engine: str
    size: int  # bytes, with its indexes

    @property
    def cure(self) -> str:
        return f"ALTER TABLE {self.name} ENGINE=InnoDB;"

    @property
    def locked_s(self) -> int:
        """Seconds, roughly, during which the cure blocks all other writers."""
        return 1 + self.size // _CONVERTED_BYTES_S

    @property
    def cost(self) -> str:
        """What the cure costs."""
        how_long = f"{self.locked_s} s" if self.locked_s < 120 else f"{self.locked_s // 60} minutes"
        return f"({self.size / 1e6:.0f} MB; nothing is learned meanwhile, for about {how_long})"


def names(users: UserTable) -> Names:
    """The table of users may be in another database, as `accounts.users`."""
    table = ".".join(map(_identifier, users.table.split(".")))
    return Names(table, _identifier(users.uid), _identifier(users.name))


@dataclass(frozen=True, slots=True)
class Tables:
    """The differences between sites."""

    there: bool
    tokens_are_text: bool  # as before MySQL 4.1
    signature_length: int  # characters that a signature id may have
    signature_bytes: int  # that its data may have
    step: int  # of the schema, the last one taken
    corrections: bool  # whether there is our table for them
    blocks: bool  # whether there are our tables for them, and we may use them
    without_transactions: tuple[Unsafe, ...]  # MyISAM and the like
    statement_bytes: int  # of the longest statement that the server takes
    grant: str  # the statement that lets us make our tables, and use them
    denied: str = ""  # the error of the server when we use the tables of blocks
    no_changes: str = ""  # why nothing can be learned, and what the administrator has to do
    read_only: object = 0  # the setting of the server, which binds accounts without privileges
    bound: bool = False  # whether it binds us

    @property
    def missing(self) -> range:
        """The steps of the schema that the database lacks; DSPAM may have taken the first one."""
        return range(max(self.step, int(self.there)) + 1, len(_STEPS) + 1)

    def no_blocks(self, refused: Refused) -> str:
        """Why there are no blocks, and what the administrator has to do."""
        if self.denied:
            return f"{self.denied}: {self.grant}"
        reason = refused.get(schema.BLOCKS, "it is not there:")
        return f"{reason} or load {schema.file('mysql', schema.BLOCKS)} as another account"


async def inspect(connection: Connection) -> Tables:
    """The tables of the database as they are."""
    columns = {table: column for table, _, *column in await connection.rows(_COLUMNS)}
    ((packet, read_only, account, database, data),) = await connection.rows(_BOUNDS)
    tokens, signatures, *ours = (
        columns.get(table, ("", 0, "", 0, ""))
        for table in ("dspam_token_data", "dspam_signature_data", "dspamd_correction", "dspamd_block")
    )
    corrections, blocks = (_step(comment) for *_, comment in ours)
    denied = await _denied(connection, *_USES) if blocks else ""
    there = "dspam_token_data" in columns
    refusal = await _refusal(connection, _CHANGES, UNCHANGEABLE) if there else None
    return Tables(
        there=there,
        tokens_are_text="char" in tokens[0],
        signature_length=signatures[1],
        signature_bytes=data or 0,
        step=max(corrections, blocks) if corrections else 0,
        corrections=corrections > 0,
        blocks=blocks > 0 and not denied,
        without_transactions=_without_transactions(columns),
        statement_bytes=packet,
        grant=_grant(account, database),
        denied=denied,
        no_changes=_no_changes(refusal, _grant(account, database)) if refusal else "",
        read_only=read_only,
        bound=refusal is not None and number(refusal) in READ_ONLY,
    )


async def adopt(connection: Connection, users: Names, *, create: bool) -> tuple[Tables, Refused]:
    """The tables after an attempt to make the missing ones."""
    tables = await inspect(connection)
    if not create:
        return tables, dict.fromkeys(tables.missing, _OFF)
    refused: Refused = {}
    for step in tables.missing:
        try:
            for statement in _statements(_STEPS[step - 1], users):
                await connection.execute(statement)
        except Error as error:
            if number(error) in (PASSING - READ_ONLY if tables.there else PASSING):
                raise
            refused[step] = _told(error, tables)
    return await inspect(connection) if tables.missing else tables, refused


def report(tables: Tables, refused: Refused) -> None:
    """Log the faults of the tables that an administrator can mend."""
    if not tables.corrections:
        reason = refused.get(CORRECTIONS, "it is not there")
        log.get().warning("corrections_not_kept", table="dspamd_correction", reason=reason)
    if unsafe := tables.without_transactions:
        log.get().warning(
            "tables_without_transactions",
            tables=",".join(table.name for table in unsafe),
            advice=" ".join(table.cure for table in unsafe),
            locked_s=sum(table.locked_s for table in unsafe),
        )


async def refusal(connection: Connection, *, create: bool) -> str:
    """Why there would be no blocks after `adopt`, and what to do; empty if there would be.

    Changes nothing.
    """
    tables = await inspect(connection)
    if tables.blocks:
        return ""
    if not create:
        return tables.no_blocks({schema.BLOCKS: _OFF})
    denied = await _denied(connection, _TRY)
    return tables.no_blocks({schema.BLOCKS: f"{denied}: {tables.grant}"}) if denied or tables.denied else ""


async def _denied(connection: Connection, *statements: str) -> str:
    """The error of the server for the first of these statements that we have no right to; empty if none."""
    error = await _refusal(connection, statements, DENIED)
    return str(error.args[-1]) if error else ""


async def _refusal(connection: Connection, statements: Sequence[str], numbers: set[int]) -> Error | None:
    """The first error of these numbers for one of the statements."""
    for statement in statements:
        try:
            await connection.execute(statement)
        except Error as error:
            if number(error) in numbers:
                return error
    return None


def _no_changes(refusal: Error, grant: str) -> str:
    """Why nothing can be learned, and what the administrator has to do."""
    told = refusal.args[-1]
    if number(refusal) in READ_ONLY:
        return f"the server is read-only ({told}): {_WRITABLE}"
    if number(refusal) in ABSENT:
        return f"{told}: restore it from a backup, or make it as in {schema.file('mysql', 1)}"
    return f"{told}: {grant}"


def _told(error: Error, tables: Tables) -> str:
    """Why a step failed, and what the administrator can do about it."""
    return f"{error.args[-1]}: {tables.grant}" if number(error) in DENIED else f"{error.args[-1]};"


def _grant(account: str, database: str | None) -> str:
    name, _, host = account.rpartition("@")
    rights = "CREATE, SELECT, INSERT, UPDATE, DELETE"
    return f"GRANT {rights} ON {_identifier(database or '')}.* TO '{name}'@'{host}';"


def _step(comment: str) -> int:
    """The step of the schema that creates our own table; 0 for any other table."""
    taken = re.search(r"step (\d+)", comment)
    return int(taken[1]) if taken else 0


def _statements(script: str, users: Names) -> list[str]:
    text = re.sub(r"--[^\n]*", "", script).format_map(users._asdict())
    return [statement for statement in text.split(";") if statement.strip()]


def _without_transactions(columns: Mapping[str, Any]) -> tuple[Unsafe, ...]:
    found = (Unsafe(table, engine or "", int(size)) for table, (_, _, engine, size, _) in columns.items())
    return tuple(sorted(table for table in found if table.engine.lower() in _WITHOUT_TRANSACTIONS))


def _identifier(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"
