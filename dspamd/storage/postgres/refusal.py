"""Whether the daemon will have a place for blocks in a database.  Changes nothing there."""

from __future__ import annotations

from asyncpg import Connection

from dspamd.config.config import Config
from dspamd.home.home import Home
from dspamd.storage.postgres.connections import Connections, nothing
from dspamd.storage.postgres.tables import refusal as refused
from dspamd.storage.sql.common import Server, UserTable


async def refusal(config: Config, home: Home) -> str:
    """Why the daemon would have no place for blocks, and what to do; empty if it would have one.

    Raises `TempFail`, `ConfigError`.
    """
    server = Server.from_config(config, "PgSQL", home.path / "pgsql.data")
    users = UserTable.from_config(config, "PgSQL")
    found: list[str] = []

    async def ask(connection: Connection) -> None:
        found.append(await refused(connection, users, create=config.PgSQLCreateSchema))

    connections = Connections(server, ask, count=1, deadline_s=config.StorageTimeout, prepared=False)
    await connections.open()
    try:
        await connections.run(nothing)
    finally:
        await connections.close()
    return found[0]
