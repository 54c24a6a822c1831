"""The cost of our drivers for a look-up and a lesson, against the plain statement over the same library.

The plain statement is the least that does the work: one statement over an open connection, without
deadline, retries, or a pool.  For PostgreSQL the lesson is our own statement, because clamps, and an
order that prevents deadlocks, have their price.  For hash files it is the kernel on the mapped file,
without the lock and the journal, which makes a lesson atomic: their ratio is for information.
"""

from __future__ import annotations

import asyncio
import json
import mmap
import random
import sqlite3
import time
from array import array
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import aiomysql
import asyncpg

from bench import growth, rates
from bench.figures import Figure
from bench.filling import fill
from bench.stores import Place, grown, lesson, places
from dspamd.engine.model import Totals
from dspamd.home.home import Home
from dspamd.storage.contract import Change, Uid
from dspamd.storage.files._css import css_find, css_plan, css_store
from dspamd.storage.postgres.statements import BIGINT, Statements
from dspamd.storage.sql.common import Server, signed
from tests.support.day import TODAY
from tests.support.drivers import VIRTUAL_USERS

TOKENS = 2_300  # of one message
KNOWN = 100_000
ROUNDS = 60
BUDGET = 1.3
_STATEMENTS = Statements(VIRTUAL_USERS, BIGINT, corrections=True, blocks=True)


def measure() -> list[Figure]:
    with places() as all_places:
        figures = [figure for place in all_places for figure in asyncio.run(against_hand(place))]
        return [*figures, *growth.measure(all_places), *rates.measure(all_places)]


class ByHand(Protocol):
    """Somebody's own two statements."""

    async def look_up(self, uid: Uid, tokens: array[int]) -> int:
        """Fetch the hits of tokens; how many there were."""

    async def learn(self, uid: Uid, tokens: array[int]) -> None:
        """Add an innocent hit to each, and to the total."""


class HashByHand:
    def __init__(self, file: mmap.mmap) -> None:
        self._file = file

    async def look_up(self, uid: Uid, tokens: array[int]) -> int:
        return len(css_find(self._file, 10, tokens)[0])

    async def learn(self, uid: Uid, tokens: array[int]) -> None:
        changes = lesson(tokens).tokens
        known, _, _, spam, innocent = css_plan(self._file, 10, *changes, 2**28, 2**28)
        css_store(self._file, 10, known, spam, innocent, 0)


class SQLiteByHand:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    async def look_up(self, uid: Uid, tokens: array[int]) -> int:
        select = (
            "SELECT token, spam_hits, innocent_hits FROM dspam_token_data"
            " WHERE token IN (SELECT value FROM json_each(?))"
        )
        return len(self._connection.execute(select, (_texts(tokens),)).fetchall())

    async def learn(self, uid: Uid, tokens: array[int]) -> None:
        add = (
            "INSERT INTO dspam_token_data SELECT value, 0, 1, date('now') FROM json_each(?) WHERE true"
            " ON CONFLICT (token) DO UPDATE SET innocent_hits = innocent_hits + 1, last_hit = date('now')"
        )
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.execute("UPDATE dspam_stats SET innocent_learned = innocent_learned + 1")
        self._connection.execute(add, (_texts(tokens),))
        self._connection.execute("COMMIT")


class PostgresByHand:
    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def look_up(self, uid: Uid, tokens: array[int]) -> int:
        select = (
            "SELECT token, spam_hits, innocent_hits FROM dspam_token_data"
            " WHERE uid = $1 AND token = ANY ($2::bigint[])"
        )
        return len(await self._connection.fetch(select, uid, signed(tokens)))

    async def learn(self, uid: Uid, tokens: array[int]) -> None:
        totals = lesson(tokens).totals
        numbers = signed(tokens), 0, 1
        await self._connection.execute(_STATEMENTS.learn, uid, *numbers, TODAY, list(totals), None, None)


class MySQLByHand:
    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def look_up(self, uid: Uid, tokens: array[int]) -> int:
        quoted = "','".join(map(str, tokens))
        async with self._connection.cursor() as cursor:
            select = "SELECT token, spam_hits, innocent_hits FROM dspam_token_data"
            await cursor.execute(f"{select} WHERE uid = {uid} AND token IN ('{quoted}')")
            return len(await cursor.fetchall())

    async def learn(self, uid: Uid, tokens: array[int]) -> None:
        values = ", ".join(f"({uid}, '{token}', 0, 1, '{TODAY}')" for token in tokens)
        async with self._connection.cursor() as cursor:
            await cursor.execute("BEGIN")
            total = "UPDATE dspam_stats SET innocent_learned = innocent_learned + 1"
            await cursor.execute(f"{total} WHERE uid = {uid}")
            await cursor.execute(
                f"INSERT INTO dspam_token_data VALUES {values} ON DUPLICATE KEY UPDATE"
                f" innocent_hits = innocent_hits + 1, last_hit = '{TODAY}'"
            )
            await cursor.execute("COMMIT")


def _texts(tokens: array[int]) -> str:
    return json.dumps(list(map(str, tokens)))


@asynccontextmanager
async def by_hand(place: Place, folder: Path) -> AsyncIterator[ByHand]:
    """A connection to the store of `user` by hand."""
    home = Home(folder)
    if place.driver == "hash":
        with home.file("user", "css").open("r+b") as opened, mmap.mmap(opened.fileno(), 0) as file:
            yield HashByHand(file)
    elif place.driver == "sqlite":
        sqlite = sqlite3.connect(home.file("user", "sdb"), isolation_level=None)
        sqlite.execute("PRAGMA synchronous = NORMAL")
        yield SQLiteByHand(sqlite)
        sqlite.close()
    elif place.driver == "postgres":
        server = Server.from_file(folder / "pgsql.data")
        postgres = await asyncpg.connect(
            host=server.host, port=server.port, user=server.user, database=server.database
        )
        yield PostgresByHand(postgres)
        await postgres.close()
    else:
        server = Server.from_file(folder / "mysql.data")
        mysql = await aiomysql.connect(
            unix_socket=server.host, user=server.user, db=server.database, autocommit=True
        )
        yield MySQLByHand(mysql)
        mysql.close()


async def against_hand(place: Place) -> list[Figure]:
    """Milliseconds of our driver and of the statements alone; the best of turns that alternate."""
    chance = random.Random(1)
    times: dict[str, list[float]] = {"ours": [], "hand": [], "our lesson": [], "hand's lesson": []}
    with place.folder() as folder:
        store = place.store(folder)
        await store.open()
        uid, known = await fill(place, store, folder, "user", KNOWN, Totals())
        await grown(place, folder)
        async with by_hand(place, folder) as hand:
            for turn in range(ROUNDS):
                asked = array("Q", chance.sample(known, TOKENS))
                assert await hand.look_up(uid, asked) == TOKENS  # and the rows are in caches now
                turns = [
                    ("hand", hand.look_up(uid, asked)),
                    ("ours", store.read(uid, asked)),
                    ("hand's lesson", hand.learn(uid, asked)),
                    ("our lesson", store.apply(uid, Change(lesson(asked)))),
                ]
                for what, work in turns if turn % 2 else reversed(turns):
                    start = time.perf_counter()
                    await work
                    times[what].append((time.perf_counter() - start) * 1000)
        await store.close()
    best = {what: min(some) for what, some in times.items()}
    budget = None if place.driver == "hash" else BUDGET
    return [
        Figure(f"{place.name}, look-up against by hand", best["ours"], "ms", best["hand"], budget),
        Figure(
            f"{place.name}, lesson against by hand", best["our lesson"], "ms", best["hand's lesson"], budget
        ),
    ]
