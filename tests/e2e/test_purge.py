"""The daemon purges by itself when it is due: one of its workers does, once, the stores of all profiles."""

from __future__ import annotations

import asyncio
import os
from array import array
from pathlib import Path

import pytest

from dspamd.engine.model import Learned, TokenChange, Totals
from dspamd.storage.contract import Change
from dspamd.storage.postgres.store import Postgres
from dspamd.storage.sql.common import Server
from tests.support.daemon import Daemon
from tests.support.drivers import VIRTUAL_USERS
from tests.support.ports import free_port
from tests.support.postgres_server import postgresql
from tests.support.site import Site
from tests.support.wait import until

SETTINGS = "PurgeInterval 24\nPurgeNeutral 0\nServerWorkers 2\n"


def test_purge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(tmp_path, monkeypatch)
    site.teach("bob", Totals(50, 50), {1: (1, 0), 2: (0, 9)})
    stamp = tmp_path / "purge.lock"
    stamp.touch()
    os.utime(stamp, (0, 0))
    daemon = Daemon(tmp_path, free_port(), settings=SETTINGS)
    with daemon:
        until(lambda: stamp.stat().st_mtime > 0, lambda: "a purge; it said:\n" + daemon.output)
    assert site.known("bob") == {2: (0, 9)}
    assert daemon.output.count("event=purge_done ") == 1


def test_all_profiles_are_purged(tmp_path: Path) -> None:
    with postgresql() as server:
        databases = [server.new_database() for _ in range(2)]
        settings = SETTINGS + "".join(
            f"Profile p{n}\nPgSQLServer.p{n} {where.host}\nPgSQLPort.p{n} {where.port}\n"
            f"PgSQLUser.p{n} {where.user}\nPgSQLDb.p{n} {where.database}\n"
            for n, where in enumerate(databases)
        )
        for where in databases:
            asyncio.run(_teach(where))
        stamp = tmp_path / "purge.lock"
        stamp.touch()
        os.utime(stamp, (0, 0))
        daemon = Daemon(
            tmp_path, free_port(), driver="libpgsql_drv.so", settings=f"{settings}DefaultProfile p0\n"
        )
        with daemon:
            until(lambda: stamp.stat().st_mtime > 0, lambda: "a purge; it said:\n" + daemon.output)
        for where in databases:
            assert server.psql("SELECT token FROM dspam_token_data", where.database) == "2\n"
    assert [f"event=purge_done profile=p{n} " in daemon.output for n in range(2)] == [True, True]


async def _teach(where: Server) -> None:
    """One token that says nothing, and one that does."""
    store = Postgres(where, VIRTUAL_USERS)
    await store.open()
    uid = await store.uid("bob", create=True)
    assert uid is not None
    hits = TokenChange(array("Q", (1, 2)), array("i", (1, 0)), array("i", (0, 9)))
    await store.apply(uid, Change(Learned(Totals(50, 50), hits)))
    await store.close()
