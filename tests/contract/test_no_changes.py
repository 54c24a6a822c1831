"""A store that can be read and not changed: a file without the right to write, an account that may only read.

Mail is judged and delivered.  It promises no correction that cannot work; the log has one error, /healthz
says what is wrong unless it is the file of one user and others take changes, and all is well again when it is
mended, without a restart.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from dspamd.config.config import Config
from dspamd.diagnosis import Severity
from dspamd.home.home import Home
from dspamd.storage.contract import NoChanges
from dspamd.storage.drivers import diagnoses
from dspamd.storage.sql import refusals
from dspamd.web.health import Health
from tests.support.drivers import address
from tests.support.full_disk import full_beyond
from tests.support.logged import Logged
from tests.support.mariadb_server import MariaDB
from tests.support.pipeline import BASE, HAM, PipelineFixture, open_pipeline, signature_of
from tests.support.postgres_server import PostgreSQL
from tests.support.recorded_stores import (
    MYSQL_TABLES,
    POSTGRES_TABLES,
    RECORDED,
    mysql_database,
    postgres_script,
)
from tests.support.stranger import folder_of_stranger, stranger


class Site(NamedTuple):
    """A store, how its administrator breaks it, and mends it."""

    home: Path
    driver: str
    spoil: Callable[[], object]
    mend: Callable[[], object]

    @property
    def of_users(self) -> bool:
        """Whether each user has a file of their own."""
        return self.driver in ("sqlite3_drv", "hash_drv")


SERVERS = [f"{driver} {fault}" for driver in ("pgsql_drv", "mysql_drv") for fault in ("absent", "read-only")]


@pytest.fixture(params=["sqlite3_drv", "hash_drv", "hash_drv folder", "pgsql_drv", "mysql_drv", *SERVERS])
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    driver, _, fault = request.param.partition(" ")
    with folder_of_stranger() as home:
        if driver == "pgsql_drv":
            yield of_postgres(home, request.getfixturevalue("postgres_server"), fault)
        elif driver == "mysql_drv":
            site = of_mysql(home, request.getfixturevalue("mariadb_server"), fault)
            yield site
            if fault == "read-only":
                site.mend()  # others use this server
        else:
            ending = {"sqlite3_drv": "sdb", "hash_drv": "css"}[driver]

            def change(file_mode: int, folder_mode: int) -> None:
                (file,) = home.rglob(f"bob.{ending}")
                (file.parent if fault else file).chmod(folder_mode if fault else file_mode)

            with stranger():
                yield Site(home, driver, lambda: change(0o440, 0o550), lambda: change(0o660, 0o770))


# The table of signatures, put away and brought back.
RENAMED = ("dspam_signature_data RENAME TO away", "away RENAME TO dspam_signature_data")


def of_postgres(home: Path, server: PostgreSQL, fault: str) -> Site:
    where = server.new_database(postgres_script())
    guest = f"guest_{where.database}"
    tables, sequence = ", ".join(POSTGRES_TABLES), f"GRANT ALL ON dspam_virtual_uids_seq TO {guest};"
    grant = f"GRANT ALL ON {tables} TO {guest}"
    server.psql(f"CREATE ROLE {guest} LOGIN; {grant}; {sequence}", where.database)
    (home / "pgsql.data").write_text(address(replace(where, user=guest)))
    spoil, mend = f"REVOKE INSERT, UPDATE, DELETE ON {tables} FROM {guest}", grant
    name = where.database
    if fault == "absent":
        spoil, mend = (f"ALTER TABLE {renamed}" for renamed in RENAMED)
    elif fault:
        parted = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{guest}'"
        setting = f"ALTER DATABASE {name} SET default_transaction_read_only"
        again = "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE"
        spoil, mend = f"{setting} = on; {parted}", f"{again}; {setting} = off"
    return Site(home, "pgsql_drv", lambda: server.psql(spoil, name), lambda: server.psql(mend, name))


def of_mysql(home: Path, server: MariaDB, fault: str) -> Site:
    where = mysql_database(server, RECORDED["mysql"])
    guest = f"guest_{where.database}@localhost"
    server.query(f"GRANT SELECT ON {where.database}.* TO {guest} IDENTIFIED BY 'x'")
    (home / "mysql.data").write_text(address(replace(where, user=f"guest_{where.database}", password="x")))

    def each(what: str, whose: str) -> None:
        for table in MYSQL_TABLES:
            server.query(f"{what} INSERT, UPDATE, DELETE ON {where.database}.{table} {whose} {guest}")

    each("GRANT", "TO")
    if fault == "absent":
        server.query(f"GRANT ALL ON {where.database}.* TO {guest}")
        spoil, mend = (f"ALTER TABLE {renamed}" for renamed in RENAMED)
        return Site(home, "mysql_drv", lambda: server.query(spoil, where), lambda: server.query(mend, where))
    if fault:
        switch = "SET GLOBAL read_only ="
        return Site(
            home, "mysql_drv", lambda: server.query(f"{switch} 1"), lambda: server.query(f"{switch} 0")
        )
    return Site(home, "mysql_drv", lambda: each("REVOKE", "FROM"), lambda: each("GRANT", "TO"))


async def troubles(site: Site, b: PipelineFixture) -> list[str]:
    return await Health(b.parts.storage, site.home, b.parts.metrics, blocks=False).troubles()


async def diagnosed(site: Site) -> list[str]:
    """The problems of the database that the doctor sees."""
    config = Config.from_text(f"Home {site.home}\nStorageDriver {site.driver}\n")
    found = await diagnoses(config, Home(site.home), workers=1)
    return [each.what for each in found if each.severity == Severity.PROBLEM]


async def promised(b: PipelineFixture) -> bool:
    """Whether mail, which is delivered, has a signature."""
    outcome = await b.process(HAM)
    assert outcome.reply.code == 250
    assert outcome.verdict is not None
    return outcome.verdict.signature is not None


async def test_it_promises_nothing_and_says_why(
    site: Site, logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "LOOK_AGAIN_S", 0.0)
    async with open_pipeline(site.home, base=BASE.replace("sqlite3_drv", site.driver)) as b:
        assert await promised(b)
        assert await troubles(site, b) == []
        site.spoil()
        if not site.of_users and not await troubles(site, b):
            await b.process(HAM)  # it knows its rights until one is denied
        assert [await promised(b) for _ in range(2)] == [False, False]
        if site.of_users:
            assert await troubles(site, b) == []  # others may have changed theirs within the last minute
            b.parts.metrics.last_changed.set(0)
            assert await troubles(site, b) == ["storage: takes no changes, see not_learned in the log"]
        else:
            with pytest.raises(NoChanges) as caught:
                await b.parts.storage.need_changes()
            assert await troubles(site, b) == [f"storage: {caught.value.detail}"]
            (found,) = await diagnosed(site)
            assert found.startswith("the database takes no changes: ")
        (error,) = [line for level, line in logged.lines if level == "error"]
        assert "not_learned" in error
        site.mend()
        await b.parts.storage.need_changes()
        signature, uid = signature_of(await b.process(HAM)), await b.parts.storage.uid("bob", create=False)
        assert uid is not None
        assert await b.parts.storage.signature(uid, signature) is not None
        assert await troubles(site, b) == []


def names(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


async def test_a_full_disk_is_no_health(tmp_path: Path) -> None:
    async with open_pipeline(tmp_path) as b:
        health, again = (Health(b.parts.storage, tmp_path, b.parts.metrics, blocks=False) for _ in range(2))
        before = names(tmp_path)
        with full_beyond(10_000):
            assert await health.troubles() == ["home: no space left"]
        assert await again.troubles() == []
        assert names(tmp_path) == before


def mode(home: Path, name: str, new: int | None = None) -> int:
    """The mode of a file, after it was changed."""
    (file,) = home.rglob(name)
    if new is not None:
        file.chmod(new)
    return stat.S_IMODE(file.stat().st_mode)


async def test_what_sqlite_made_beside_a_file_is_mended_with_it() -> None:
    """It gives its files the mode of the database, which may be that of a bad moment."""
    with folder_of_stranger() as home, stranger():
        async with open_pipeline(home) as b:
            await b.process(HAM)
        mode(home, "bob.sdb", 0o440)
        async with open_pipeline(home) as b:
            assert not await promised(b)
            assert mode(home, "bob.sdb-shm") == 0o440
            mode(home, "bob.sdb", 0o660)
            for _ in range(2):
                signature = signature_of(await b.process(HAM))
                assert await b.parts.storage.signature("bob", signature) is not None
            assert mode(home, "bob.sdb-shm") == 0o660
