"""What our drivers add to a look-up, against the same statement sent by hand over the same library."""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
import tempfile
import time
from array import array
from pathlib import Path

from bench.figures import Figure
from dspamd.engine.model import Learned, TokenChange, Totals
from dspamd.home import Home
from dspamd.storage.contract import Change
from dspamd.storage.sqlite import SQLite

TOKENS = 2_300  # of one message
KNOWN = 100_000
ROUNDS = 100
BY_HAND = """
SELECT token, spam_hits, innocent_hits FROM dspam_token_data
WHERE token IN (SELECT value FROM json_each(?))"""


def measure() -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        ours, by_hand = asyncio.run(sqlite_lookup(Path(folder)))
    return [Figure("SQLite, look-up of 2,300 tokens, against by hand", ours, "ms", by_hand, 1.3)]


async def sqlite_lookup(folder: Path) -> tuple[float, float]:
    """Milliseconds of our driver and of the statement alone; the best of turns that alternate."""
    home = Home(folder)
    store = SQLite(home)
    await store.open()
    uid = await store.uid("user", create=True)
    assert uid is not None
    chance = random.Random(1)
    known = array("Q", (chance.getrandbits(64) for _ in range(KNOWN)))
    ones = array("i", [1]) * KNOWN
    await store.apply(uid, Change(Learned(Totals(innocent_learned=1), TokenChange(known, ones, ones))))
    asked = array("Q", chance.sample(known, TOKENS))
    connection = sqlite3.connect(home.file("user", "sdb"))
    ours, by_hand = [], []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        found = connection.execute(BY_HAND, (json.dumps(list(map(str, asked))),)).fetchall()
        middle = time.perf_counter()
        snapshot = await store.read(uid, asked)
        ours.append(time.perf_counter() - middle)
        by_hand.append(middle - start)
        assert len(found) == len(snapshot.hits.tokens) == TOKENS
    connection.close()
    await store.close()
    return min(ours) * 1000, min(by_hand) * 1000
