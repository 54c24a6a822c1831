"""The stores that the contract is tested against, by a name that another process can open too."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

from dspamd.home.home import Home
from dspamd.storage.contract import Storage
from dspamd.storage.sql.common import Server, UserTable
from tests.support.day import TODAY

DRIVERS = ("sqlite", "hash", "postgres", "mysql")
VIRTUAL_USERS = UserTable("dspam_virtual_uids", "uid", "username")


def driver(name: str, folder: Path, today: Callable[[], date] = lambda: TODAY) -> Storage:
    """A store of the driver `name` whose data are below `folder`, not opened yet."""
    if name == "sqlite":
        from dspamd.storage.files.sqlite import SQLite

        return SQLite(Home(folder), today=today)
    if name == "hash":
        from dspamd.storage.files.css import Shape
        from dspamd.storage.files.hash import HashFiles

        return HashFiles(Home(folder), Shape(seek=10, percent=10), today=today)
    if name == "postgres":
        from dspamd.storage.postgres.store import Postgres

        return Postgres(Server.from_file(folder / "pgsql.data"), VIRTUAL_USERS, today=today)
    if name == "mysql":
        from dspamd.storage.mysql.server import Connections
        from dspamd.storage.mysql.store import MySQL

        connections = Connections(Server.from_file(folder / "mysql.data"), 3, 30.0)
        return MySQL(connections, connections, VIRTUAL_USERS, today=today)
    raise ValueError(name)


def address(server: Server) -> str:
    """Where a server is, as another process can read it."""
    return f"{server.host}\n{server.port}\n{server.user}\n{server.password}\n{server.database}\n"
