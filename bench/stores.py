"""The four stores of the measurements, each with its server and its files in its own folder."""

from __future__ import annotations

import asyncio
import tempfile
from array import array
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from dspamd.engine.model import Learned, TokenChange, Totals
from dspamd.storage.contract import Storage
from dspamd.storage.sql.common import Server
from tests.support.day import TODAY
from tests.support.drivers import address, driver
from tests.support.mariadb_server import MariaDB, mariadb
from tests.support.postgres_server import PostgreSQL, postgresql

_MEMORY = 2**31  # of a server, for its tables: caches that are too small are the site's affair
_LOG = 2**30  # that is not written out while tables are filled


@dataclass(frozen=True)
class Place:
    """Where stores of one driver are made: `library` for dspam.conf, and the server, if there is one."""

    name: str
    driver: str
    library: str
    server: PostgreSQL | MariaDB | None = None

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """A new home, whose database is empty."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            if self.server is not None:
                server = self.server.new_database()
                file = "pgsql.data" if isinstance(self.server, PostgreSQL) else "mysql.data"
                (folder / file).write_text(address(server))
            yield folder

    def store(self, folder: Path, today: Callable[[], date] = lambda: TODAY) -> Storage:
        return driver(self.driver, folder, today)


@contextmanager
def places() -> Iterator[list[Place]]:
    """All four; the servers run meanwhile."""
    with ExitStack() as stack:
        postgres_server = stack.enter_context(postgresql())
        mariadb_server = stack.enter_context(mariadb())
        _enlarge(postgres_server, mariadb_server)
        yield [
            Place("hash files", "hash", "libhash_drv.so"),
            Place("SQLite", "sqlite", "libsqlite3_drv.so"),
            Place("PostgreSQL", "postgres", "libpgsql_drv.so", postgres_server),
            Place("MariaDB", "mysql", "libmysql_drv.so", mariadb_server),
        ]


def _enlarge(postgres_server: PostgreSQL, mariadb_server: MariaDB) -> None:
    """Give servers as much memory as a site with millions of tokens would."""
    for setting, value in (("shared_buffers", f"{_MEMORY >> 20}MB"), ("max_wal_size", f"{_LOG >> 20}MB")):
        postgres_server.psql(f"ALTER SYSTEM SET {setting} = '{value}'", "postgres")
    postgres_server.stop()
    postgres_server.start()
    mariadb_server.query(f"SET GLOBAL innodb_buffer_pool_size = {_MEMORY}")
    mariadb_server.query(f"SET GLOBAL innodb_log_file_size = {_LOG}")


async def grown(place: Place, folder: Path) -> None:
    """Update the statistics of the server about its tables, as it does itself in time."""
    if isinstance(place.server, PostgreSQL):
        database = Server.from_file(folder / "pgsql.data").database
        await asyncio.to_thread(place.server.psql, "VACUUM ANALYZE dspam_token_data", database)


def lesson(tokens: array[int]) -> Learned:
    """An innocent message with these tokens."""
    n = len(tokens)
    changes = TokenChange(tokens, array("i", bytes(4 * n)), array("i", [1]) * n)
    return Learned(Totals(innocent_learned=1), changes)
