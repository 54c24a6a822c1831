"""How the cost of a message follows the tokens that are stored, and those of the message.

Users of one store have ten thousand, a million and ten million tokens (DSPAMD_BENCH_TOKENS: another
number than ten million).  The cost of a message must stay flat in these, and linear in its own.  All
its tokens are known, and were read before, so caches are as warm with every user.

Flat means the growth of a tree.  From a million tokens to ten it becomes at most one level deeper,
four instead of three.  From ten thousand to a million there is more growth: of few tokens, many of a
message share a page; of many, each lies on its own page, which the server must find, lock, write and
log for it alone.  So up to there the number of touched pages limits the cost, and from there the depth of
the tree.  Hash files have extents instead; after the first
eight, each is half as large as all before it, which makes fourteen for ten million tokens.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from array import array
from collections.abc import Awaitable
from itertools import pairwise
from pathlib import Path
from random import Random

from bench.figures import Figure
from bench.filling import fill
from bench.stores import Place, grown, lesson
from dspamd.engine.model import Totals
from dspamd.storage.contract import Change, Storage, Uid
from dspamd.storage.sql.common import Server
from tests.support.mariadb_server import MariaDB
from tests.support.postgres_server import PostgreSQL

SIZES = (10_000, 1_000_000, int(os.environ.get("DSPAMD_BENCH_TOKENS", "10000000")))
MESSAGE, LONG = 900, 9_000  # tokens
ROUNDS = 15
PAGE = 100  # tokens on one, about, in each of the stores
DEEPER, MORE_EXTENTS, LINEAR = 4 / 3, 14 / 8, 1.5
RECORD_MIB = 24 / 2**20  # of DSPAM's hash files; the least that others are compared with


def measure(places: list[Place]) -> list[Figure]:
    return [figure for place in places for figure in _measure(place)]


def touched(stored: int) -> float:
    """How many pages a message touches, if its tokens lie anywhere on those of the tokens stored."""
    pages = stored / PAGE
    return pages * (1 - (1 - 1 / pages) ** MESSAGE)


def _measure(place: Place) -> list[Figure]:
    with place.folder() as folder:
        costs, long = asyncio.run(_costs(place, folder))
        size = _size_mib(place, folder)
    share = LONG / MESSAGE
    deeper = MORE_EXTENTS if place.driver == "hash" else DEEPER
    return [
        *(
            Figure(
                f"{place.name}, {what}, {many:,} tokens, not {few:,}",
                costs[many][kind], "ms", costs[few][kind], touched(many) / touched(few) * deeper,
            )
            for few, many in pairwise(SIZES)
            for kind, what in enumerate(("look-up", "lesson"))
        ),
        *(
            Figure(f"{place.name}, {what} of {LONG:,} tokens", at_long, "ms", share * at_message, LINEAR)
            for what, at_message, at_long in zip(("look-up", "lesson"), costs[SIZES[1]], long, strict=True)
        ),
        Figure(f"{place.name}, a million tokens", size / sum(SIZES) * 1e6, "MiB", 1e6 * RECORD_MIB),
    ]  # fmt: skip


Costs = tuple[float, float]  # ms of a look-up and of a lesson


async def _costs(place: Place, folder: Path) -> tuple[dict[int, Costs], Costs]:
    """Of a message by the tokens stored, and of a long one where they are a million."""
    store = place.store(folder)
    await store.open()
    users = {size: await fill(place, store, folder, f"of{size}", size, Totals()) for size in SIZES}
    await grown(place, folder)
    of_each = await _by_turns(store, list(users.values()), MESSAGE)
    (long,) = await _by_turns(store, [users[SIZES[1]]], LONG)
    await store.close()
    return dict(zip(SIZES, of_each, strict=True)), long


async def _by_turns(store: Storage, users: list[tuple[Uid, array[int]]], tokens: int) -> list[Costs]:
    """For each user the middle of some messages, all of whose tokens are known."""
    chance = Random(1)
    messages = [
        (uid, array("Q", chance.sample(known, tokens))) for _ in range(ROUNDS) for uid, known in users
    ]
    for _ in ("to warm caches", "to be measured"):
        read = [await _ms(store.read(uid, asked)) for uid, asked in messages]
    for _ in ("to warm caches", "to be measured"):
        taught = [await _ms(store.apply(uid, Change(lesson(asked)))) for uid, asked in messages]
    n = len(users)
    return [(statistics.median(read[i::n]), statistics.median(taught[i::n])) for i in range(n)]


async def _ms(work: Awaitable[object]) -> float:
    start = time.perf_counter()
    await work
    return (time.perf_counter() - start) * 1000


def _size_mib(place: Place, folder: Path) -> float:
    """The space of all tokens, with their indices."""
    match place.server:
        case PostgreSQL() as server:
            database = Server.from_file(folder / "pgsql.data").database
            size = int(server.psql("SELECT pg_total_relation_size('dspam_token_data')", database))
        case MariaDB() as server:
            where = Server.from_file(folder / "mysql.data")
            server.query("ANALYZE TABLE dspam_token_data", where)
            pages = "SELECT data_length + index_length FROM information_schema.tables"
            ((size,),) = server.query(
                f"{pages} WHERE table_schema = '{where.database}' AND table_name = 'dspam_token_data'"
            )
        case None:
            size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return int(size) / 2**20
