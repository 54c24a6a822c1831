"""Whether the daemon will have a place for blocks in a database.  Changes nothing there."""

from __future__ import annotations

from functools import partial

from dspamd.config.config import Config
from dspamd.home.home import Home
from dspamd.storage.mysql.server import Connections
from dspamd.storage.mysql.tables import refusal as refused
from dspamd.storage.sql.common import Server


async def refusal(config: Config, home: Home) -> str:
    """Why the daemon would have no place for blocks, and what to do; empty if it would have one.

    Raises `TempFail`, `ConfigError`.
    """
    connections = _changes(config, home)
    try:
        return await connections.run(partial(refused, create=config.MySQLCreateSchema))
    finally:
        await connections.close()


def _changes(config: Config, home: Home) -> Connections:
    """A connection to the server that takes changes."""
    changes = "MySQLWrite" if config.MySQLWriteServer else "MySQL"
    return Connections(
        Server.from_config(config, changes, home.path / "mysql.data"), 1, config.StorageTimeout
    )
