"""A database account that may not make the tables of blocks, or not use them, with `Algorithm joint`.

All mail waits then.  The log, /healthz, `dspamd --check-config` and `dspam_admin storage-check` say the same
sentence, and what it tells the administrator to do helps, while the daemon runs.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from dspamd.app import Parts, health
from dspamd.commands import dspamd
from dspamd.config.config import Config
from dspamd.maintenance.conformance import blocks
from dspamd.storage.block import NoBlocks
from dspamd.storage.sql import refusals
from tests.support.drivers import address
from tests.support.logged import Logged
from tests.support.mariadb_server import MariaDB
from tests.support.postgres_server import PostgreSQL
from tests.support.recorded_stores import (
    MYSQL_TABLES,
    POSTGRES_TABLES,
    RECORDED,
    mysql_database,
    postgres_script,
)

SETTINGS = """
Home {home}
StorageDriver {driver}
Algorithm joint
TrainingMode tone
{create}
ServerPID {home}/pid
ServerMode auto
TrustedDeliveryAgent /bin/cat
"""


class Site(NamedTuple):
    """A configuration, and the administrator of its database."""

    config: Config
    administer: Callable[[str], object]


@pytest.fixture(params=["PgSQL", "MySQL"])
def prefix(request: pytest.FixtureRequest) -> str:
    prefix: str = request.param
    return prefix


@pytest.fixture
def site(prefix: str, tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[str], Site]:
    """Makes a site with the tables of DSPAM alone, which its account may use."""

    def of_postgres(server: PostgreSQL) -> Callable[[str], object]:
        where = server.new_database(postgres_script())
        guest = f"guest_{where.database}"
        grants = "".join(f"GRANT ALL ON {table} TO {guest};" for table in POSTGRES_TABLES)
        sequence = f"GRANT ALL ON dspam_virtual_uids_seq TO {guest};"
        server.psql(f"CREATE ROLE {guest} LOGIN; {grants} {sequence}", where.database)
        (tmp_path / "pgsql.data").write_text(address(replace(where, user=guest)))
        return lambda script: server.psql(script, where.database)

    def of_mysql(server: MariaDB) -> Callable[[str], object]:
        where = mysql_database(server, RECORDED["mysql"])
        guest = f"guest_{where.database}"
        server.query(f"GRANT SELECT ON {where.database}.* TO {guest}@localhost IDENTIFIED BY 'x'")
        for table in MYSQL_TABLES:
            server.query(f"GRANT INSERT, UPDATE, DELETE ON {where.database}.{table} TO {guest}@localhost")
        (tmp_path / "mysql.data").write_text(address(replace(where, user=guest, password="x")))
        plain = re.compile("--[^\n]*")
        return lambda script: [
            server.query(each, where) for each in plain.sub("", script).split(";") if each.strip()
        ]

    def make(create: str) -> Site:
        if prefix == "PgSQL":
            administer = of_postgres(request.getfixturevalue("postgres_server"))
        else:
            administer = of_mysql(request.getfixturevalue("mariadb_server"))
        file, driver = tmp_path / "dspam.conf", f"{prefix.lower()}_drv"
        file.write_text(SETTINGS.format(home=tmp_path, driver=driver, create=create))
        return Site(Config.load(file), administer)

    return make


async def refused(site: Site, parts: Parts, capsys: pytest.CaptureFixture[str]) -> str:
    """The sentence that all say."""
    with pytest.raises(NoBlocks) as caught:
        await parts.storage.need_blocks()
    sentence = caught.value.detail
    assert await health(site.config, parts).troubles() == [f"storage: {sentence}"]
    with pytest.raises(NoBlocks, match=re.escape(sentence)):
        await blocks.blocks_grow_by_changes(parts.storage, "bob")
    assert await asyncio.to_thread(dspamd.check, site.config) == os.EX_CONFIG
    told = capsys.readouterr()
    assert told.err == f"{site.config.problem('StorageDriver', sentence)}\n"
    assert told.out.splitlines()[-1] == f"{site.config.file}: not usable, 1 error"
    return sentence


async def well(site: Site, parts: Parts) -> None:
    """All is well, without a restart."""
    await parts.storage.need_blocks()
    assert await health(site.config, parts).troubles() == []
    await blocks.blocks_grow_by_changes(parts.storage, "bob-2")
    await blocks.blocks_are_folded(parts.storage, "bob-3")
    assert await asyncio.to_thread(dspamd.check, site.config) == os.EX_OK


async def test_the_statement_that_it_names_helps(
    site: Callable[[str], Site],
    logged: Logged,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(refusals, "LOOK_AGAIN_S", 0.0)
    here = site("")
    async with Parts(here.config) as parts:
        sentence = await refused(here, parts, capsys)
        errors = [line for level, line in logged.lines if level == "error"]
        (grant,) = re.findall(r"GRANT CREATE[^;]*;", sentence)
        here.administer(grant)
        await well(here, parts)
    assert len(errors) == 1
    assert "blocks_refused" in errors[0]
    assert sentence in errors[0]


@pytest.mark.parametrize("create", ["", "{}CreateSchema off"])
async def test_the_file_that_it_names_helps(
    prefix: str,
    site: Callable[[str], Site],
    create: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its tables belong to another account: then it asks for the right to use them."""
    monkeypatch.setattr(refusals, "LOOK_AGAIN_S", 0.0)
    here = site(create.format(prefix))
    async with Parts(here.config) as parts:
        sentence = await refused(here, parts, capsys)
        assert ("CreateSchema is off: turn it on, or load" in sentence) == bool(create)
        (file,) = re.findall(r"load (\S+\.sql)", sentence)
        here.administer(await asyncio.to_thread(Path(file).read_text))
        sentence = await refused(here, parts, capsys)
        (grant,) = re.findall(r"GRANT [^;]*;", sentence)
        here.administer(grant)
        await well(here, parts)


def test_a_look_at_the_configuration_makes_no_table(
    prefix: str, site: Callable[[str], Site], capsys: pytest.CaptureFixture[str]
) -> None:
    """Not even if it may."""
    here = site("")
    assert dspamd.check(here.config) == os.EX_CONFIG
    (grant,) = re.findall(r"GRANT CREATE[^;]*;", capsys.readouterr().err)
    here.administer(grant)
    assert dspamd.check(here.config) == os.EX_OK
    database = {"PgSQL": "table_catalog = current_database()", "MySQL": "table_schema = database()"}[prefix]
    tables = f"SELECT count(*) FROM information_schema.tables WHERE {database} AND table_name LIKE 'dspamd%'"
    assert str(here.administer(tables)).strip() in ("0", "[[(0,)]]")


def test_the_driver_does_not_ask_for_each_mail() -> None:
    times = iter((0.0, 1.0, 4.9, 5.0, 6.0, 10.0))
    refusal = refusals.Refusals(lambda: next(times))  # its first look is that of its driver, at 0 s
    assert [refusal.look_again() for _ in range(5)] == [False, False, True, False, True]
