"""The tables of a site as they are, and the creation of those that are missing.

DSPAM had three schemas for MySQL, which differ in the type of tokens, and sites have
changed them since (reference/storage.md 3.1).  The driver uses them as it finds them: `inspect` looks,
and `Tables` has the differences that matter to statements.

`create` takes the numbered steps that a database has not taken: all on an empty one,
beside the tables of DSPAM only those that make our own.  It never alters a table of DSPAM.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from dspamd.storage.mysql.server import Connection
from dspamd.storage.sql.common import UserTable
from dspamd.storage.sql.schema import steps

_STEPS = steps("mysql")
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
SELECT @@max_allowed_packet, (SELECT character_octet_length FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = 'dspam_signature_data' AND column_name = 'data')"""


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
        """Seconds, roughly, for which the cure keeps others from writing."""
        return 1 + self.size // _CONVERTED_BYTES_S

    @property
    def advice(self) -> str:
        how_long = f"{self.locked_s} s" if self.locked_s < 120 else f"{self.locked_s // 60} minutes"
        return (
            f"{self.name} is a table of {self.engine}, where a crash leaves messages half learned: "
            f"{self.cure} ({self.size / 1e6:.0f} MB; nothing is learned meanwhile, for about {how_long})"
        )


def names(users: UserTable) -> Names:
    """The table may be one of another database, `accounts.users`."""
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
    blocks: bool
    without_transactions: tuple[Unsafe, ...]  # MyISAM and the like
    statement_bytes: int  # of the longest statement that the server takes

    @property
    def complete(self) -> bool:
        return self.there and self.step >= len(_STEPS)


async def inspect(connection: Connection) -> Tables:
    """The tables of the database as they are."""
    columns = {table: column for table, _, *column in await connection.rows(_COLUMNS)}
    ((packet, data),) = await connection.rows(_BOUNDS)
    tokens, signatures, *ours = (
        columns.get(table, ("", 0, "", 0, ""))
        for table in ("dspam_token_data", "dspam_signature_data", "dspamd_correction", "dspamd_block")
    )
    corrections, blocks = (_step(comment) for *_, comment in ours)
    return Tables(
        there="dspam_token_data" in columns,
        tokens_are_text="char" in tokens[0],
        signature_length=signatures[1],
        signature_bytes=data or 0,
        step=max(corrections, blocks) if corrections else 0,
        corrections=corrections > 0,
        blocks=blocks > 0,
        without_transactions=_without_transactions(columns),
        statement_bytes=packet,
    )


async def create(connection: Connection, tables: Tables, users: Names) -> None:
    """Take the steps that have not been taken."""
    for script in _STEPS[max(tables.step, int(tables.there)) :]:
        for statement in _statements(script, users):
            await connection.execute(statement)


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
