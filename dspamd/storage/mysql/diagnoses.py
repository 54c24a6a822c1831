"""The examination of a MySQL or MariaDB database: what it allows, and what its tables have."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import NamedTuple, TypeVar

from dspamd.config.config import Config
from dspamd.diagnosis import Diagnosis, advice, fine, problem
from dspamd.home.home import Home
from dspamd.storage.mysql.server import Connection, Connections
from dspamd.storage.mysql.tables import Tables, inspect
from dspamd.storage.sql import diagnoses as sql
from dspamd.storage.sql.common import Server, UserTable
from dspamd.storage.sql.diagnoses import Missing

T = TypeVar("T")

_MAKING_S = 3600.0  # for an index of a large table
_PACKET = 16 << 20  # bytes; signatures of the largest messages need as much

_KEYS = """
SELECT t.table_name, s.index_name, s.column_name
FROM information_schema.tables t LEFT JOIN information_schema.statistics s
    ON s.table_schema = t.table_schema AND s.table_name = t.table_name AND s.non_unique = 0
WHERE t.table_schema = DATABASE()"""

_SERVER = """
SELECT VERSION(), UNIX_TIMESTAMP(SYSDATE(6)), @@max_connections, @@max_user_connections,
    (SELECT count(*) FROM information_schema.processlist
        WHERE user <> substring_index(CURRENT_USER(), '@', 1))"""


class Facts(NamedTuple):
    version: str
    clock: float  # of the server
    measured: float  # ours, at the same time
    allowed: int  # connections
    others: int
    tables: Tables
    keys: dict[str, set[sql.Columns]]


async def diagnoses(config: Config, home: Home, workers: int) -> list[Diagnosis]:
    """What is to be said of the database that takes changes; one that is only read must answer, too.

    Changes nothing.  Raises `TempFail`, `ConfigError`.
    """
    server = Server.from_config(config, "MySQL", home.path / "mysql.data")
    if config.MySQLWriteServer:
        await _asked(server, config, _greet)
        server = Server.from_config(config, "MySQLWrite", home.path / "mysql.data")
    users = UserTable.from_config(config, "MySQL")
    seen = await _asked(server, config, _facts)
    ours = workers * config.MySQLConnectionCache
    found = list(judged(seen, users, ours, create=config.MySQLCreateSchema, server=server))
    room = f"max_allowed_packet has room for signatures of {seen.tables.statement_bytes / 2**21:.1f} MB"
    return found or [fine(f"MySQL or MariaDB {seen.version} answers, and has all that dspamd needs; {room}")]


async def _asked(server: Server, config: Config, question: Callable[[Connection], Awaitable[T]]) -> T:
    connections = Connections(server, 1, config.StorageTimeout)
    try:
        return await connections.run(question)
    finally:
        await connections.close()


async def _greet(connection: Connection) -> None:
    await connection.rows("SELECT 1")


async def _facts(connection: Connection) -> Facts:
    ((version, clock, most, most_of_account, others),) = await connection.rows(_SERVER)
    measured = time.time()
    columns: dict[tuple[str, str], list[str]] = {}
    for table, index, column in await connection.rows(_KEYS):
        columns.setdefault((table, index or ""), []).append(column or "")
    keys: dict[str, set[sql.Columns]] = {}
    for (table, _), names in columns.items():
        keys.setdefault(table, set()).add(tuple(sorted(names)))
    allowed = min(most, most_of_account or most)
    return Facts(version, float(clock), measured, allowed, others, await inspect(connection), keys)


def judged(facts: Facts, users: UserTable, ours: int, *, create: bool, server: Server) -> Iterator[Diagnosis]:
    """The judgement of a database; `ours` is how many connections the daemon may open."""
    tables = facts.tables
    if not tables.there and not create:
        why = "all mail waits"
        yield problem("there are no tables of DSPAM, and we may make none", why, "turn MySQLCreateSchema on")
    elif not tables.corrections and not create:
        why = "a correction that comes twice counts twice"
        yield advice(
            "there is no table dspamd_correction, and we may make none", why, "turn MySQLCreateSchema on"
        )
    yield from sql.judged_changes(tables.no_changes)
    for table in tables.without_transactions:
        what = f"{table.name} is a table of {table.engine}, where a crash leaves messages half learned"
        why = "what is half learned stays wrong; and each lesson locks the table for all users"
        yield problem(what, why, f"{table.cure} {table.cost}")
    missing = sql.missing_keys(facts.keys, users)
    yield from sql.judged_keys(missing, _statement, partial(_make, server))
    yield from _room(tables)
    yield from sql.judged_connections(
        sql.Connections(facts.allowed, facts.others, ours), "MySQLConnectionCache"
    )
    yield from sql.judged_clocks(facts.clock, facts.measured)


def _room(tables: Tables) -> Iterator[Diagnosis]:
    """Whether the signatures of long messages can be stored."""
    why = "long messages get no signature, and cannot be corrected by it"
    if tables.statement_bytes < _PACKET:
        cure = (
            f"SET GLOBAL max_allowed_packet = {4 * _PACKET};\n"
            "and in my.cnf below [mysqld]: max_allowed_packet=64M"
        )
        yield advice(f"max_allowed_packet is {tables.statement_bytes} bytes", why, cure)
    if 0 < tables.signature_bytes < _PACKET:
        what = f"dspam_signature_data.data holds {tables.signature_bytes} bytes"
        yield advice(what, why, "ALTER TABLE dspam_signature_data MODIFY data LONGBLOB NOT NULL;")


def _statement(missing: Missing) -> str:
    return f"ALTER TABLE {missing.table} ADD UNIQUE INDEX {missing.name} ({', '.join(missing.columns)})"


async def _make(server: Server, missing: Missing) -> str:
    """Make an index; what was done.  Raises `TempFail`."""
    connections = Connections(server, 1, _MAKING_S)
    try:
        await connections.run(lambda connection: connection.execute(_statement(missing)))
    finally:
        await connections.close()
    return f"made the index {missing.name}"
