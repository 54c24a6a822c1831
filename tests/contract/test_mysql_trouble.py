"""The MySQL driver while connections break, transactions meet, and the server is away."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace

import pytest
import uvloop

from dspamd.engine.model import Hits, Snapshot, Totals
from dspamd.errors import TempFail
from dspamd.maintenance.conformance.counters import counters_add_up_and_stop_at_zero
from dspamd.maintenance.conformance.signatures import signatures_come_back_as_stored
from dspamd.maintenance.conformance.steps import counts, learn, new, totals
from dspamd.storage.contract import Unreachable
from dspamd.storage.mysql.server import IDLE_S, Connection, Connections
from dspamd.storage.mysql.store import MySQL
from dspamd.storage.sql import refusals
from dspamd.storage.sql.common import Server
from tests.support.drivers import VIRTUAL_USERS
from tests.support.mariadb_server import MariaDB, mariadb

AsyncWork = Callable[[Connection], Awaitable[None]]
LoopFactory = Callable[[], asyncio.AbstractEventLoop]

TOKENS = range(1, 501)
SHORT_S = 0.5


@pytest.fixture(scope="module")
def broken_server() -> Iterator[MariaDB]:
    """A server that tests may break, which offers TLS."""
    with mariadb(tls=True) as server:
        yield server


@asynccontextmanager
async def mysql(server: Server, *, size: int = 3, deadline_s: float = 30.0) -> AsyncIterator[MySQL]:
    connections = Connections(server, size, deadline_s)
    storage = MySQL(connections, connections, VIRTUAL_USERS)
    await storage.open()
    yield storage
    await storage.close()


@asynccontextmanager
async def connected(
    server: Server, *, size: int = 3, deadline_s: float = 30.0, idle_s: float = IDLE_S
) -> AsyncIterator[Connections]:
    connections = Connections(server, size, deadline_s, idle_s=idle_s)
    yield connections
    await connections.close()


@contextmanager
def _deadline(connections: Connections, deadline_s: float) -> Iterator[None]:
    """Give work another deadline meanwhile."""
    usual, connections.deadline_s = connections.deadline_s, deadline_s
    try:
        yield
    finally:
        connections.deadline_s = usual


def _sessions(mariadb: MariaDB, server: Server) -> set[int]:
    where = f"FROM information_schema.processlist WHERE db = '{server.database}'"
    return {id for (id,) in mariadb.query(f"SELECT id {where}")}


async def _id(connection: Connection) -> int:
    ((id,),) = await connection.rows("SELECT CONNECTION_ID()")
    return int(id)


# --- connections ---------------------------------------------------------------------------


async def test_few_connections_serve_many_tasks(mariadb_server: MariaDB) -> None:
    server = mariadb_server.new_database()
    seen: set[int] = set()

    async def work(connection: Connection) -> None:
        seen.add(await _id(connection))
        assert len(_sessions(mariadb_server, server)) <= 3

    async with connected(server) as connections:
        assert _sessions(mariadb_server, server) == set()
        await asyncio.gather(*(connections.run(work) for _ in range(30)))
        assert len(seen) <= 3
        assert _sessions(mariadb_server, server) == seen


async def test_a_cancelled_connection_is_never_used_again(mariadb_server: MariaDB) -> None:
    server = mariadb_server.new_database()
    async with connected(server, size=1) as connections:
        first = await connections.run(_id)
        asking = asyncio.Event()

        async def slow(connection: Connection) -> None:
            asking.set()
            await connection.rows("SELECT SLEEP(60), 'of another task'")

        task = asyncio.create_task(connections.run(slow))
        await asking.wait()
        await asyncio.wait([task], timeout=0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await connections.run(_id) != first


async def test_nothing_waits_longer_than_the_deadline(mariadb_server: MariaDB) -> None:
    server = mariadb_server.new_database()
    async with connected(server, size=1) as connections:
        held, ready = asyncio.Event(), asyncio.Event()

        async def hold(connection: Connection) -> None:
            held.set()
            await ready.wait()

        async def slow(connection: Connection) -> None:
            await connection.rows("SELECT SLEEP(60)")

        await connections.run(_id)  # on a busy machine, connecting takes longer than the deadline below
        with _deadline(connections, SHORT_S), pytest.raises(TempFail, match="busy") as failed:
            await connections.run(slow)
        assert "no answer" in failed.value.detail
        holding = asyncio.create_task(connections.run(hold))
        await held.wait()
        with _deadline(connections, SHORT_S), pytest.raises(TempFail, match="busy") as failed:
            await connections.run(_id)
        assert "no answer" in failed.value.detail
        ready.set()
        await holding
        assert await connections.run(_id)


async def test_killed_connections_are_replaced_unnoticed(mariadb_server: MariaDB) -> None:
    server = mariadb_server.new_database()
    async with mysql(server) as storage:
        uid = await new(storage, "bob")
        await asyncio.gather(*(totals(storage, uid) for _ in range(3)))
        killed = _sessions(mariadb_server, server)
        assert len(killed) == 3
        for id in killed:
            mariadb_server.query(f"KILL {id}")
        await learn(storage, uid, TOKENS, 1, 0, spam_learned=1)
        assert (await totals(storage, uid)).spam_learned == 1


async def test_an_idle_connection_is_asked_before_it_is_used(mariadb_server: MariaDB) -> None:
    server = mariadb_server.new_database()
    async with connected(server, idle_s=0.0) as connections:
        first = await connections.run(_id)
        assert await connections.run(_id) == first
        mariadb_server.query(f"KILL {first}")
        attempts = 0

        async def work(connection: Connection) -> int:
            nonlocal attempts
            attempts += 1
            return await _id(connection)

        assert await connections.run(work) != first
        assert attempts == 1


# --- transactions --------------------------------------------------------------------------


async def test_a_commit_that_may_have_happened_is_not_repeated(mariadb_server: MariaDB) -> None:
    server = mariadb_server.new_database()
    mariadb_server.query("CREATE TABLE counter (n int)", server)
    attempts = 0

    async def work(connection: Connection) -> None:
        nonlocal attempts
        attempts += 1
        async with connection.transaction():
            await connection.execute("INSERT INTO counter VALUES (1)")
            mariadb_server.query(f"KILL {await _id(connection)}")

    async with connected(server) as connections:
        with pytest.raises(TempFail, match="unknown whether it was committed"):
            await connections.run(work)
    assert attempts == 1


async def test_what_was_begun_is_begun_again_on_a_new_connection(mariadb_server: MariaDB) -> None:
    server = mariadb_server.new_database()
    mariadb_server.query("CREATE TABLE counter (n int)", server)
    killed: list[int] = []

    async def work(connection: Connection) -> None:
        async with connection.transaction():
            await connection.execute("INSERT INTO counter VALUES (1)")
            if not killed:
                killed.append(await _id(connection))
                mariadb_server.query(f"KILL {killed[0]}")
            await connection.execute("INSERT INTO counter VALUES (2)")

    async with connected(server) as connections:
        await connections.run(work)
    assert mariadb_server.query("SELECT n FROM counter ORDER BY n", server) == [(1,), (2,)]


async def test_deadlocks_are_resolved(mariadb_server: MariaDB) -> None:
    server = mariadb_server.new_database()
    statements = ["CREATE TABLE pair (id int PRIMARY KEY, n int)", "INSERT INTO pair VALUES (1, 0), (2, 0)"]
    mariadb_server.queries(statements, server)
    both = asyncio.Barrier(2)
    attempts: list[int] = []

    def adding(first: int, second: int) -> AsyncWork:
        async def work(connection: Connection) -> None:
            attempts.append(first)
            async with connection.transaction():
                await connection.execute(f"UPDATE pair SET n = n + 1 WHERE id = {first}")
                if attempts.count(first) == 1:
                    await both.wait()
                await connection.execute(f"UPDATE pair SET n = n + 1 WHERE id = {second}")

        return work

    async with connected(server) as connections:
        await asyncio.gather(connections.run(adding(1, 2)), connections.run(adding(2, 1)))
    assert len(attempts) == 3
    assert mariadb_server.query("SELECT n FROM pair", server) == [(2,), (2,)]


async def test_a_busy_owner_leaves_connections_to_the_others(mariadb_server: MariaDB) -> None:
    server = mariadb_server.new_database()
    held, release = asyncio.Event(), asyncio.Event()

    async def hold(connection: Connection) -> None:
        async with connection.transaction():
            await connection.rows("SELECT * FROM dspam_token_data FOR UPDATE")
            held.set()
            await release.wait()

    async with mysql(server, size=2) as storage, connected(server) as others:
        bob, alice = await new(storage, "bob"), await new(storage, "alice")
        await learn(storage, bob, [1], 1)
        await learn(storage, alice, [2], 1)
        holding = asyncio.create_task(others.run(hold))
        await held.wait()
        lessons = [asyncio.create_task(learn(storage, bob, [1], 1)) for _ in range(5)]
        assert await counts(storage, alice, [2]) == {2: (1, 0)}  # waits for a connection, not for a lock
        assert not any(lesson.done() for lesson in lessons)
        release.set()
        await asyncio.gather(holding, *lessons)
        assert await counts(storage, bob, [1]) == {1: (6, 0)}


async def test_many_owners_learn_together(mariadb_server: MariaDB) -> None:
    """Eight at a time, each new to the server, all with the same tokens, some of them unlearning."""
    async with mysql(mariadb_server.new_database(), size=8) as storage:

        async def message(owner: str) -> None:
            uid = await new(storage, owner)
            await learn(storage, uid, TOKENS, 2, 0, spam_learned=2)
            await learn(storage, uid, TOKENS, -1, 1, spam_learned=-1, innocent_learned=1)

        names = [f"user{number}" for number in range(8)]
        await asyncio.gather(*(message(name) for name in names for _ in range(4)))
        for name in names:
            uid = await new(storage, name)
            assert await totals(storage, uid) == Totals(4, 4)
            assert await counts(storage, uid, TOKENS) == dict.fromkeys(TOKENS, (4, 4))


async def test_a_message_is_learned_whole_or_not_at_all(mariadb_server: MariaDB) -> None:
    server = mariadb_server.new_database()
    async with mysql(server) as storage:
        uid = await new(storage, "bob")
        trigger = "CREATE TRIGGER full BEFORE INSERT ON dspam_token_data FOR EACH ROW IF NEW.token = 400 THEN"
        mariadb_server.query(
            f"{trigger} SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'disk full'; END IF", server
        )
        with pytest.raises(TempFail, match="disk full") as failure:
            await learn(storage, uid, TOKENS, 1, 0, spam_learned=1)
        assert (failure.value.reply.code, failure.value.text) == (451, "Storage is not available")
        assert await storage.read(uid, array("Q", TOKENS)) == Snapshot(Totals(), Hits.none())


# --- the server ----------------------------------------------------------------------------


async def test_the_daemon_starts_before_its_database(broken_server: MariaDB) -> None:
    server = broken_server.new_database()
    broken_server.stop()
    try:
        async with mysql(server) as storage:
            for _ in range(2):
                with pytest.raises(Unreachable):
                    await storage.uid("bob", create=True)
            broken_server.start()
            await counters_add_up_and_stop_at_zero(storage, "bob")
    finally:
        broken_server.kill()
        broken_server.start()


async def test_a_killed_server_costs_no_message_half(broken_server: MariaDB) -> None:
    async with mysql(broken_server.new_database()) as storage:
        uid = await new(storage, "bob")
        learned = 0

        async def messages() -> None:
            nonlocal learned
            while True:
                await learn(storage, uid, TOKENS, 1, 0, spam_learned=1)
                learned += 1
                if learned == 5:
                    broken_server.kill()

        with pytest.raises(TempFail):
            await messages()
        with pytest.raises(TempFail):
            await totals(storage, uid)
        broken_server.start()
        kept = (await totals(storage, uid)).spam_learned
        assert kept in (learned, learned + 1)
        assert await counts(storage, uid, TOKENS) == dict.fromkeys(TOKENS, (kept, 0))
        await learn(storage, uid, TOKENS, 1, 0, spam_learned=1)
        assert (await totals(storage, uid)).spam_learned == kept + 1


async def test_a_frozen_server_delays_nobody_beyond_the_deadline(broken_server: MariaDB) -> None:
    async with mysql(broken_server.new_database(), deadline_s=4 * SHORT_S) as storage:
        uid = await new(storage, "bob")
        await learn(storage, uid, TOKENS, 1, 0, spam_learned=1)
        loop = asyncio.get_running_loop()
        with broken_server.frozen():
            start = loop.time()
            asked = [totals(storage, uid) for _ in range(4)]
            taught = [learn(storage, uid, TOKENS, 1, 0, spam_learned=1) for _ in range(4)]
            outcomes = await asyncio.gather(*asked, *taught, return_exceptions=True)
            assert [isinstance(outcome, TempFail) for outcome in outcomes] == [True] * 8
            assert loop.time() - start < 12 * SHORT_S  # one deadline for the owner's lock, one for the rest
        now = await totals(storage, uid)
        assert await counts(storage, uid, TOKENS) == dict.fromkeys(TOKENS, (now.spam_learned, 0))


async def test_a_host_that_does_not_answer_cannot_be_reached(broken_server: MariaDB) -> None:
    """So the store asks another one in its place, while there is time for that."""
    server = broken_server.new_database()
    with broken_server.frozen():
        async with mysql(server, deadline_s=6 * SHORT_S) as storage:  # a third of it for the connection
            async with asyncio.timeout(6 * SHORT_S):
                with pytest.raises(Unreachable, match="does not answer"):
                    await storage.uid("bob", create=True)


async def test_a_server_that_became_a_copy_is_left(
    broken_server: MariaDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "LOOK_AGAIN_S", 0.0)
    server = replace(broken_server.new_database(), user="site")
    broken_server.query(f"GRANT ALL ON {server.database}.* TO site@localhost IDENTIFIED BY ''")
    async with mysql(server) as storage:
        uid = await new(storage, "bob")
        await learn(storage, uid, TOKENS, 1, 0, spam_learned=1)
        before = _sessions(broken_server, server)
        broken_server.query("SET GLOBAL read_only = 1")
        try:
            with pytest.raises(Unreachable, match="read-only"):
                await learn(storage, uid, TOKENS, 1, 0, spam_learned=1)
            assert (await totals(storage, uid)).spam_learned == 1
        finally:
            broken_server.query("SET GLOBAL read_only = 0")
        await learn(storage, uid, TOKENS, 1, 0, spam_learned=1)
        assert (await totals(storage, uid)).spam_learned == 2
        assert before.isdisjoint(_sessions(broken_server, server))


async def test_closing_does_not_wait_for_a_frozen_server(broken_server: MariaDB) -> None:
    connections = Connections(broken_server.new_database(), 1, 30.0)
    await connections.run(_id)
    with broken_server.frozen():
        await asyncio.wait_for(connections.close(), 10)


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_tls_is_used_where_it_is_offered(broken_server: MariaDB, loop: LoopFactory) -> None:
    server = replace(broken_server.new_database(), host="127.0.0.1", port=broken_server.port, user="tls")
    account = "tls@'127.0.0.1' IDENTIFIED BY 'secret' REQUIRE SSL"
    broken_server.query(f"GRANT ALL ON *.* TO {account}")
    server = replace(server, password="secret")

    async def ask() -> None:
        async with connected(server) as connections, mysql(server) as storage:
            ((_, cipher),) = await connections.run(lambda c: c.rows("SHOW STATUS LIKE 'Ssl_cipher'"))
            assert cipher
            await signatures_come_back_as_stored(storage, "bob")

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(ask())


def test_uvloop_finds_broken_connections_too(mariadb_server: MariaDB) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(test_killed_connections_are_replaced_unnoticed(mariadb_server))
        runner.run(test_a_cancelled_connection_is_never_used_again(mariadb_server))


async def test_who_may_not_log_in_is_told_in_the_log_alone(mariadb_server: MariaDB) -> None:
    server = replace(mariadb_server.new_database(), user="nobody", password="secret")
    async with mysql(server) as storage:
        with pytest.raises(Unreachable, match="Access denied") as failure:
            await storage.uid("bob", create=True)
        assert failure.value.text == "Storage is not available"
        assert "secret" not in str(failure.value)
