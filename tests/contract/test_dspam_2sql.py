"""dspam_2sql: real servers execute its statements, through their own clients."""

from __future__ import annotations

import asyncio
import subprocess
from array import array
from collections.abc import Awaitable, Callable
from datetime import date
from pathlib import Path
from typing import TypeVar

import pytest

from dspamd.commands import dspam_2sql
from dspamd.engine.model import Totals
from dspamd.maintenance.conformance.counters import EDGES
from dspamd.maintenance.conformance.steps import all_tokens, new
from dspamd.storage.contract import Storage, TokenRow
from dspamd.storage.sql.common import Server
from tests.support.day import NUMBER
from tests.support.drivers import driver
from tests.support.postgres_server import PostgreSQL
from tests.support.site import Site

T = TypeVar("T")
Output = pytest.CaptureFixture[str]
USERS = {
    "o'brien\\'--": Totals(7, 6, 5, 4, 3, 2, 1, 8),
    "bob@example.org": Totals(1, 2),
    "zoë": Totals(),
}
HITS = {token: (number, 9 - number) for number, token in enumerate(EDGES)}
MANY = dict.fromkeys(range(5, 1_300), (1, 2))


@pytest.fixture(params=["libhash_drv.so", "libsqlite3_drv.so"])
def site(
    today: date, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Site:
    (tmp_path / "site").mkdir()
    site = Site(tmp_path / "site", monkeypatch, request.param)
    for (user, totals), hits in zip(USERS.items(), (HITS, MANY, {}), strict=True):
        site.teach(user, totals, hits)
    return site


def exported(capsys: Output, *words: str) -> str:
    capsys.readouterr()
    assert dspam_2sql.main(words) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def mysql(server: Server, script: str) -> int:
    """The exit status of the client."""
    command = ("mariadb", "--no-defaults", f"--socket={server.host}", "-u", "root", server.database)
    return subprocess.run(command, input=script, text=True, timeout=60, stderr=subprocess.DEVNULL).returncode


@pytest.mark.parametrize(("name", "option"), [("mysql", "mysql_drv"), ("postgres", "pgsql_drv")])
def test_servers_take_it_once(
    name: str,
    option: str,
    site: Site,
    tmp_path: Path,
    furnish: Callable[[str, Path], None],
    request: pytest.FixtureRequest,
    capsys: Output,
) -> None:
    target = tmp_path / "target"
    furnish(name, target)
    assert asyncio.run(on(name, target, lambda store: store.owners())) == []  # this makes the tables
    script = exported(capsys, "-d", option)
    server = Server.from_file(next(target.glob("*sql.data")))
    if name == "mysql":
        assert mysql(server, script) == 0
        assert mysql(server, script) != 0
    else:
        postgres: PostgreSQL = request.getfixturevalue("postgres_server")
        postgres.psql(script, server.database)
        with pytest.raises(RuntimeError, match="duplicate key"):
            postgres.psql(script, server.database)
    asyncio.run(on(name, target, everything_is_there))


async def on(name: str, folder: Path, work: Callable[[Storage], Awaitable[T]]) -> T:
    store = driver(name, folder)
    await store.open()
    try:
        return await work(store)
    finally:
        await store.close()


async def everything_is_there(store: Storage) -> None:
    assert await store.owners() == sorted(USERS)
    for (user, totals), hits in zip(USERS.items(), (HITS, MANY, {}), strict=True):
        uid = await new(store, user)
        assert (await store.read(uid, array("Q"))).totals == totals
        rows = [TokenRow(token, *pair, NUMBER) for token, pair in sorted(hits.items())]
        assert await all_tokens(store, uid) == rows
    assert await new(store, "next") not in range(1, len(USERS) + 1)


def test_some_users_keep_their_numbers(site: Site, capsys: Output) -> None:
    everybody = exported(capsys)
    some = exported(capsys, "--user=zoë")
    assert some.count("start transaction;") == 1
    assert some.removeprefix("set names utf8mb4;\n") in everybody
    assert "values (3, 'zoë');" in some


def test_who_is_not_known(site: Site, capsys: Output) -> None:
    assert dspam_2sql.main(["--user=nobody", "--user=bob@example.org"]) == 1
    out, err = capsys.readouterr()
    assert err == "Unable to obtain uid for user nobody\n"
    assert "'bob@example.org'" in out
    assert "nobody" not in out


@pytest.mark.parametrize(("words", "status"), [(["-h"], 0), (["bob"], 1), (["-d", "oracle"], 1), (["-d"], 1)])
def test_usage(words: list[str], status: int, capsys: Output) -> None:
    assert dspam_2sql.main(words) == status
    out, err = capsys.readouterr()
    if status == 0:
        assert (out, err) == (dspam_2sql.USAGE, "")
    else:
        assert out == ""
        assert err in (dspam_2sql.USAGE, "invalid driver or no driver specified\n")
