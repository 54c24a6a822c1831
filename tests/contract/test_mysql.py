"""The MySQL driver on the tables that sites have, and beside DSPAM itself."""

from __future__ import annotations

from array import array
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from dspamd.config.config import Config
from dspamd.engine.model import Label, Learned, Totals
from dspamd.errors import PermFail, TempFail
from dspamd.home.home import Home
from dspamd.maintenance.conformance import suite
from dspamd.maintenance.conformance.counters import (
    concurrent_learning_loses_nothing,
    counters_add_up_and_stop_at_zero,
)
from dspamd.maintenance.conformance.owners import (
    deleted_owners_leave_nothing,
    names_may_be_odd,
    owners_are_made_on_demand,
    preferences_are_kept,
)
from dspamd.maintenance.conformance.signatures import (
    corrections_are_taken_back_exactly,
    one_of_many_equal_corrections_wins,
    signatures_come_back_as_stored,
)
from dspamd.maintenance.conformance.steps import (
    Violation,
    all_tokens,
    append,
    counts,
    learn,
    learning,
    new,
    totals,
)
from dspamd.storage.contract import Change, Correct, Signature, Stored, TokenRow
from dspamd.storage.drivers import open_storage
from dspamd.storage.mysql import statements as mysql_statements
from dspamd.storage.mysql.server import SESSION, Connections, socket_of
from dspamd.storage.mysql.store import MySQL
from dspamd.storage.sql.common import Server, UserTable
from tests.support.day import NUMBER, TODAY
from tests.support.drivers import VIRTUAL_USERS, address
from tests.support.logged import Logged
from tests.support.mariadb_server import MariaDB
from tests.support.no_blocks import blocks_are_refused
from tests.support.no_corrections import provisional_lessons_are_learned_and_not_kept
from tests.support.recorded_stores import MYSQL_TABLES, RECORDED, mysql_database, mysql_rows

SPREAD = [(n * 0x9E3779B97F4A7C15) % 2**64 for n in range(1, 20_001)]  # half of them above 2^63


def written(mariadb: MariaDB, server: Server, table: str) -> list[list[str]]:
    """The rows of a table in the form of the recording."""
    return sorted(
        [str(cell) for cell in row]
        for row in mariadb.query(f"SELECT {MYSQL_TABLES[table]} FROM {table}", server)
    )


@asynccontextmanager
async def mysql(
    server: Server,
    users: UserTable = VIRTUAL_USERS,
    *,
    writes: Server | None = None,
    signatures_from_writes: bool = False,
    create: bool = True,
    deadline_s: float = 30.0,
    size: int = 3,
    session: str = SESSION,
) -> AsyncIterator[MySQL]:
    reading = Connections(server, size, deadline_s, session=session)
    writing = Connections(writes, size, deadline_s) if writes else reading
    storage = MySQL(
        reading,
        writing,
        users,
        signatures_from_writes=signatures_from_writes,
        create=create,
        today=lambda: TODAY,
    )
    await storage.open()
    yield storage
    await storage.close()


# --- what DSPAM left -----------------------------------------------------------------------


@pytest.mark.parametrize("recorded", ["mysql", "mysql-uidinsig"])
async def test_what_dspam_left_is_read(mariadb_server: MariaDB, recorded: str) -> None:
    site = RECORDED[recorded]
    today = NUMBER
    async with mysql(mysql_database(mariadb_server, site, *MYSQL_TABLES)) as storage:
        assert await storage.owners() == ["alice", "bob"]
        assert await storage.uid("bob", create=False) == 1
        assert await storage.preferences("bob") == {"spamAction": "deliver"}
        assert await storage.preferences("") == {"spamSubject": "[JUNK]"}
        for uid, _ in enumerate(("bob", "alice"), 1):
            known = {
                int(t): (int(s), int(i))
                for u, t, s, i, _ in mysql_rows(site, "dspam_token_data")
                if int(u) == uid
            }
            assert await counts(storage, uid, [*known, 1, 2]) == known
            assert await all_tokens(storage, uid) == [TokenRow(t, *known[t], today) for t in sorted(known)]
            ((_, *numbers),) = (row for row in mysql_rows(site, "dspam_stats") if int(row[0]) == uid)
            assert await totals(storage, uid) == Totals(*map(int, numbers))
            ((_, id, data, _, _),) = (
                row for row in mysql_rows(site, "dspam_signature_data") if int(row[0]) == uid
            )
            assert await storage.signature(uid, id) == Stored(bytes.fromhex(data), None)
            assert await storage.signatures(uid) == [(id, today)]
            assert await storage.signature(3 - uid, id) is None


@pytest.mark.parametrize("recorded", ["mysql", "mysql-uidinsig"])
async def test_what_we_write_is_what_dspam_wrote(mariadb_server: MariaDB, recorded: str) -> None:
    """The recorded session: two messages, a corpus message, a correction, preferences."""
    site = RECORDED[recorded]
    server = mysql_database(mariadb_server, site)
    tokens = {uid: [int(t) for u, t, *_ in mysql_rows(site, "dspam_token_data") if u == uid] for uid in "12"}
    signatures = {
        u: Signature(id, bytes.fromhex(data)) for u, id, data, *_ in mysql_rows(site, "dspam_signature_data")
    }
    missed = learning(tokens["1"], 1, -1, spam_learned=1, spam_misclassified=1, innocent_learned=-1)
    async with mysql(server) as storage:
        bob, alice = await new(storage, "bob"), await new(storage, "alice")
        await storage.apply(bob, Change(learning(tokens["1"], 0, 1, innocent_learned=1), signatures["1"]))
        await storage.apply(alice, Change(learning(tokens["2"], 0, 1, innocent_learned=1), signatures["2"]))
        await storage.apply(alice, Change(learning(tokens["2"], 1, 0, spam_learned=1, spam_corpusfed=1)))
        await storage.apply(bob, Change(missed, correct=Correct(signatures["1"].id, None, Label.SPAM)))
        await storage.set_preference("bob", "spamAction", "tag")
        await storage.set_preference("", "spamSubject", "[JUNK]")
        await storage.set_preference("bob", "nosuch", None)
        await storage.set_preference("bob", "spamAction", "deliver")
    for table in MYSQL_TABLES:
        assert written(mariadb_server, server, table) == mysql_rows(site, table), table


async def test_signatures_that_dspam_left_are_corrected_and_taken_back(mariadb_server: MariaDB) -> None:
    site = RECORDED["mysql"]
    server = mysql_database(mariadb_server, site, *MYSQL_TABLES)
    ((_, id, *_),) = (row for row in mysql_rows(site, "dspam_signature_data") if row[0] == "2")
    tokens = [int(t) for u, t, *_ in mysql_rows(site, "dspam_token_data") if u == "2"]
    missed = learning(tokens, 1, -1, spam_learned=1, spam_misclassified=1, innocent_learned=-1)
    async with mysql(server) as storage:
        await storage.apply(2, Change(missed, correct=Correct(id, None, Label.SPAM)))
        assert await counts(storage, 2, tokens) == dict.fromkeys(tokens, (2, 0))
        stored = await storage.signature(2, id)
        assert stored is not None and stored.correction is not None
        back = Change(stored.correction.applied.negated(), correct=Correct(id, Label.SPAM, Label.INNOCENT))
        await storage.apply(2, back)
    for table in MYSQL_TABLES:
        assert written(mariadb_server, server, table) == mysql_rows(site, table), table


# --- tables as sites have them -------------------------------------------------------------


def _variant(mariadb: MariaDB, token: str, engine: str = "InnoDB") -> Server:
    schema = RECORDED["mysql"]["schema"].replace("`token` bigint(20) unsigned", f"`token` {token}")
    schema = schema.replace("ENGINE=InnoDB", f"ENGINE={engine}")
    return mysql_database(mariadb, RECORDED["mysql"] | {"schema": schema})


@pytest.mark.parametrize("token", ["char(20)", "varchar(20)", "bigint(20) unsigned"])
async def test_every_schema_of_dspam_keeps_the_contract(mariadb_server: MariaDB, token: str) -> None:
    """Except names: their column has ISO-8859-1, which ignores case."""
    async with mysql(_variant(mariadb_server, token)) as storage:
        report = [entry async for entry in suite.check(storage, "check")]
        assert report == [(case.__name__.replace("_", " "), None) for case in suite.CASES]


async def test_tables_without_transactions_are_used_and_reported_once(
    mariadb_server: MariaDB, logged: Logged
) -> None:
    async with mysql(_variant(mariadb_server, "bigint(20) unsigned", "MyISAM")) as storage:
        await counters_add_up_and_stop_at_zero(storage, "bob")
        await corrections_are_taken_back_exactly(storage, "alice")
        await concurrent_learning_loses_nothing(storage, "carol")
        for number in range(3):
            await one_of_many_equal_corrections_wins(storage, f"dave-{number}")
    told = logged.take()
    assert told.count("tables_without_transactions") == 1
    assert "ALTER TABLE dspam_stats ENGINE=InnoDB; ALTER TABLE dspam_token_data ENGINE=InnoDB;" in told
    assert "locked_s=" in told


async def test_our_own_tables_keep_any_name(mariadb_server: MariaDB) -> None:
    async with mysql(mariadb_server.new_database()) as storage:
        for number, name in enumerate(("bob", "Bob", "ツ@例え.jp", "\N{PILE OF POO}@example.org", "ü"), 1):
            await learn(storage, await new(storage, name), [1], number)
        for number, name in enumerate(await storage.owners(), 1):
            uid = await storage.uid(name, create=False)
            assert uid is not None
            assert len(await counts(storage, uid, [1])) == 1, number


async def test_names_that_a_column_cannot_hold_are_refused(mariadb_server: MariaDB) -> None:
    async with mysql(mysql_database(mariadb_server, RECORDED["mysql"])) as storage:
        for name in ("ツ@example.org", "x" * 129, "bob\0"):
            with pytest.raises(PermFail, match="Invalid user name"):
                await storage.uid(name, create=True)
        assert await storage.owners() == []


async def test_preferences_are_refused_rather_than_cut_off(mariadb_server: MariaDB) -> None:
    async with mysql(mysql_database(mariadb_server, RECORDED["mysql"])) as storage:
        for name, value in (("spamSubject", "x" * 65), ("spamSubject", "ツ"), ("x" * 33, "on")):
            with pytest.raises(PermFail, match="Invalid preference"):
                await storage.set_preference("bob", name, value)
        assert await storage.preferences("bob") == {}


async def test_the_table_of_users_may_be_the_sites_own(mariadb_server: MariaDB) -> None:
    accounts = mariadb_server.new_database()
    mariadb_server.query(
        "CREATE TABLE `mail users`"
        " (`the id` int unsigned PRIMARY KEY AUTO_INCREMENT, `user``s` varchar(64) UNIQUE)",
        accounts,
    )
    users = UserTable(f"{accounts.database}.mail users", "the id", "user`s")
    server = mysql_database(mariadb_server, RECORDED["mysql"])
    async with mysql(server, users) as storage:
        await owners_are_made_on_demand(storage, "bob")
        await deleted_owners_leave_nothing(storage, "alice")
    assert written(mariadb_server, server, "dspam_virtual_uids") == []


async def test_names_of_aliases_share_a_dictionary_and_are_not_made(mariadb_server: MariaDB) -> None:
    server = mysql_database(mariadb_server, RECORDED["mysql"])
    mariadb_server.queries(
        [
            "DROP TABLE dspam_virtual_uids",
            "CREATE TABLE dspam_virtual_uids"
            " (uid int unsigned NOT NULL, username varchar(128) NOT NULL UNIQUE)",
            "INSERT INTO dspam_virtual_uids VALUES (7, 'bob'), (7, 'robert')",
        ],
        server,
    )
    async with mysql(server) as storage:
        assert await storage.uid("bob", create=True) == await storage.uid("robert", create=True) == 7
        with pytest.raises(TempFail, match="has aliases"):
            await storage.uid("carol", create=True)
        await learn(storage, 7, [1], 1)
        await storage.delete_owner("robert")
        assert await storage.owners() == ["bob"]
        assert await counts(storage, 7, [1]) == {1: (1, 0)}
        await storage.delete_owner("bob")
        assert await counts(storage, 7, [1]) == {}


async def test_signatures_are_refused_rather_than_cut_off(mariadb_server: MariaDB) -> None:
    """DSPAM's column has 32 characters; with a large uid in front an id has more."""
    async with mysql(mysql_database(mariadb_server, RECORDED["mysql"])) as storage:
        uid = await new(storage, "bob")
        fits, too_long = "1234567,6b00100d2875020136186645", "1234567,6b00100d28750201361866456"
        await storage.apply(uid, Change(Learned.nothing(), Signature(fits, b"data")))
        with pytest.raises(TempFail, match="longer than 32"):
            await storage.apply(uid, Change(learning([1], 1), Signature(too_long, b"data")))
        assert [id for id, _ in await storage.signatures(uid)] == [fits]
        assert await counts(storage, uid, [1]) == {}


async def test_dates_of_zeros_are_read(mariadb_server: MariaDB) -> None:
    server = mysql_database(mariadb_server, RECORDED["mysql"])
    mariadb_server.queries(
        [
            "SET sql_mode = ''",
            "INSERT INTO dspam_token_data VALUES (1, 5, 1, 0, '0000-00-00')",
            "INSERT INTO dspam_signature_data VALUES (1, 's', '', 0, '0000-00-00')",
        ],
        server,
    )
    async with mysql(server) as storage:
        assert await all_tokens(storage, 1) == [TokenRow(5, 1, 0, 0)]
        assert await storage.signatures(1) == [("s", 0)]


# --- our additions -------------------------------------------------------------------------


async def _corrected_twice(storage: MySQL) -> dict[int, tuple[int, int]]:
    uid = await new(storage, "bob")
    await storage.apply(uid, Change(learning([1], 0, 1), Signature("s", b"data")))
    for _ in range(2):
        await storage.apply(uid, Change(learning([1], 1, -1), correct=Correct("s", None, Label.SPAM)))
    stored = await storage.signature(uid, "s")
    assert stored == Stored(b"data", None, corrections=False)
    assert await storage.delete_signature(uid, "s")
    await storage.delete_owner("bob")
    return await counts(storage, uid, [1])


async def test_nothing_is_made_unless_wanted(mariadb_server: MariaDB, logged: Logged) -> None:
    empty, site = mariadb_server.new_database(), mysql_database(mariadb_server, RECORDED["mysql"])
    async with mysql(empty, create=False) as storage:
        with pytest.raises(TempFail, match="MySQLCreateSchema is off"):
            await storage.uid("bob", create=True)
    assert mariadb_server.query("SHOW TABLES", empty) == []
    async with mysql(site, create=False) as storage:
        assert await _corrected_twice(storage) == {}
    assert sorted(table for (table,) in mariadb_server.query("SHOW TABLES", site)) == sorted(MYSQL_TABLES)
    assert logged.take().count("corrections_not_kept") == 1


async def test_an_account_that_may_make_no_table_does_without(
    mariadb_server: MariaDB, logged: Logged
) -> None:
    site = mysql_database(mariadb_server, RECORDED["mysql"])
    grant = f"GRANT SELECT, INSERT, UPDATE, DELETE ON {site.database}.* TO small@localhost IDENTIFIED BY 'x'"
    mariadb_server.query(grant)
    async with mysql(replace(site, user="small", password="x")) as storage:
        assert await _corrected_twice(storage) == {}
        await provisional_lessons_are_learned_and_not_kept(storage, 1)
    assert logged.take().count("corrections_not_kept") == 1


async def test_beside_dspam_only_our_own_table_is_made(mariadb_server: MariaDB) -> None:
    site = mysql_database(mariadb_server, RECORDED["mysql"])
    before = {table: mariadb_server.query(f"SHOW CREATE TABLE {table}", site) for table in MYSQL_TABLES}
    async with mysql(site) as storage:
        await new(storage, "bob")
    for table, made in before.items():
        if table != "dspam_virtual_uids":  # its text contains the number of users
            assert mariadb_server.query(f"SHOW CREATE TABLE {table}", site) == made
    tables = {table for (table,) in mariadb_server.query("SHOW TABLES", site)}
    assert tables == {*MYSQL_TABLES, "dspamd_correction", "dspamd_block", "dspamd_block_change"}


async def test_a_database_of_the_release_before_gets_blocks(mariadb_server: MariaDB) -> None:
    """Its corrections are as they were.  A step that was cut short is taken again."""
    site = mariadb_server.new_database()
    async with mysql(site) as storage:
        uid = await new(storage, "bob")
        await storage.apply(uid, Change(learning([1], 1), Signature("s", b"data")))
        await storage.apply(uid, Change(learning([1], 1), correct=Correct("s", None, Label.SPAM)))
        corrected = await storage.signature(uid, "s")
    mariadb_server.query("DROP TABLE dspamd_block", site)
    async with mysql(site) as storage:
        await append(storage, uid, b"one")
        assert (await storage.block(uid, "weights")).changes == (b"one",)
        assert await storage.signature(uid, "s") == corrected


@pytest.mark.parametrize("with_corrections", [True, False])
async def test_without_tables_for_blocks_all_else_works(
    mariadb_server: MariaDB, logged: Logged, with_corrections: bool
) -> None:
    site = mariadb_server.new_database()
    async with mysql(site) as storage:
        await new(storage, "bob")
    gone = ["dspamd_block", "dspamd_block_change", *([] if with_corrections else ["dspamd_correction"])]
    mariadb_server.query(f"DROP TABLE {', '.join(gone)}", site)
    async with mysql(site, create=False) as storage:
        await blocks_are_refused(storage, "MySQLCreateSchema is off")
    assert logged.take().count("corrections_not_kept") == (not with_corrections)


async def test_blocks_that_the_server_does_not_take_are_refused(mariadb_server: MariaDB) -> None:
    site = mariadb_server.new_database()
    async with mysql(site) as storage:
        uid = await new(storage, "bob")
        await append(storage, uid, b"one")
    before = mariadb_server.query("SELECT @@GLOBAL.max_allowed_packet", site)[0][0]
    mariadb_server.query("SET GLOBAL max_allowed_packet = 1048576", site)
    try:
        async with mysql(site) as storage:
            with pytest.raises(TempFail, match="block weights needs max_allowed_packet of 2097664 bytes"):
                await append(storage, uid, bytes(2**20))
            assert (await storage.block(uid, "weights")).changes == (b"one",)
    finally:
        mariadb_server.query(f"SET GLOBAL max_allowed_packet = {before}", site)


async def test_a_purge_by_dspam_takes_corrections_along_in_the_end(mariadb_server: MariaDB) -> None:
    site = _variant(mariadb_server, "bigint(20) unsigned")
    async with mysql(site) as storage:
        uid, other = await new(storage, "bob"), await new(storage, "alice")
        for owner, id in ((uid, "old"), (other, "old"), (uid, "young")):
            await storage.apply(owner, Change(Learned.nothing(), Signature(id, b"")))
        for owner in (uid, other):
            await storage.apply(owner, Change(learning([1], 1), correct=Correct("old", None, Label.SPAM)))
        mariadb_server.query("DELETE FROM dspam_signature_data WHERE signature = 'old'", site)
        await storage.apply(uid, Change(learning([1], 1), correct=Correct("young", None, Label.SPAM)))
    left = mariadb_server.query("SELECT uid, signature FROM dspamd_correction ORDER BY uid", site)
    assert left == [(uid, "young"), (other, "old")]


# --- statements ----------------------------------------------------------------------------


@pytest.mark.parametrize("token", ["char(20)", "bigint(20) unsigned"])
async def test_lookups_read_what_is_asked_for_and_no_more(mariadb_server: MariaDB, token: str) -> None:
    """Tokens below and above 2^63 in one list must not make the server read all of a user's rows."""
    site = _variant(mariadb_server, token)
    async with mysql(site) as storage:
        uid = await new(storage, "bob")
        assert isinstance(uid, int)
        await learn(storage, uid, SPREAD, 0, 1)
    for asked in (SPREAD[:2_300], SPREAD[:300]):
        statements = ["ANALYZE TABLE dspam_token_data", SESSION, "FLUSH STATUS"]
        statements += [mysql_statements.read(uid, asked), "SHOW STATUS LIKE 'Handler_read%'"]
        *_, found, status = mariadb_server.queries(statements, site)
        assert found[0][1] == len(asked)
        assert len(asked) <= sum(int(rows) for _, rows in status) < len(asked) + 100


async def test_statements_fit_into_the_packets_of_the_server(mariadb_server: MariaDB) -> None:
    site = mariadb_server.new_database()
    mariadb_server.query("SET GLOBAL max_allowed_packet = 16384")
    try:
        async with mysql(site) as storage:
            uid = await new(storage, "bob")
            await learn(storage, uid, SPREAD[:3_000], 1, 0)
            assert await counts(storage, uid, SPREAD[:3_000]) == dict.fromkeys(SPREAD[:3_000], (1, 0))
            assert await storage.delete_tokens(uid, array("Q", SPREAD[:3_000])) == 3_000
            assert not await storage.has_room(uid, Signature("s", bytes(10_000)))
            with pytest.raises(TempFail, match="max_allowed_packet"):
                await storage.apply(uid, Change(learning([1], 1), Signature("s", bytes(10_000))))
            assert await all_tokens(storage, uid) == []
    finally:
        mariadb_server.query(f"SET GLOBAL max_allowed_packet = {64 * 2**20}")


@pytest.mark.parametrize(("packet", "column"), [(16384, "longblob"), (2**20, "blob"), (2**20, "longblob")])
async def test_a_signature_that_has_room_is_kept_and_any_other_is_not(
    mariadb_server: MariaDB, packet: int, column: str
) -> None:
    site = mariadb_server.new_database()
    async with mysql(site) as storage:
        await new(storage, "bob")  # this makes the tables
    mariadb_server.query(f"ALTER TABLE dspam_signature_data MODIFY data {column} NOT NULL", site)
    mariadb_server.query(f"SET GLOBAL max_allowed_packet = {packet}")
    try:
        async with mysql(site) as storage:
            uid = await new(storage, "bob")
            most = min(packet // 2 - 256, 65_535 if column == "blob" else 2**32)
            longest = Signature("4c873d4a" * 4, b"\xff'" * (most // 2) + b"x" * (most % 2))
            assert await storage.has_room(uid, longest)
            await storage.apply(uid, Change(learning([1], 1), longest))
            assert (stored := await storage.signature(uid, longest.id)) is not None
            assert stored.data == longest.data
            longer = Signature("longer", longest.data + b"x")
            assert not await storage.has_room(uid, longer)
            with pytest.raises(TempFail, match="Storage is not available"):
                await storage.apply(uid, Change(learning([1], 1), longer))
    finally:
        mariadb_server.query(f"SET GLOBAL max_allowed_packet = {64 * 2**20}")


async def test_lists_that_the_server_cuts_off_are_noticed(mariadb_server: MariaDB) -> None:
    short = "SET SESSION group_concat_max_len = 1024"
    async with mysql(mariadb_server.new_database(), session=short) as storage:
        uid = await new(storage, "bob")
        await learn(storage, uid, SPREAD[:100], 1, 0)
        assert len(await counts(storage, uid, SPREAD[:40])) == 40
        with pytest.warns(Warning, match="cut by"), pytest.raises(TempFail, match="group_concat_max_len"):
            await storage.read(uid, array("Q", SPREAD[:100]))


@pytest.mark.parametrize("mode", ["ANSI,NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH", "ORACLE", ""])
async def test_modes_of_the_site_change_nothing(mariadb_server: MariaDB, mode: str) -> None:
    ((usual,),) = mariadb_server.query("SELECT @@GLOBAL.sql_mode")
    mariadb_server.query(f"SET GLOBAL sql_mode = '{mode}'")
    try:
        async with mysql(mariadb_server.new_database()) as storage:
            await names_may_be_odd(storage, "bob")
            await preferences_are_kept(storage, "carol")
            await corrections_are_taken_back_exactly(storage, "alice")
            with pytest.raises(PermFail):
                await storage.set_preference("bob", "spamSubject", "x" * 300)
    finally:
        mariadb_server.query(f"SET GLOBAL sql_mode = '{usual}'")


# --- options -------------------------------------------------------------------------------


PASSWORD = "p'ä\"ss \\ # ; ツ"


@pytest.mark.parametrize("in_file", [False, True])
async def test_a_site_is_reached_as_its_options_say(
    mariadb_server: MariaDB, tmp_path: Path, in_file: bool
) -> None:
    """By TCP; with a double quote, a password goes into `mysql.data`."""
    site, password = mariadb_server.new_database(), PASSWORD if in_file else PASSWORD.replace('"', "")
    site = replace(site, host="127.0.0.1", port=mariadb_server.port, user=site.database, password=password)
    account = f"'{site.user}'@'127.0.0.1' IDENTIFIED BY {mysql_statements.quoted(password)}"
    mariadb_server.query(f"GRANT ALL ON {site.database}.* TO {account}")
    lines = [f"Home {tmp_path}", "StorageDriver /usr/lib/dspam/libmysql_drv.so", "TrainingMode teft"]
    lines += ["MySQLConnectionCache 2", "MySQLReconnect true", "StorageTimeout 10"]
    if in_file:
        (tmp_path / "mysql.data").write_text(address(site))
    else:
        lines += [f"MySQLServer {site.host}", f"MySQLPort {site.port}", f"MySQLUser {site.user}"]
        lines += [f'MySQLPass "{site.password}"', f"MySQLDb {site.database}"]
    storage = open_storage(Config.from_text("\n".join(lines)), Home(tmp_path))
    await storage.open()
    await owners_are_made_on_demand(storage, "bob")
    await storage.close()
    assert written(mariadb_server, site, "dspam_virtual_uids") == [["1", "bob"]]


async def test_changes_go_to_the_server_for_writing(mariadb_server: MariaDB) -> None:
    """Two databases without replication show which server each statement went to."""
    reading, writing = mariadb_server.new_database(), mariadb_server.new_database()
    for server in (reading, writing):
        async with mysql(server) as storage:
            await new(storage, "bob")
    async with mysql(reading, writes=writing) as storage:
        assert await storage.uid("alice", create=True) == 2
        await storage.apply(1, Change(learning([1], 1, 0, spam_learned=1), Signature("s", b"data")))
        assert await counts(storage, 1, [1]) == {}
        assert await storage.owners() == ["bob"]
        assert await storage.signature(1, "s") is None
    async with mysql(reading, writes=writing, signatures_from_writes=True) as storage:
        assert await storage.signature(1, "s") == Stored(b"data", None)
    async with mysql(writing) as storage:
        assert await counts(storage, 1, [1]) == {1: (1, 0)}
        assert await storage.owners() == ["alice", "bob"]


def test_localhost_means_the_socket(tmp_path: Path, mariadb_server: MariaDB) -> None:
    """As it does to DSPAM; a port, or no socket, means TCP."""
    site = mariadb_server.new_database()
    usual = (str(tmp_path / "none"), str(mariadb_server.socket))
    for host, port, found in (
        ("localhost", 0, str(mariadb_server.socket)),
        ("", 0, str(mariadb_server.socket)),
        ("localhost", 3306, None),
        ("127.0.0.1", 0, None),
        ("/a/socket", 0, "/a/socket"),
    ):
        assert socket_of(replace(site, host=host, port=port), usual) == found


async def test_the_limit_of_a_server_is_no_fault(mariadb_server: MariaDB) -> None:
    """16 MB, as a fresh server has it, has no room for a signature as large; 64 KB is too little."""
    site = mariadb_server.new_database()
    try:
        for packet in (16 << 20, 1 << 16):
            mariadb_server.query(f"SET GLOBAL max_allowed_packet = {packet}")
            async with mysql(site) as storage:
                if packet == 16 << 20:
                    await signatures_come_back_as_stored(storage, "bob")
                else:
                    with pytest.raises(Violation, match="has room: False"):
                        await signatures_come_back_as_stored(storage, "bob")
    finally:
        mariadb_server.query(f"SET GLOBAL max_allowed_packet = {64 * 2**20}")
