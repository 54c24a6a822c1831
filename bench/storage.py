"""What our drivers add to a look-up, against the same question asked by hand over the same library."""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
import tempfile
import time
from array import array
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import aiomysql
import asyncpg

from bench.figures import Figure
from dspamd.engine.model import Learned, TokenChange, Totals
from dspamd.home import Home
from dspamd.storage.contract import Change, Storage, Uid
from dspamd.storage.mysql import MySQL
from dspamd.storage.mysql_server import Connections
from dspamd.storage.postgres import Postgres
from dspamd.storage.sql import signed
from dspamd.storage.sqlite import SQLite
from tests.contract.drivers import VIRTUAL_USERS
from tests.contract.mariadb_server import MariaDB, mariadb
from tests.contract.postgres_server import PostgreSQL, postgresql

TOKENS = 2_300  # of one message
KNOWN = 100_000
ROUNDS = 100

ByHand = Callable[[Uid, "array[int]"], Awaitable[Sequence[object]]]


def measure() -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        sqlite = asyncio.run(sqlite_lookup(Path(folder)))
    with postgresql() as postgres_server:
        postgres = asyncio.run(postgres_lookup(postgres_server))
    with mariadb() as server:
        mysql = asyncio.run(mysql_lookup(server))
    return [
        Figure(f"{name}, look-up of 2,300 tokens, against by hand", ours, "ms", by_hand, 1.3)
        for name, (ours, by_hand) in (("SQLite", sqlite), ("PostgreSQL", postgres), ("MariaDB", mysql))
    ]


async def sqlite_lookup(folder: Path) -> tuple[float, float]:
    connection = sqlite3.connect(Home(folder).prepare(Home(folder).file("user", "sdb")))

    async def by_hand(uid: Uid, tokens: array[int]) -> Sequence[object]:
        values = "SELECT value FROM json_each(?)"
        select = f"SELECT token, spam_hits, innocent_hits FROM dspam_token_data WHERE token IN ({values})"
        return connection.execute(select, (json.dumps(list(map(str, tokens))),)).fetchall()

    times = await lookup(SQLite(Home(folder)), by_hand)
    connection.close()
    return times


async def postgres_lookup(server: PostgreSQL) -> tuple[float, float]:
    database = server.new_database()
    connection = await asyncpg.connect(
        host=database.host, port=database.port, user=database.user, database=database.database
    )
    select = (
        "SELECT token, spam_hits, innocent_hits FROM dspam_token_data"
        " WHERE uid = $1 AND token = ANY ($2::bigint[])"
    )

    async def by_hand(uid: Uid, tokens: array[int]) -> Sequence[object]:
        rows: Sequence[object] = await connection.fetch(select, uid, signed(tokens))
        return rows

    async def grown() -> None:
        await connection.execute("VACUUM ANALYZE dspam_token_data")  # as the server does by itself in time

    times = await lookup(Postgres(database, VIRTUAL_USERS, connections=1), by_hand, grown)
    await connection.close()
    return times


async def mysql_lookup(server: MariaDB) -> tuple[float, float]:
    database = server.new_database()
    connection = await aiomysql.connect(
        unix_socket=database.host, user=database.user, db=database.database, autocommit=True
    )

    async def by_hand(uid: Uid, tokens: array[int]) -> Sequence[object]:
        quoted = "','".join(map(str, tokens))
        async with connection.cursor() as cursor:
            select = "SELECT token, spam_hits, innocent_hits FROM dspam_token_data"
            await cursor.execute(f"{select} WHERE uid = {uid} AND token IN ('{quoted}')")
            rows: Sequence[object] = await cursor.fetchall()
            return rows

    connections = Connections(database, 1, 30.0)
    times = await lookup(MySQL(connections, connections, VIRTUAL_USERS), by_hand)
    connection.close()
    return times


async def nothing() -> None: ...


async def lookup(
    store: Storage, by_hand: ByHand, grown: Callable[[], Awaitable[None]] = nothing
) -> tuple[float, float]:
    """Milliseconds of our driver and of the statement alone; the best of turns that alternate.

    `grown` is done once the tokens are there.
    """
    await store.open()
    uid = await store.uid("user", create=True)
    assert uid is not None
    chance = random.Random(1)
    known = array("Q", (chance.getrandbits(64) for _ in range(KNOWN)))
    ones = array("i", [1]) * KNOWN
    await store.apply(uid, Change(Learned(Totals(innocent_learned=1), TokenChange(known, ones, ones))))
    await grown()
    asked = array("Q", chance.sample(known, TOKENS))
    ours, theirs = [], []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        found = await by_hand(uid, asked)
        middle = time.perf_counter()
        snapshot = await store.read(uid, asked)
        ours.append(time.perf_counter() - middle)
        theirs.append(middle - start)
        assert len(found) == len(snapshot.hits.tokens) == TOKENS
    await store.close()
    return min(ours) * 1000, min(theirs) * 1000
