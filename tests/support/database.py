"""A database of its own for a daemon, in PostgreSQL or MariaDB, at an address that can be moved.

Sites reach their primary by an address that moves when another server takes over.  Here
it is a socket that is a link; connections that are open stay where they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.mariadb_server import MariaDB, mariadb
from tests.support.postgres_server import PostgreSQL, postgresql


class PostgresDatabase:
    """A database `site` on a server that a test may break."""

    driver = "libpgsql_drv.so"

    def __init__(self, server: PostgreSQL) -> None:
        self.server = server
        server.psql("CREATE DATABASE site", "postgres")
        self._socket = Path(server.new_database().host) / f".s.PGSQL.{server.port}"

    def move_here(self, folder: Path) -> None:
        """Let the address below `folder` lead to this server."""
        _link(folder / ".s.PGSQL.5432", self._socket)

    @staticmethod
    def settings(folder: Path, profile: str = "") -> str:
        values = {"Server": folder, "Port": 5432, "User": "dspam", "Db": "site"}
        return "".join(f"PgSQL{name}{profile} {value}\n" for name, value in values.items())

    def learned(self) -> int:
        """How many messages its users have learned."""
        return int(self.server.psql("SELECT coalesce(sum(innocent_learned), 0) FROM dspam_stats", "site"))

    def turn_read_only(self) -> None:
        self.server.psql("ALTER SYSTEM SET default_transaction_read_only = on", "postgres")
        self.server.psql("SELECT pg_reload_conf()", "postgres")

    def sessions(self) -> int:
        """How many there are of the daemon."""
        where = "datname = 'site' AND pid <> pg_backend_pid()"
        return int(self.server.psql(f"SELECT count(*) FROM pg_stat_activity WHERE {where}", "site"))


class MariaDatabase:
    """A database `site` and its account on a server that a test may break."""

    driver = "libmysql_drv.so"

    def __init__(self, server: MariaDB) -> None:
        self.server = server
        server.query("CREATE DATABASE site")
        server.query("GRANT ALL ON site.* TO site@localhost IDENTIFIED BY ''")

    def move_here(self, folder: Path) -> None:
        _link(folder / "mysql.sock", self.server.socket)

    @staticmethod
    def settings(folder: Path, profile: str = "") -> str:
        values = {"Server": folder / "mysql.sock", "User": "site", "Db": "site"}
        return "".join(f"MySQL{name}{profile} {value}\n" for name, value in values.items())

    def learned(self) -> int:
        ((count,),) = self.server.query("SELECT coalesce(sum(innocent_learned), 0) FROM site.dspam_stats")
        return int(count)

    def turn_read_only(self) -> None:
        self.server.query("SET GLOBAL read_only = 1")

    def sessions(self) -> int:
        ((count,),) = self.server.query(
            "SELECT count(*) FROM information_schema.processlist WHERE user = 'site'"
        )
        return int(count)


Database = PostgresDatabase | MariaDatabase


@contextmanager
def database(kind: str) -> Iterator[Database]:
    """A new database on a running server of its own: `postgresql` or `mariadb`."""
    if kind == "postgresql":
        with postgresql() as postgres_server:
            yield PostgresDatabase(postgres_server)
    else:
        with mariadb() as mariadb_server:
            yield MariaDatabase(mariadb_server)


def _link(address: Path, socket: Path) -> None:
    address.parent.mkdir(exist_ok=True)
    address.unlink(missing_ok=True)
    address.symlink_to(socket)
