"""The examination of a PostgreSQL database: what it allows, what its tables have, how it is kept."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import asyncpg
from asyncpg import Connection

from dspamd.config.config import Config
from dspamd.diagnosis import Diagnosis, advice, fine, problem
from dspamd.errors import TempFail
from dspamd.home.home import Home
from dspamd.storage.postgres.connections import POOLER, Connections, nothing, transaction
from dspamd.storage.postgres.tables import look, no_changes
from dspamd.storage.sql import diagnoses as sql
from dspamd.storage.sql.common import Server, UserTable
from dspamd.storage.sql.diagnoses import Missing

_MAKING_S = 3600.0  # for an index of a large table
_DEAD = 100_000  # rows, from which they are worth a word

_KEYS = """
SELECT c.relname, array_agg(a.attname::text ORDER BY a.attname)
FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey::int2[])
WHERE i.indisunique AND i.indisvalid AND i.indpred IS NULL AND pg_table_is_visible(c.oid)
GROUP BY c.relname, i.indexrelid"""

_TABLES = """
SELECT c.relname, coalesce(s.n_live_tup, 0), coalesce(s.n_dead_tup, 0),
    coalesce(lower(array_to_string(c.reloptions, ',')) ~ 'autovacuum_enabled=(false|off|no|0)', false)
FROM pg_class c LEFT JOIN pg_stat_user_tables s ON s.relid = c.oid
WHERE c.relkind IN ('r', 'p') AND pg_table_is_visible(c.oid) AND c.relname ~ '^dspamd?_' ORDER BY 1"""

_MAY_MAKE = "SELECT has_schema_privilege(current_schema(), 'CREATE')"

_SERVER = """
SELECT current_setting('server_version'), extract(epoch FROM clock_timestamp())::float8,
    current_setting('autovacuum')::bool AND current_setting('track_counts')::bool,
    least(current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int,
        (SELECT nullif(rolconnlimit, -1) FROM pg_roles WHERE rolname = current_user),
        (SELECT nullif(datconnlimit, -1) FROM pg_database WHERE datname = current_database())),
    (SELECT count(*) FROM pg_stat_activity
        WHERE backend_type = 'client backend' AND usename <> current_user)"""


class Table(NamedTuple):
    name: str
    live: int  # rows, roughly
    dead: int  # that a VACUUM would remove
    left_alone: bool  # by autovacuum


class Facts(NamedTuple):
    version: str
    clock: float  # of the server
    measured: float  # ours, at the same time
    autovacuum: bool
    allowed: int  # connections
    others: int
    tables: list[Table]
    keys: dict[str, set[sql.Columns]]
    there: bool  # the tables of DSPAM
    corrections: bool  # our table of them
    denied: str  # the right to make tables, as a statement that gives it; empty if we have it
    no_changes: str = ""  # why nothing can be learned
    pooled: bool = False


async def diagnoses(config: Config, home: Home, workers: int) -> list[Diagnosis]:
    """What is to be said of the database of a configuration.  Changes nothing.

    Raises `TempFail`, `ConfigError`.
    """
    server = Server.from_config(config, "PgSQL", home.path / "pgsql.data")
    users = UserTable.from_config(config, "PgSQL")
    facts: list[Facts] = []

    async def ask(connection: Connection) -> None:
        facts.append(await _facts(connection))

    connections = Connections(server, ask, count=2, deadline_s=config.StorageTimeout, prepared=False)
    await connections.open()
    try:
        await connections.run(nothing)
        seen = facts[0]._replace(pooled=await connections.pooled())
    finally:
        await connections.close()
    ours = workers * config.PgSQLConnectionCache
    create, prepared = config.PgSQLCreateSchema, config.PgSQLPreparedStatements
    found = list(judged(seen, users, ours, create=create, prepared=prepared, server=server))
    return found or [fine(f"PostgreSQL {seen.version} answers, and has all that dspamd needs")]


async def _facts(connection: Connection) -> Facts:
    layout = await transaction(connection, look)
    denied = f"GRANT CREATE ON SCHEMA {layout.schema} TO {layout.account};"
    if await connection.fetchval(_MAY_MAKE):
        denied = ""
    version, clock, autovacuum, allowed, others = await connection.fetchrow(_SERVER)
    measured = time.time()
    tables = [Table(*row) for row in await connection.fetch(_TABLES)]
    keys: dict[str, set[sql.Columns]] = {table.name: set() for table in tables}
    for name, columns in await connection.fetch(_KEYS):
        keys.setdefault(name, set()).add(tuple(columns))
    return Facts(
        version,
        clock,
        measured,
        autovacuum,
        allowed,
        others,
        tables,
        keys,
        layout.tokens,
        layout.corrections,
        denied,
        no_changes(layout) if layout.tokens else "",
    )


def judged(
    facts: Facts, users: UserTable, ours: int, *, create: bool, prepared: bool, server: Server
) -> Iterator[Diagnosis]:
    """The judgement of a database; `ours` is how many connections the daemon may open."""
    if not create or facts.denied:
        yield from _lacking(facts, facts.denied if create else "turn PgSQLCreateSchema on")
    yield from sql.judged_changes(facts.no_changes)
    missing = sql.missing_keys(facts.keys, users)
    yield from sql.judged_keys(missing, _statement, partial(_make, server))
    yield from _kept(facts)
    yield from sql.judged_connections(
        sql.Connections(facts.allowed, facts.others, ours), "PgSQLConnectionCache"
    )
    yield from sql.judged_clocks(facts.clock, facts.measured)
    if facts.pooled and prepared:
        why = "statements fail now and then, and their mail comes late"
        cure = "it may be on if the pooler keeps statements, as pgbouncer can from 1.21"
        yield advice(POOLER, why, cure)


def _lacking(facts: Facts, cure: str) -> Iterator[Diagnosis]:
    """The tables that are not there, where we cannot make them."""
    if not facts.there:
        yield problem("there are no tables of DSPAM, and we may make none", "all mail waits", cure)
    elif not facts.corrections:
        why = "a correction that comes twice counts twice"
        yield advice("there is no table dspamd_correction, and we may make none", why, cure)


def _kept(facts: Facts) -> Iterator[Diagnosis]:
    """Whether dead rows are removed: each lesson leaves some."""
    why = "each lesson leaves dead rows: tables grow without end, and every look-up becomes slower"
    if not facts.autovacuum:
        cure = (
            "ALTER SYSTEM SET autovacuum = on; ALTER SYSTEM SET track_counts = on; SELECT pg_reload_conf();"
        )
        yield problem("autovacuum is off", why, cure)
    for table in facts.tables:
        if table.left_alone:
            cure = f"ALTER TABLE {table.name} RESET (autovacuum_enabled);"
            yield problem(f"autovacuum leaves {table.name} alone", why, cure)
        elif table.dead > _DEAD and table.dead > 2 * table.live:
            what = f"{table.name} has {table.dead} dead rows and {table.live} live ones"
            yield advice(what, why, f"VACUUM (ANALYZE, VERBOSE) {table.name};")


def _statement(missing: Missing) -> str:
    """The statement that makes an index while mail flows."""
    columns = ", ".join(missing.columns)
    return f"CREATE UNIQUE INDEX CONCURRENTLY {missing.name} ON {missing.table} ({columns})"


async def _make(server: Server, missing: Missing) -> str:
    """Make an index; what was done.  Raises `TempFail`."""
    connections = Connections(server, nothing, count=1, deadline_s=_MAKING_S, prepared=True)
    await connections.open()

    async def make_index(connection: Any) -> None:
        try:
            await connection.execute(_statement(missing))
        except asyncpg.PostgresError as error:
            await connection.execute(f"DROP INDEX IF EXISTS {missing.name}")  # which would stay, invalid
            raise TempFail("the index was not made", detail=str(error)) from error

    try:
        await connections.run(make_index)
    finally:
        await connections.close()
    return f"made the index {missing.name}"
