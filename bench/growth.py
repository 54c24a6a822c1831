"""How the cost of a message follows the tokens that are stored, and those of the message.

One user has ten thousand tokens, another a million; DSPAMD_BENCH_TOKENS may name a larger number
(10000000 takes minutes).  Both are in the same tables, where the store has tables.
What a message costs must stay flat in the tokens stored, and linear in its own.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from array import array
from collections.abc import Awaitable
from pathlib import Path
from random import Random

from bench.figures import Figure
from bench.stores import Place, fill, grown, lesson
from dspamd.engine.model import Totals
from dspamd.storage.contract import Change, Storage, Uid
from dspamd.storage.sql import Server
from tests.contract.mariadb_server import MariaDB
from tests.contract.postgres_server import PostgreSQL

FEW, MANY = 10_000, int(os.environ.get("DSPAMD_BENCH_TOKENS", "1000000"))
MESSAGE, LONG = 900, 9_000  # tokens
ROUNDS = 15
FLAT, LINEAR = 12, 1.5  # where it were not flat, a hundred times; caches hold less of what is larger
RECORD_MIB = 24 / 2**20  # of DSPAM's hash files; the least that others are compared with


def measure(places: list[Place]) -> list[Figure]:
    return [figure for place in places for figure in _measure(place)]


def _measure(place: Place) -> list[Figure]:
    with place.folder() as folder:
        few, many, long = asyncio.run(_costs(place, folder))
        size = _size_mib(place, folder)
    share = LONG / MESSAGE
    return [
        *(
            Figure(f"{place.name}, {what}, {MANY:,} tokens stored, not {FEW:,}", at_many, "ms", at_few, FLAT)
            for what, at_few, at_many in zip(("look-up", "lesson"), few, many, strict=True)
        ),
        *(
            Figure(f"{place.name}, {what} of {LONG:,} tokens", at_long, "ms", share * at_many, LINEAR)
            for what, at_many, at_long in zip(("look-up", "lesson"), many, long, strict=True)
        ),
        Figure(f"{place.name}, a million tokens", size / MANY * 1e6, "MiB", 1e6 * RECORD_MIB),
    ]


Costs = tuple[float, float]  # ms of a look-up and of a lesson


async def _costs(place: Place, folder: Path) -> tuple[Costs, Costs, Costs]:
    """Of a message in a small dictionary, of one in a large dictionary, of a long one there."""
    store = place.store(folder)
    await store.open()
    small = await fill(store, "few", FEW, Totals())
    large = await fill(store, "many", MANY, Totals())
    await grown(place, folder)
    costs = (
        await _cost(store, *small, MESSAGE),
        await _cost(store, *large, MESSAGE),
        await _cost(store, *large, LONG),
    )
    await store.close()
    return costs


async def _cost(store: Storage, uid: Uid, known: array[int], message: int) -> Costs:
    """The middle of some messages whose tokens are all known."""
    chance = Random(1)
    messages = [array("Q", chance.sample(known, message)) for _ in range(ROUNDS)]
    read = [await _ms(store.read(uid, asked)) for asked in messages]
    taught = [await _ms(store.apply(uid, Change(lesson(asked)))) for asked in messages]
    return statistics.median(read), statistics.median(taught)


async def _ms(work: Awaitable[object]) -> float:
    start = time.perf_counter()
    await work
    return (time.perf_counter() - start) * 1000


def _size_mib(place: Place, folder: Path) -> float:
    """What all tokens take, with their indices."""
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
