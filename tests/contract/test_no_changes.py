"""A store that can be read and not changed: a file without the right to write, an account that may only read.

Mail is judged and delivered.  It promises no correction that cannot work; the log has one error, /healthz
says what is wrong unless it is the file of one user and others take changes, and all is well again when it is
mended, without a restart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from dspamd.storage.contract import NoChanges
from dspamd.storage.sql import refusals
from dspamd.web.health import Health
from tests.support.drivers import address
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


@pytest.fixture(params=["sqlite3_drv", "hash_drv", "hash_drv folder", "pgsql_drv", "mysql_drv"])
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    driver, _, folder = request.param.partition(" ")
    with folder_of_stranger() as home:
        if driver == "pgsql_drv":
            yield of_postgres(home, request.getfixturevalue("postgres_server"))
        elif driver == "mysql_drv":
            yield of_mysql(home, request.getfixturevalue("mariadb_server"))
        else:
            ending = {"sqlite3_drv": "sdb", "hash_drv": "css"}[driver]

            def change(file_mode: int, folder_mode: int) -> None:
                (file,) = home.rglob(f"bob.{ending}")
                (file.parent if folder else file).chmod(folder_mode if folder else file_mode)

            with stranger():
                yield Site(home, driver, lambda: change(0o440, 0o550), lambda: change(0o660, 0o770))


def of_postgres(home: Path, server: PostgreSQL) -> Site:
    where = server.new_database(postgres_script())
    guest = f"guest_{where.database}"
    tables, sequence = ", ".join(POSTGRES_TABLES), f"GRANT ALL ON dspam_virtual_uids_seq TO {guest};"
    grant = f"GRANT ALL ON {tables} TO {guest}"
    server.psql(f"CREATE ROLE {guest} LOGIN; {grant}; {sequence}", where.database)
    (home / "pgsql.data").write_text(address(replace(where, user=guest)))
    spoil = f"REVOKE INSERT, UPDATE, DELETE ON {tables} FROM {guest}"
    name = where.database
    return Site(home, "pgsql_drv", lambda: server.psql(spoil, name), lambda: server.psql(grant, name))


def of_mysql(home: Path, server: MariaDB) -> Site:
    where = mysql_database(server, RECORDED["mysql"])
    guest = f"guest_{where.database}@localhost"
    server.query(f"GRANT SELECT ON {where.database}.* TO {guest} IDENTIFIED BY 'x'")
    (home / "mysql.data").write_text(address(replace(where, user=f"guest_{where.database}", password="x")))

    def each(what: str, whose: str) -> None:
        for table in MYSQL_TABLES:
            server.query(f"{what} INSERT, UPDATE, DELETE ON {where.database}.{table} {whose} {guest}")

    each("GRANT", "TO")
    return Site(home, "mysql_drv", lambda: each("REVOKE", "FROM"), lambda: each("GRANT", "TO"))


async def troubles(site: Site, b: PipelineFixture) -> list[str]:
    return await Health(b.parts.storage, site.home, b.parts.metrics, blocks=False).troubles()


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
        if site.driver in ("pgsql_drv", "mysql_drv"):  # it knows its rights until one is denied
            await b.process(HAM)
        assert [await promised(b) for _ in range(2)] == [False, False]
        if site.of_users:
            assert await troubles(site, b) == []  # others may have changed theirs within the last minute
            b.parts.metrics.last_changed.set(0)
            assert await troubles(site, b) == ["storage: takes no changes, see not_learned in the log"]
        else:
            with pytest.raises(NoChanges) as caught:
                await b.parts.storage.need_changes()
            assert await troubles(site, b) == [f"storage: {caught.value.detail}"]
        (error,) = [line for level, line in logged.lines if level == "error"]
        assert "not_learned" in error
        site.mend()
        await b.parts.storage.need_changes()
        signature, uid = signature_of(await b.process(HAM)), await b.parts.storage.uid("bob", create=False)
        assert uid is not None
        assert await b.parts.storage.signature(uid, signature) is not None
        assert await troubles(site, b) == []
