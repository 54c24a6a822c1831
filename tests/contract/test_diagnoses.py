"""The doctor finds the faults of a database, and mends those that it offers to mend."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from dspamd.config.config import Config
from dspamd.diagnosis import Diagnosis
from dspamd.home.home import Home
from dspamd.storage.drivers import diagnoses, open_storage
from dspamd.storage.sql.common import Server
from tests.support.mariadb_server import MariaDB
from tests.support.postgres_server import PostgreSQL

# With another clock than the server's, each database would have a fault.
pytestmark = pytest.mark.usefixtures("clock_of_servers")

KEY = "the table dspam_token_data has no unique index of (uid, token)"
HALVED = "where a crash leaves messages half learned"


def configured(home: Path, prefix: str, server: Server, *lines: str) -> Config:
    named = {"Server": server.host, "Port": server.port, "User": server.user, "Db": server.database}
    driver = "mysql_drv" if prefix == "MySQL" else "pgsql_drv"
    head = [f"Home {home}", f"StorageDriver {driver}", *(f"{prefix}{key} {named[key]}" for key in named)]
    (home / "dspam.conf").write_text("\n".join([*head, *lines, ""]))
    return Config.load(home / "dspam.conf")


async def used(config: Config) -> None:
    """Make the tables, as the first message does."""
    storage = open_storage(config, Home(Path(config.Home)))
    await storage.open()
    assert await storage.uid("bob", create=True) is not None
    await storage.close()


async def examined(config: Config, workers: int = 2) -> Sequence[Diagnosis]:
    return await diagnoses(config, Home(Path(config.Home)), workers)


def told(found: Sequence[Diagnosis]) -> list[tuple[str, str]]:
    return [(str(each.severity), each.what) for each in found]


async def test_a_dropped_index_of_postgresql_is_made_again(
    postgres_server: PostgreSQL, tmp_path: Path
) -> None:
    server = postgres_server.new_database()
    config = configured(tmp_path, "PgSQL", server)
    ((empty, _),) = told(await examined(config))
    await used(config)
    ((well, what),) = told(await examined(config))
    assert (empty, well) == ("fine", "fine")
    assert what.endswith("answers, and has all that dspamd needs")
    postgres_server.psql(
        "ALTER TABLE dspam_token_data DROP CONSTRAINT dspam_token_data_uid_token_key;"
        "DROP INDEX id_virtual_uids_01; INSERT INTO dspam_token_data VALUES (1, 2, 1, 0), (1, 2, 1, 0);",
        server.database,
    )
    found = await examined(config)
    users = "the table dspam_virtual_uids has no unique index of (username)"
    assert told(found) == [("problem", KEY), ("problem", users)]
    tokens, names = (each.mend for each in found)
    assert tokens is not None
    assert names is not None
    with pytest.raises(Exception, match="could not create unique index"):
        await tokens()
    assert "dspamd_dspam_token_data_uid_token" in found[0].cure
    postgres_server.psql("DELETE FROM dspam_token_data", server.database)
    assert await tokens() == "made the index dspamd_dspam_token_data_uid_token"
    await names()
    assert [severity for severity, _ in told(await examined(config))] == ["fine"]


async def test_a_postgresql_that_is_not_kept(postgres_server: PostgreSQL, tmp_path: Path) -> None:
    server = postgres_server.new_database()
    config = configured(tmp_path, "PgSQL", server, "PgSQLConnectionCache 40")
    await used(config)
    alter = "ALTER TABLE dspam_token_data SET (autovacuum_enabled = off)"
    postgres_server.psql(alter, server.database)
    alone, many = await examined(config)
    assert alone.what == "autovacuum leaves dspam_token_data alone"
    assert many.severity == "problem"
    assert "may open 80 connections (workers times PgSQLConnectionCache), the server allows 57" in many.what
    postgres_server.psql(alone.cure, server.database)
    assert len(await examined(config)) == 1


async def test_a_database_whose_tables_may_not_be_made(
    postgres_server: PostgreSQL, mariadb_server: MariaDB, tmp_path: Path
) -> None:
    none = [("problem", "there are no tables of DSPAM, and we may make none")]
    server = postgres_server.new_database()
    assert told(await examined(configured(tmp_path, "PgSQL", server, "PgSQLCreateSchema off"))) == none
    postgres_server.psql(
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC; CREATE ROLE guest LOGIN", server.database
    )
    config = configured(tmp_path, "PgSQL", replace(server, user="guest"))
    (denied,) = await examined(config)
    assert [(denied.severity, denied.what)] == none
    postgres_server.psql(denied.cure, server.database)
    assert [severity for severity, _ in told(await examined(config))] == ["fine"]
    config = configured(tmp_path, "MySQL", mariadb_server.new_database(), "MySQLCreateSchema off")
    assert told(await examined(config)) == none


async def test_tables_of_mariadb(mariadb_server: MariaDB, tmp_path: Path) -> None:
    server = mariadb_server.new_database()
    config = configured(tmp_path, "MySQL", server)
    ((empty, _),) = told(await examined(config))
    await used(config)
    ((well, what),) = told(await examined(config))
    assert (empty, well) == ("fine", "fine")
    assert what.endswith("needs; max_allowed_packet has room for signatures of 32.0 MB")
    mariadb_server.query("ALTER TABLE dspam_stats ENGINE=MyISAM", server)
    mariadb_server.query("ALTER TABLE dspam_token_data DROP INDEX id_token_data_01", server)
    mariadb_server.query("ALTER TABLE dspam_signature_data MODIFY data BLOB NOT NULL", server)
    engine, index, column = await examined(config)
    assert (engine.severity, engine.what) == ("problem", f"dspam_stats is a table of MyISAM, {HALVED}")
    assert engine.cure == (
        "ALTER TABLE dspam_stats ENGINE=InnoDB; (0 MB; nothing is learned meanwhile, for about 1 s)"
    )
    assert (index.severity, index.what) == ("problem", KEY)
    assert (column.severity, column.what) == ("advice", "dspam_signature_data.data holds 65535 bytes")
    assert index.mend is not None
    assert await index.mend() == "made the index dspamd_dspam_token_data_uid_token"
    for cure in engine.cure.partition(" (")[0], column.cure:
        mariadb_server.query(cure, server)
    assert [severity for severity, _ in told(await examined(config))] == ["fine"]


async def test_limits_of_mariadb(mariadb_server: MariaDB, tmp_path: Path) -> None:
    server = mariadb_server.new_database()
    lines = ("MySQLConnectionCache 60", "Profile other", "MySQLServer.other 127.0.0.1", "MySQLPort.other 1")
    many, silent = await asyncio.wait_for(examined(configured(tmp_path, "MySQL", server, *lines)), 60)
    assert "may open 120 connections (workers times MySQLConnectionCache)" in many.what
    assert silent.what.startswith("Storage is not available: 127.0.0.1/")


async def test_a_server_that_is_only_read_must_answer_too(mariadb_server: MariaDB, tmp_path: Path) -> None:
    server = mariadb_server.new_database()
    writes = {"Server": server.host, "User": server.user, "Db": server.database}
    lines = [f"MySQLWrite{key} {value}" for key, value in writes.items()]
    (well,) = await examined(configured(tmp_path, "MySQL", server, *lines))
    (silent,) = await examined(configured(tmp_path, "MySQL", replace(server, database="nowhere"), *lines))
    assert (well.severity, silent.severity) == ("fine", "problem")
    assert "/nowhere: " in silent.what
