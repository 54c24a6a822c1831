"""An open store of each driver."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from dspamd.storage.contract import Storage
from tests.support.drivers import DRIVERS, address, driver
from tests.support.mariadb_server import MariaDB, mariadb
from tests.support.postgres_server import PostgreSQL, postgresql


@pytest.fixture(params=DRIVERS)
def name(request: pytest.FixtureRequest) -> str:
    """The name of a driver."""
    driver_name: str = request.param
    return driver_name


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgreSQL]:
    with postgresql() as server:
        yield server


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[MariaDB]:
    with mariadb() as server:
        yield server


@pytest.fixture
def furnish(request: pytest.FixtureRequest) -> Callable[[str, Path], None]:
    """Makes a folder a home for a driver: with the address of a new database, if it needs one."""

    def furnish(name: str, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        if name == "postgres":
            server: PostgreSQL = request.getfixturevalue("postgres_server")
            (folder / "pgsql.data").write_text(address(server.new_database()))
        if name == "mysql":
            site: MariaDB = request.getfixturevalue("mariadb_server")
            (folder / "mysql.data").write_text(address(site.new_database()))

    return furnish


@pytest_asyncio.fixture
async def storage(name: str, tmp_path: Path, furnish: Callable[[str, Path], None]) -> AsyncIterator[Storage]:
    furnish(name, tmp_path)
    store = driver(name, tmp_path)
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def clock_of_servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our clock is that of the servers, and of the file system, whatever day the tests are told."""
    (tmp_path / "now").touch()
    ahead_s, ours = time.time() - (tmp_path / "now").stat().st_mtime, time.time
    monkeypatch.setattr(time, "time", lambda: ours() - ahead_s)
