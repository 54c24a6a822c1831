"""The PostgreSQL driver on the tables that DSPAM left, on tables of sites, and in trouble."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import time
from array import array
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from dspamd.app import Parts
from dspamd.config.config import Config
from dspamd.engine.arrival import Arrival, marked
from dspamd.engine.model import Label, Learned, Lesson, Source, Totals
from dspamd.errors import PermFail, TempFail
from dspamd.filter.transaction import InboundMessage
from dspamd.filter.verdict import Verdict
from dspamd.home.home import Home
from dspamd.maintenance.conformance import suite
from dspamd.maintenance.conformance.steps import all_tokens, append, counts, learn, learning, new, totals
from dspamd.request.envelope import Envelope, Recipient
from dspamd.request.recipients import Delivery
from dspamd.request.request import Request
from dspamd.storage.contract import (
    Change,
    Correct,
    Signature,
    Stale,
    Storage,
    Stored,
    TokenRow,
    Uid,
    Unreachable,
)
from dspamd.storage.drivers import open_storage
from dspamd.storage.postgres.connections import Connections
from dspamd.storage.postgres.store import Postgres
from dspamd.storage.sql import refusals
from dspamd.storage.sql.common import Server, UserTable
from tests.support.day import LAST_OF_A_MONTH, NUMBER, TODAY
from tests.support.drivers import VIRTUAL_USERS, address
from tests.support.logged import Logged
from tests.support.no_blocks import blocks_are_refused
from tests.support.no_corrections import provisional_lessons_are_learned_and_not_kept
from tests.support.postgres_server import PostgreSQL
from tests.support.recorded_stores import (
    POSTGRES,
    POSTGRES_CONTROL,
    POSTGRES_NUMBERED,
    POSTGRES_SCHEMA,
    POSTGRES_TABLES,
    postgres_rows,
    postgres_script,
)

REPLAYED = """
StorageDriver /usr/lib/dspam/libpgsql_drv.so
TrustedDeliveryAgent /bin/true
TrainingMode teft
Tokenizer chain
Algorithm graham burton
Feature whitelist
ProcessorURLContext on
"""
OLD = "ALTER TABLE dspam_token_data ALTER COLUMN token TYPE numeric(20)"
# As after years: the planner knows that users have many tokens.
GROWN = """
INSERT INTO dspam_token_data SELECT 0, n, 0, 0, now() FROM generate_series(1, 100000) AS n;
ANALYZE dspam_token_data;
"""


def written(postgres_server: PostgreSQL, server: Server, table: str, columns: str = "*") -> list[list[str]]:
    """The rows of a table, sorted."""
    lines = postgres_server.psql(f"SELECT {columns} FROM {table}", server.database).splitlines()
    return sorted(line.split("|") for line in lines)


@asynccontextmanager
async def postgres(
    server: Server,
    users: UserTable = VIRTUAL_USERS,
    *,
    connections: int = 3,
    deadline_s: float = 10.0,
    create: bool = True,
    prepared: bool = True,
    today: Callable[[], date] = lambda: TODAY,
) -> AsyncIterator[Postgres]:
    storage = Postgres(
        server,
        users,
        connections=connections,
        deadline_s=deadline_s,
        create=create,
        prepared=prepared,
        today=today,
    )
    await storage.open()
    try:
        yield storage
    finally:
        await storage.close()


@asynccontextmanager
async def session(server: Server) -> AsyncIterator[Any]:
    """A session of another program."""
    connection = await asyncpg.connect(
        host=server.host, port=server.port, user=server.user, database=server.database
    )
    try:
        yield connection
    finally:
        await connection.close()


async def waiting(session: Any, number: int) -> None:
    """Until so many other sessions wait for a lock."""
    until = time.monotonic() + 10
    while await session.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted") != number:
        assert time.monotonic() < until


# --- what DSPAM left -----------------------------------------------------------------------


@pytest.mark.parametrize("change", ["", OLD], ids=["bigint", "numeric"])
async def test_what_dspam_left_is_read(postgres_server: PostgreSQL, change: str) -> None:
    server = postgres_server.new_database(postgres_script())
    if change:
        postgres_server.psql(
            f"{change};UPDATE dspam_token_data SET token = token + 18446744073709551616 WHERE token < 0",
            server.database,
        )
    known: dict[str, dict[int, tuple[int, int]]] = {"1": {}, "2": {}}
    for owner, token, spam, innocent, _ in postgres_rows("dspam_token_data"):
        known[owner][int(token) % 2**64] = int(spam), int(innocent)
    today = NUMBER
    async with postgres(server) as storage:
        assert await storage.owners() == ["alice", "bob"]
        assert [await storage.uid(name, create=False) for name in ("bob", "alice", "carol")] == [1, 2, None]
        assert await totals(storage, 1) == Totals(spam_learned=1, spam_misclassified=1)
        assert await totals(storage, 2) == Totals(1, 1, 0, 0, 1)
        for uid in (1, 2):
            tokens = known[str(uid)]
            assert await counts(storage, uid, [*tokens, 1, 2]) == tokens
            assert await all_tokens(storage, uid) == [TokenRow(t, *tokens[t], today) for t in sorted(tokens)]
        for owner, id, data, *_ in postgres_rows("dspam_signature_data"):
            assert await storage.signature(int(owner), id) == Stored(bytes.fromhex(data), None)
            assert await storage.signatures(int(owner)) == [(id, today)]
            assert await storage.signature(3 - int(owner), id) is None
        assert await storage.preferences("bob") == {"spamAction": "deliver"}
        assert await storage.preferences("alice") == {}
        assert await storage.preferences("") == {"spamSubject": "[JUNK]"}


async def test_signatures_may_begin_with_the_number_of_their_owner(postgres_server: PostgreSQL) -> None:
    server = postgres_server.new_database(postgres_script(POSTGRES_NUMBERED))
    async with postgres(server) as storage:
        for uid, id, data, *_ in postgres_rows("dspam_signature_data", POSTGRES_NUMBERED):
            assert id.startswith(f"{uid},")
            assert await storage.signature(int(uid), id) == Stored(bytes.fromhex(data), None)
            assert await storage.signature(3 - int(uid), id) is None
            lesson = Change(learning([1], 1, 0, spam_learned=1), correct=Correct(id, None, Label.SPAM))
            with pytest.raises(Stale):
                await storage.apply(3 - int(uid), lesson)
            await storage.apply(int(uid), lesson)
            assert await counts(storage, int(uid), [1]) == {1: (1, 0)}


async def test_what_we_write_is_what_dspam_wrote(postgres_server: PostgreSQL) -> None:
    """An innocent message for bob, corrected to spam; one for alice, then the same as spam from a corpus."""
    server = postgres_server.new_database(POSTGRES_SCHEMA)
    tokens: dict[str, list[int]] = {"1": [], "2": []}
    for uid, token, *_ in postgres_rows("dspam_token_data"):
        tokens[uid].append(int(token) % 2**64)
    signatures = {
        row[0]: Signature(row[1], bytes.fromhex(row[2])) for row in postgres_rows("dspam_signature_data")
    }
    async with postgres(server) as storage:
        for uid, name in (("1", "bob"), ("2", "alice")):
            assert await new(storage, name) == int(uid)
            first = learning(tokens[uid], 0, 1, innocent_learned=1)
            await storage.apply(int(uid), Change(first, signatures[uid]))
        missed = learning(tokens["1"], 1, -1, spam_learned=1, spam_misclassified=1, innocent_learned=-1)
        await storage.apply(1, Change(missed, correct=Correct(signatures["1"].id, None, Label.SPAM)))
        await learn(storage, 2, tokens["2"], 1, 0, spam_learned=1, spam_corpusfed=1)
        await storage.set_preference("bob", "spamAction", "tag")
        await storage.set_preference("", "spamSubject", "[JUNK]")
        await storage.set_preference("bob", "spamAction", "deliver")
    for table in POSTGRES_TABLES:
        columns = "uid, signature, encode(data, 'hex'), length, created_on" if "signature" in table else "*"
        assert written(postgres_server, server, table, columns) == sorted(postgres_rows(table)), table


async def test_the_recorded_session_gives_the_recorded_rows(
    postgres_server: PostgreSQL, tmp_path: Path
) -> None:
    """The same through the whole filter: tokens, verdicts, and retraining by signature."""
    server = postgres_server.new_database(POSTGRES_SCHEMA)
    (tmp_path / "pgsql.data").write_text(address(server))
    told = {row["id"]: row["stdin"].encode("latin-1") for row in POSTGRES["transcript"]}
    every = Request(deliver_innocent=True, deliver_spam=True)
    async with Parts(Config.from_text(f"Home {tmp_path}\n{REPLAYED}")) as parts:

        async def process(content: bytes, user: str, request: Request) -> Verdict:
            recipient = Recipient(f"{user}@example.net".encode())
            mail = InboundMessage(Envelope(b"", (recipient,), content))
            verdict = (await parts.pipeline.process(mail, Delivery(user, recipient, request))).verdict
            assert verdict is not None
            return verdict

        first = await process(told["process-bob"], "bob", every)
        assert (first.result.name, round(first.result.probability, 4)) == ("Innocent", 0.0023)
        second = await process(told["process-alice"], "alice", every)
        assert (second.result.name, round(second.result.probability, 4)) == ("Innocent", 0.0076)
        await process(told["corpus-alice"], "alice", Request(lesson=Lesson(Label.SPAM, Source.CORPUS)))
        missed = Request(lesson=Lesson(Label.SPAM, Source.ERROR), signature=first.signature)
        await process(told["error-bob"], "bob", missed)
    hits = written(postgres_server, server, "dspam_token_data", "uid, token, spam_hits, innocent_hits")
    assert hits == sorted(row[:4] for row in postgres_rows("dspam_token_data"))
    for table in ("dspam_stats", "dspam_virtual_uids"):
        assert written(postgres_server, server, table) == sorted(postgres_rows(table)), table
    signatures = written(postgres_server, server, "dspam_signature_data", "uid, encode(data, 'hex')")
    assert signatures == sorted(
        [uid, data.replace(POSTGRES_CONTROL, "") + marked(b"", Arrival(Label.INNOCENT, learned=True)).hex()]
        for uid, _, data, *_ in postgres_rows("dspam_signature_data")
    )


# --- tables --------------------------------------------------------------------------------


async def test_an_empty_database_gets_the_schema_of_dspam(postgres_server: PostgreSQL) -> None:
    theirs = postgres_server.new_database(POSTGRES_SCHEMA)
    ours = postgres_server.new_database()
    async with postgres(ours, create=False) as storage:
        with pytest.raises(TempFail, match="PgSQLCreateSchema is off"):
            await new(storage, "bob")
    assert postgres_server.psql("SELECT 1 FROM pg_tables WHERE schemaname = 'public'", ours.database) == ""
    async with postgres(ours) as one, postgres(ours) as other:
        assert set(await asyncio.gather(new(one, "bob"), new(other, "bob"))) == {1}
    for what in (
        "table_name, column_name, data_type, character_maximum_length, is_nullable"
        " FROM information_schema.columns"
        " WHERE table_schema = 'public' AND table_name LIKE 'dspam\\_%'",
        "tablename, indexname, indexdef FROM pg_indexes WHERE tablename LIKE 'dspam\\_%'",
        "proname, proargtypes FROM pg_proc WHERE proname LIKE 'lookup%'",
    ):
        query = f"SELECT {what} ORDER BY 1, 2"
        assert postgres_server.psql(query, ours.database) == postgres_server.psql(query, theirs.database)
    async with postgres(ours) as storage:
        uid = await new(storage, "bob")
        await learn(storage, uid, [2**63], 3, 1)
    lookup = f"SELECT * FROM lookup_tokens({uid}, ARRAY[{-(2**63)}]::bigint[])"
    assert postgres_server.psql(lookup, ours.database) == f"{uid}|{-(2**63)}|3|1|{TODAY}\n"


async def test_hits_rise_without_new_entries_in_the_index(postgres_server: PostgreSQL) -> None:
    """Pages of our own tables have room for what changes on them."""
    server = postgres_server.new_database()
    sizes = "SELECT pg_relation_size('dspam_token_data'), pg_indexes_size('dspam_token_data')"
    async with postgres(server) as storage:
        uid = await new(storage, "bob")
        await learn(storage, uid, range(1, 5001), 1)
        before = postgres_server.psql(sizes, server.database)
        for n in range(40):
            await learn(storage, uid, range(1 + n % 10, 5001, 10), 1)
        assert await counts(storage, uid, [1, 5000]) == {1: (5, 0), 5000: (5, 0)}
    assert postgres_server.psql(sizes, server.database) == before


async def test_tables_of_others_stay_as_they_are(postgres_server: PostgreSQL) -> None:
    server = postgres_server.new_database(postgres_script())
    query = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1"
    before = postgres_server.psql(query, server.database).split()
    async with postgres(server) as storage:
        await new(storage, "bob")
    after = postgres_server.psql(query, server.database).split()
    ours = {"dspamd_correction", "dspamd_block", "dspamd_block_change"}
    assert set(after) - set(before) == ours | {f"{table}_pkey" for table in ours}


async def test_a_database_of_the_release_before_gets_blocks(postgres_server: PostgreSQL) -> None:
    """Its corrections are as they were; our role need not own their table."""
    server = postgres_server.new_database()
    async with postgres(server) as storage:
        uid = await new(storage, "bob")
        missed = Change(learning([1], 1), Signature("s", b"data"))
        await storage.apply(uid, missed)
        await storage.apply(uid, Change(learning([1], 1), correct=Correct("s", None, Label.SPAM)))
        corrected = await storage.signature(uid, "s")
    postgres_server.psql("DROP TABLE dspamd_block, dspamd_block_change", server.database)
    async with postgres(server) as storage:
        await append(storage, uid, b"one")
        assert (await storage.block(uid, "weights")).changes == (b"one",)
        assert await storage.signature(uid, "s") == corrected


@pytest.mark.parametrize("with_corrections", [True, False])
async def test_without_tables_for_blocks_all_else_works(
    postgres_server: PostgreSQL, logged: Logged, with_corrections: bool
) -> None:
    server = postgres_server.new_database()
    async with postgres(server) as storage:
        await new(storage, "bob")
    gone = ["dspamd_block", "dspamd_block_change", *([] if with_corrections else ["dspamd_correction"])]
    postgres_server.psql(f"DROP TABLE {', '.join(gone)}", server.database)
    async with postgres(server, create=False) as storage:
        await blocks_are_refused(storage, "PgSQLCreateSchema is off")
    assert logged.take().count("corrections_not_kept") == (not with_corrections)


@pytest.mark.parametrize("forbidden", [True, False], ids=["forbidden", "off"])
async def test_without_our_table_corrections_are_not_remembered(
    postgres_server: PostgreSQL, logged: Logged, forbidden: bool
) -> None:
    server = postgres_server.new_database(postgres_script())
    if forbidden:
        name = f"guest_{server.database}"
        grant = f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {name}"
        postgres_server.psql(f"CREATE ROLE {name} LOGIN; {grant}", server.database)
        server = dataclasses.replace(server, user=name)
    async with postgres(server, create=forbidden) as storage:
        ((_, id, *_),) = [row for row in postgres_rows("dspam_signature_data") if row[0] == "1"]
        missed = Change(learning([1], 1, 0, spam_learned=1), correct=Correct(id, None, Label.SPAM))
        await asyncio.gather(storage.apply(1, missed), storage.apply(1, missed))
        assert await counts(storage, 1, [1]) == {1: (2, 0)}
        stored = await storage.signature(1, id)
        assert stored is not None
        assert stored.correction is None
        assert await storage.delete_signature(1, id)
        await provisional_lessons_are_learned_and_not_kept(storage, 1)
    assert logged.take().count("corrections_not_kept") == 1


async def test_a_purge_by_dspam_takes_corrections_along(postgres_server: PostgreSQL) -> None:
    server = postgres_server.new_database()
    async with postgres(server) as storage:
        uid = await new(storage, "bob")
        await storage.apply(uid, Change(Learned.nothing(), Signature("s", b"")))
        await storage.apply(uid, Change(learning([1], 1), correct=Correct("s", None, Label.SPAM)))
    postgres_server.psql("DELETE FROM dspam_signature_data", server.database)
    assert postgres_server.psql("SELECT count(*) FROM dspamd_correction", server.database) == "0\n"


async def test_the_contract_is_kept_on_old_tables(postgres_server: PostgreSQL) -> None:
    server = postgres_server.new_database(f"{POSTGRES_SCHEMA}\nSET search_path = public;\n{OLD};\n{GROWN}")
    async with postgres(server) as storage:
        assert [entry async for entry in suite.check(storage, "someone") if entry[1]] == []


async def test_the_contract_is_kept_without_prepared_statements(postgres_server: PostgreSQL) -> None:
    server = postgres_server.new_database(f"{POSTGRES_SCHEMA}\nSET search_path = public;\n{GROWN}")
    async with postgres(server, prepared=False) as storage:
        assert [entry async for entry in suite.check(storage, "someone") if entry[1]] == []


async def test_users_may_be_in_a_table_of_the_site(postgres_server: PostgreSQL) -> None:
    """With aliases: several names for one number, which only the site assigns."""
    server = postgres_server.new_database(
        "CREATE SCHEMA mail; CREATE TABLE mail.people (number int NOT NULL, login varchar(10) UNIQUE);"
        "INSERT INTO mail.people VALUES (7, 'bob'), (7, 'robert'), (8, 'alice');"
        f"{POSTGRES_SCHEMA}"
    )
    users = UserTable("mail.people", "number", "login")
    async with postgres(server, users) as storage:
        assert await storage.owners() == ["alice", "bob", "robert"]
        assert await new(storage, "bob") == await new(storage, "robert") == 7
        with pytest.raises(TempFail, match="number"):
            await new(storage, "carol")
        with pytest.raises(PermFail):
            await new(storage, "a-name-too-long-for-it")
        await learn(storage, 7, [1], 1)
        await storage.delete_owner("robert")
        assert await counts(storage, 7, [1]) == {1: (1, 0)}
        await storage.delete_owner("bob")
        assert await counts(storage, 7, [1]) == {}
        assert await storage.owners() == ["alice"]


@pytest.mark.parametrize("prepared", [True, False])
async def test_what_does_not_fit_is_refused(postgres_server: PostgreSQL, prepared: bool) -> None:
    async with postgres(postgres_server.new_database(), prepared=prepared) as storage:
        with pytest.raises(PermFail, match="too long"):
            await storage.set_preference("bob", "spamSubject", "x" * 200)
        with pytest.raises(PermFail):
            await storage.uid("x" * 129, create=True)
        assert await storage.preferences("bob") == {}


async def test_columns_may_be_empty(postgres_server: PostgreSQL) -> None:
    server = postgres_server.new_database(postgres_script())
    postgres_server.psql(
        "UPDATE dspam_token_data SET innocent_hits = NULL, last_hit = NULL WHERE uid = 1;"
        "UPDATE dspam_stats SET innocent_learned = NULL, spam_classified = NULL",
        server.database,
    )
    tokens = [int(row[1]) % 2**64 for row in postgres_rows("dspam_token_data") if row[0] == "1"]
    async with postgres(server) as storage:
        assert await counts(storage, 1, tokens) == dict.fromkeys(tokens, (1, 0))
        assert await totals(storage, 1) == Totals(spam_learned=1, spam_misclassified=1)
        assert {row.last_hit for row in await all_tokens(storage, 1)} == {0}
        await learn(storage, 1, tokens, 0, 2, innocent_learned=2)
        assert await counts(storage, 1, tokens) == dict.fromkeys(tokens, (1, 2))
        assert (await totals(storage, 1)).innocent_learned == 2


async def test_days_are_those_of_the_clock(postgres_server: PostgreSQL) -> None:
    day = LAST_OF_A_MONTH
    async with postgres(postgres_server.new_database(), today=lambda: day) as storage:
        uid = await new(storage, "bob")
        await learn(storage, uid, [1, 2], 1)
        day += timedelta(1)
        await learn(storage, uid, [2, 3], 1)
        first = (LAST_OF_A_MONTH - date(1970, 1, 1)).days
        assert [row.last_hit for row in await all_tokens(storage, uid)] == [first, first + 1, first + 1]


# --- reaching the server -------------------------------------------------------------------


async def test_a_password_may_have_any_characters_and_tcp_is_encrypted(postgres_server: PostgreSQL) -> None:
    name = "o'brien; --"
    password = 'pä#ss:@/?% wörd\'s \\ "quoted"'
    quoted = password.replace("'", "''")
    own = postgres_server.new_database()
    postgres_server.psql(
        f'CREATE ROLE "{name}" LOGIN PASSWORD \'{quoted}\'; ALTER DATABASE {own.database} OWNER TO "{name}"',
        own.database,
    )
    server = Server("127.0.0.1", postgres_server.port, name, password, own.database)
    async with postgres(server) as storage:
        await new(storage, "bob")
        encrypted = (
            f"SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = $${name}$$"
        )
        assert postgres_server.psql(encrypted, own.database) == "t\n"
    async with postgres(dataclasses.replace(server, password="wrong")) as storage:
        with pytest.raises(Unreachable, match="InvalidPassword") as failure:
            await new(storage, "bob")
        assert failure.value.reply.code == 451
        assert password not in str(failure.value)


async def test_a_site_names_its_database_in_the_configuration(
    postgres_server: PostgreSQL, tmp_path: Path
) -> None:
    """As dspam.conf does, with a profile whose server is down and another after it."""
    server = postgres_server.new_database()
    config = Config.from_text(
        f"""
        Home {tmp_path}
        StorageDriver /usr/lib/x86_64-linux-gnu/dspam/libpgsql_drv.so
        Profile first
        Profile second
        DefaultProfile first
        Failover.first second
        PgSQLServer.first {tmp_path}
        PgSQLServer.second {server.host}
        PgSQLPort {server.port}
        PgSQLUser {server.user}
        PgSQLDb {server.database}
        """
    )
    storage = open_storage(config, Home(tmp_path))
    await storage.open()
    uid = await new(storage, "bob")
    await learn(storage, uid, [1], 1, 0, spam_learned=1)
    assert await counts(storage, uid, [1]) == {1: (1, 0)}
    await storage.close()
    alone = open_storage(config.with_profile("second"), Home(tmp_path))
    await alone.open()
    assert await counts(alone, await new(alone, "bob"), [1]) == {1: (1, 0)}
    await alone.close()


# --- trouble -------------------------------------------------------------------------------


async def recovered(storage: Storage, uid: Uid) -> None:
    """A message is learned again, within seconds."""
    async with asyncio.timeout(10):
        while True:
            with contextlib.suppress(TempFail):
                await learn(storage, uid, [99], 1)
                return
            await asyncio.sleep(0.05)


async def test_the_daemon_starts_before_its_database(postgres_server: PostgreSQL) -> None:
    server = postgres_server.new_database()
    postgres_server.stop()
    try:
        async with postgres(server) as storage:
            with pytest.raises(Unreachable):
                await new(storage, "bob")
            postgres_server.start()
            assert await new(storage, "bob") == 1
    finally:
        postgres_server.start()


async def test_a_crash_of_the_server_leaves_whole_messages(postgres_server: PostgreSQL) -> None:
    server = postgres_server.new_database()
    tokens = range(1, 501)
    confirmed = 0
    enough = asyncio.Event()

    async def messages() -> None:
        nonlocal confirmed
        while True:
            await learn(storage, uid, tokens, 1, 0, spam_learned=1)
            confirmed += 1
            if confirmed >= 10:
                enough.set()

    async with postgres(server) as storage:
        uid = await new(storage, "bob")
        learners = [asyncio.create_task(messages()) for _ in range(3)]
        await asyncio.wait_for(enough.wait(), 20)
        postgres_server.crash()
        try:
            for outcome in await asyncio.gather(*learners, return_exceptions=True):
                assert isinstance(outcome, TempFail)
        finally:
            postgres_server.start()
        await recovered(storage, uid)
        learned = (await totals(storage, uid)).spam_learned
        assert confirmed <= learned <= confirmed + 3
        assert await counts(storage, uid, tokens) == dict.fromkeys(tokens, (learned, 0)) | {
            99: (learned + 1, 0)
        }


async def test_a_goodbye_that_fails_is_no_failure(postgres_server: PostgreSQL) -> None:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, complaint: complaints.append(complaint))
    server = postgres_server.new_database()
    connections = Connections(server, _greeted, count=2, deadline_s=5, prepared=True)
    await connections.open()
    both = asyncio.Barrier(2)

    async def meet(connection: asyncpg.Connection) -> int:
        await both.wait()
        return int(connection.get_server_pid())

    async def fail(connection: asyncpg.Connection) -> None:
        raise ConnectionError  # now the others are out of date, too

    backends = await asyncio.gather(connections.run(meet), connections.run(meet))
    with pytest.raises(TempFail):
        await connections.run(fail)
    for backend in backends:
        postgres_server.psql(f"SELECT pg_terminate_backend({backend}, 5000)", server.database)
    # No task has noticed yet: nothing above yields to the loop.
    assert len(set(await asyncio.gather(connections.run(meet), connections.run(meet)))) == 2
    await connections.close()
    gc.collect()  # asyncio reports an unretrieved exception when its task is collected
    assert not complaints


async def _greeted(connection: asyncpg.Connection) -> None:
    """There is nothing to say to a new connection."""


@pytest.mark.parametrize("write", [True, False], ids=["write", "read"])
async def test_a_server_that_hangs_costs_no_more_than_the_deadline(
    postgres_server: PostgreSQL, write: bool
) -> None:
    server = postgres_server.new_database()
    async with postgres(server, deadline_s=2) as storage:
        uid = await new(storage, "bob")
        correct = Correct("s", None, Label.SPAM)
        await storage.apply(uid, Change(Learned.nothing(), Signature("s", b"")))

        async def ask() -> None:
            if write:
                await storage.apply(uid, Change(learning([1], 1), correct=correct))
            else:
                await storage.read(uid, array("Q", [1]))

        with postgres_server.frozen():
            start = time.monotonic()
            outcomes = await asyncio.gather(*(ask() for _ in range(6)), return_exceptions=True)
            assert time.monotonic() - start < 8
        assert all(isinstance(outcome, TempFail) for outcome in outcomes)
        await recovered(storage, uid)
        await counts(storage, uid, [1])


async def test_what_is_past_its_deadline_is_not_done_later(postgres_server: PostgreSQL) -> None:
    server = postgres_server.new_database()
    async with postgres(server) as storage:
        uid = await new(storage, "bob")
        await learn(storage, uid, [1], 1, 0, spam_learned=1)
    async with postgres(server, deadline_s=2, connections=1) as storage, session(server) as other:
        lock = other.transaction()
        await lock.start()
        await other.execute("UPDATE dspam_token_data SET last_hit = last_hit")
        with pytest.raises(TempFail, match="busy"):
            await learn(storage, uid, [1], 1, 0, spam_learned=1)
        await waiting(other, 0)
        await lock.rollback()
        assert await counts(storage, uid, [1]) == {1: (1, 0)}
        await learn(storage, uid, [1], 1, 0, spam_learned=1)
        assert (await totals(storage, uid)).spam_learned == 2


async def test_a_cancelled_connection_is_never_used_again(postgres_server: PostgreSQL) -> None:
    server = postgres_server.new_database()
    async with postgres(server, connections=1) as storage, session(server) as other:
        uid = await new(storage, "bob")
        await learn(storage, uid, [1], 7)
        lock = other.transaction()
        await lock.start()
        await other.execute("UPDATE dspam_token_data SET last_hit = last_hit")
        mine = (
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        (before,) = await other.fetch(mine)
        learned = asyncio.create_task(learn(storage, uid, [1], 1))
        await waiting(other, 1)
        learned.cancel()
        with pytest.raises(asyncio.CancelledError):
            await learned
        assert await counts(storage, uid, [1]) == {1: (7, 0)}
        await lock.rollback()
        (after,) = await other.fetch(mine)
        assert before != after


async def test_a_deadlock_is_done_again(postgres_server: PostgreSQL) -> None:
    server = postgres_server.new_database()
    async with postgres(server) as storage, session(server) as other:
        uid = await new(storage, "bob")
        await learn(storage, uid, [1, 2], 1)
        await other.execute("SET deadlock_timeout = '1min'")  # the others find the deadlock first
        await other.execute("BEGIN; UPDATE dspam_token_data SET spam_hits = 10 WHERE token = 2")
        learned = asyncio.create_task(learn(storage, uid, [1, 2], 1))
        await waiting(other, 1)
        await other.execute("UPDATE dspam_token_data SET spam_hits = 10 WHERE token = 1; COMMIT")
        await learned
        assert await counts(storage, uid, [1, 2]) == {1: (11, 0), 2: (11, 0)}
        deadlocks = "SELECT pg_stat_force_next_flush(), deadlocks FROM pg_stat_database WHERE datname = $1"
        assert (await other.fetchrow(deadlocks, server.database))["deadlocks"] == 1


async def test_a_busy_owner_leaves_connections_to_the_others(postgres_server: PostgreSQL) -> None:
    server = postgres_server.new_database()
    async with postgres(server, connections=2) as storage, session(server) as other:
        bob, alice = await new(storage, "bob"), await new(storage, "alice")
        await learn(storage, bob, [1], 1)
        await other.execute("BEGIN; UPDATE dspam_token_data SET last_hit = last_hit")
        lessons = [asyncio.create_task(learn(storage, bob, [1], 1)) for _ in range(5)]
        await waiting(other, 1)
        await learn(storage, alice, [1], 1)
        await waiting(other, 1)
        await other.execute("COMMIT")
        await asyncio.gather(*lessons)
        assert await counts(storage, bob, [1]) == {1: (6, 0)}


async def test_a_server_that_became_a_copy_is_left(
    postgres_server: PostgreSQL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "LOOK_AGAIN_S", 0.0)
    server = postgres_server.new_database()
    read_only = f"ALTER DATABASE {server.database} SET default_transaction_read_only ="
    async with postgres(server) as storage, session(server) as other:
        uid = await new(storage, "bob")
        await other.execute(f"{read_only} on")
        await other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        async with asyncio.timeout(10):
            while True:  # it may notice the end of its connections only when we ask something
                with pytest.raises(TempFail) as failure:
                    await learn(storage, uid, [1], 1)
                if "ReadOnlySQLTransaction" in str(failure.value):
                    break
        assert await counts(storage, uid, [1]) == {}
        with pytest.raises(Unreachable):
            await learn(storage, uid, [1], 1)
        await other.execute(f"{read_only} off")
        await learn(storage, uid, [1], 1)
        assert await counts(storage, uid, [1]) == {1: (1, 0)}


async def test_many_connections_learn_for_one_user(postgres_server: PostgreSQL) -> None:
    """Tokens overlap in any order, hits rise and fall."""
    async with postgres(postgres_server.new_database(), connections=8) as storage:
        uid = await new(storage, "shared")
        await learn(storage, uid, range(1, 301), 100)

        async def messages(first: int) -> None:
            tokens = [1 + (first + n * 7) % 300 for n in range(300)]
            for n in range(6):
                await learn(storage, uid, tokens if n % 2 else tokens[::-1], 2, 0, spam_learned=2)
                await learn(storage, uid, tokens, -1, 1, spam_learned=-1, innocent_learned=1)

        await asyncio.gather(*(messages(n) for n in range(8)))
        assert await counts(storage, uid, range(1, 301)) == dict.fromkeys(range(1, 301), (148, 48))
        assert await totals(storage, uid) == Totals(48, 48)
