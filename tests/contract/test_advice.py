"""The advice about databases that work and could work better; it changes nothing there."""

from __future__ import annotations

import re
from pathlib import Path

import asyncpg
import pytest

from dspamd.commands import dspamd
from dspamd.config.config import Config
from dspamd.errors import Problem, TempFail
from dspamd.home.home import Home
from dspamd.maintenance.conformance import suite
from dspamd.storage.drivers import advice
from dspamd.storage.mysql.server import Connections
from dspamd.storage.mysql.store import MySQL
from dspamd.storage.postgres.store import Postgres
from dspamd.storage.sql.common import Server
from tests.support.drivers import VIRTUAL_USERS
from tests.support.mariadb_server import MariaDB
from tests.support.pgbouncer import pgbouncer
from tests.support.postgres_server import PostgreSQL

# With another clock than the server's, each database would have a fault.
pytestmark = pytest.mark.usefixtures("clock_of_servers")

POOLED = "PgSQLPreparedStatements has to be off, since a pooler"


def configured(home: Path, prefix: str, server: Server, *lines: str) -> Config:
    driver = "mysql_drv" if prefix == "MySQL" else "pgsql_drv"
    named = [
        f"{prefix}Server {server.host}",
        f"{prefix}Port {server.port}",
        f"{prefix}User {server.user}",
        f"{prefix}Db {server.database}",
    ]
    head = [f"Home {home}", f"StorageDriver {driver}", *named, f"ServerPID {home}/pid"]
    (home / "dspam.conf").write_text("\n".join([*head, *lines, ""]))
    return Config.load(home / "dspam.conf")


async def told(config: Config) -> list[Problem]:
    return await advice(config, Home(Path(config.Home)), 2)


async def test_a_pooler_that_gives_each_transaction_another_connection(
    postgres_server: PostgreSQL, tmp_path: Path
) -> None:
    behind = postgres_server.new_database()
    with pgbouncer(behind, "transaction") as server:
        (problem,) = await told(configured(tmp_path, "PgSQL", server))
        assert str(problem).startswith(f"{tmp_path}/dspam.conf:3: {POOLED} (such as pgbouncer")
        assert await told(configured(tmp_path, "PgSQL", server, "PgSQLPreparedStatements off")) == []
    with pgbouncer(behind, "session") as server:
        assert await told(configured(tmp_path, "PgSQL", server)) == []
    assert await told(configured(tmp_path, "PgSQL", behind)) == []
    tables = "SELECT count(*) FROM pg_class WHERE relname LIKE 'dspam%'"
    assert postgres_server.psql(tables, behind.database) == "0\n"


async def test_the_error_of_a_pooler_names_our_option(postgres_server: PostgreSQL) -> None:
    with pgbouncer(postgres_server.new_database(), "transaction") as server:
        storage = Postgres(server, VIRTUAL_USERS, connections=1)
        await storage.open()
        await storage.uid("bob", create=True)
        other = await asyncpg.connect(
            host=server.host, port=server.port, user=server.user, database=server.database,
            statement_cache_size=0,
        )  # fmt: skip
        await other.execute("BEGIN")
        await other.execute("SELECT 1")  # takes the connection on which our statement was prepared
        with pytest.raises(TempFail) as caught:
            await storage.uid("bob", create=False)
        await other.close()
        await storage.close()
    assert re.match(rf"{POOLED} .*: prepared statement .* does not exist$", caught.value.detail)


async def test_with_our_option_the_contract_is_kept_through_it(postgres_server: PostgreSQL) -> None:
    with pgbouncer(postgres_server.new_database(), "transaction") as server:
        storage = Postgres(server, VIRTUAL_USERS, connections=3, prepared=False)
        await storage.open()
        assert [entry async for entry in suite.check(storage, "someone") if entry[1]] == []
        await storage.close()


async def test_tables_without_transactions(mariadb_server: MariaDB, tmp_path: Path) -> None:
    server = mariadb_server.new_database()
    config = configured(tmp_path, "MySQL", server)
    assert await told(config) == []
    assert mariadb_server.query("SHOW TABLES", server) == []
    connections = Connections(server, 1, 30.0)
    store = MySQL(connections, connections, VIRTUAL_USERS)
    await store.open()
    assert [entry async for entry in suite.check(store, "someone") if entry[1]] == []  # it makes all tables
    await store.close()
    assert await told(config) == []
    mariadb_server.query("ALTER TABLE dspam_token_data ENGINE=MyISAM", server)
    assert [str(each) for each in await told(config)] == [
        f"{tmp_path}/dspam.conf:3: dspam_token_data is a table of MyISAM, where a crash leaves messages half"
        " learned: ALTER TABLE dspam_token_data ENGINE=InnoDB;"
        " (0 MB; nothing is learned meanwhile, for about 1 s)"
    ]
    rows = "INSERT INTO dspam_token_data SELECT 1, seq, 1, 1, now() FROM seq_1_to_500000"
    mariadb_server.query(rows, server)
    (problem,) = await told(config)
    found = re.search(r"\((\d+) MB; .* about (\d+) s\)", str(problem))
    assert found
    assert 15 < int(found[1]) < 40
    assert 2 < int(found[2]) < 7
    mariadb_server.query("ALTER TABLE dspam_token_data ENGINE=InnoDB;", server)
    assert await told(config) == []


def test_check_config_tells_it(
    mariadb_server: MariaDB, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server = mariadb_server.new_database()
    table = "CREATE TABLE dspam_token_data (uid int, token bigint, UNIQUE KEY (uid, token)) ENGINE=MyISAM"
    mariadb_server.query(table, server)
    lines = ("Profile other", "MySQLDb.other nowhere", "ServerMode auto", "TrustedDeliveryAgent /bin/cat")
    config = configured(tmp_path, "MySQL", server, *lines)
    assert dspamd.check(config) == 0
    first, second, last = capsys.readouterr().out.splitlines()[-3:]
    assert first.startswith(f"warning: {config.file}:3: dspam_token_data is a table of MyISAM")
    told = rf"warning: {config.file}:3: Storage is not available: .*/nowhere: .*Unknown database"
    assert re.match(told, second)
    assert re.fullmatch(rf"{config.file}: usable, \d+ warnings", last)
