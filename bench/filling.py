"""Dictionaries of millions of tokens, each filled by the bulk method of its store.

Tokens come in portions that span their whole range, as messages bring them: so the pages of a tree
split, and are as full, as in a dictionary that mail filled.  Our own driver fills hash files,
because the measurement includes their growth.
"""

from __future__ import annotations

import asyncio
import io
import json
import sqlite3
from array import array
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path
from random import Random

import asyncpg
import pymysql

from bench.stores import Place, lesson
from dspamd.engine.model import Learned, TokenChange, Totals
from dspamd.home.home import Home
from dspamd.storage.contract import Change, Storage, Uid
from dspamd.storage.sql.common import Server, signed
from tests.support.day import TODAY

_PORTIONS = 10
_AT_ONCE = 100_000  # tokens that a hash file learns by one change


async def fill(
    place: Place, store: Storage, folder: Path, owner: str, count: int, totals: Totals, day: date = TODAY
) -> tuple[Uid, array[int]]:
    """Give an owner `count` tokens that were hit once, in innocent mail on that day; the owner, and they.

    With hash files it is the day of the store.
    """
    uid = await store.uid(owner, create=True)
    assert uid is not None
    await store.apply(uid, Change(Learned(totals, TokenChange.none())))
    known = array("Q")
    for tokens in _portions(owner, count):
        known.extend(tokens)
        if place.driver == "hash":
            for first in range(0, len(tokens), _AT_ONCE):
                await store.apply(uid, Change(lesson(tokens[first : first + _AT_ONCE])))
        elif place.driver == "sqlite":
            await asyncio.to_thread(_into_sqlite, Home(folder).file(owner, "sdb"), tokens, day)
        elif place.driver == "postgres":
            await _into_postgres(Server.from_file(folder / "pgsql.data"), _lines(uid, signed(tokens), day))
        else:
            lines = folder / "tokens"
            lines.write_bytes(_lines(uid, tokens, day))
            await asyncio.to_thread(_into_mysql, Server.from_file(folder / "mysql.data"), lines)
    return uid, known


def _portions(owner: str, count: int) -> Iterator[array[int]]:
    """`count` different tokens, in order within a portion."""
    random = Random(owner).random
    width = 2**64 // max(1, count)
    for first in range(min(_PORTIONS, count)):
        yield array("Q", (n * width + int(random() * width) for n in range(first, count, _PORTIONS)))


def _lines(uid: Uid, tokens: array[int], day: date) -> bytes:
    """Rows of dspam_token_data, as both servers load them; at least one."""
    before, behind = f"{uid}\t", f"\t0\t1\t{day}\n"
    return (before + (behind + before).join(map(str, tokens)) + behind).encode()


def _into_sqlite(file: Path, tokens: array[int], day: date) -> None:
    texts = json.dumps(list(map(str, tokens)))
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        for pragma in ("synchronous = OFF", "cache_size = -2000000"):
            connection.execute(f"PRAGMA {pragma}")
        insert = "INSERT INTO dspam_token_data SELECT value, 0, 1, ? FROM json_each(?)"
        connection.execute(insert, (day.isoformat(), texts))


async def _into_postgres(server: Server, lines: bytes) -> None:
    connection = await asyncpg.connect(
        host=server.host, port=server.port, user=server.user, database=server.database
    )
    await connection.copy_to_table("dspam_token_data", source=io.BytesIO(lines), timeout=600)
    await connection.close()


def _into_mysql(server: Server, lines: Path) -> None:
    connection = pymysql.connect(
        unix_socket=server.host,
        user=server.user,
        database=server.database,
        local_infile=True,
        autocommit=True,
    )
    with connection, connection.cursor() as cursor:
        cursor.execute("SET unique_checks = 0")
        cursor.execute(f"LOAD DATA LOCAL INFILE '{lines}' INTO TABLE dspam_token_data")
