"""The delay of mail by a purge: its latency while a purge removes a million tokens, against that before.

Mail comes at half of the daemon's highest rate, which is measured first.  It comes at random (open
loop, a Poisson process): a message that finds all sessions busy waits, too, and that counts.  The
purge works on the dictionary of the user who gets the mail: the worst case.

The measurement ends a purge after about a minute.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Awaitable
from contextlib import ExitStack
from datetime import date, timedelta
from itertools import cycle
from pathlib import Path
from random import Random

from bench.client import expect, greeted
from bench.figures import Figure
from bench.filling import fill
from bench.path import SIZE, process
from bench.sample import of_size
from bench.stores import Place, grown, places
from dspamd.engine.model import Totals
from dspamd.storage.clock import utc_day
from tests.support.daemon import Daemon
from tests.support.ports import free_port

STALE = 1_000_000
SHARE = 0.5  # of the rate that the daemon can take
BUSY, SESSIONS = 8, 64  # when that rate is measured; at most, when mail comes at its share
WARM_S, MOST_S, BEFORE_S, DURING_S = 3.0, 5.0, 15.0, 45.0
TAUGHT = Totals(100_000, 100_000)  # well past its start, TOE does not learn from every message
SETTINGS = "TrainingMode toe\nHashMaxSeek 10\nHashPctIncrease 10\n"
CONTENTS = [content.replace(b"\r\n.", b"\r\n..") + b".\r\n" for content in of_size(SIZE, 50)]


def measure() -> list[Figure]:
    with places() as all_places:
        return [figure for place in all_places for figure in _measure(place)]


def _measure(place: Place) -> list[Figure]:
    with place.folder() as folder, ExitStack() as stack:
        asyncio.run(_fill(place, folder))
        sink = free_port()
        stack.enter_context(process("bench.sink", sink))
        daemon = stack.enter_context(Daemon(folder, sink, driver=place.library, settings=SETTINGS))
        most, before, during, purge_s = asyncio.run(latencies(daemon))
        gone = STALE - asyncio.run(_left(place, folder))
    name = f"{place.name}, purge"
    return [
        Figure(f"{name}: mail (p99)", _percentile(during, 99), "ms", _percentile(before, 99), 2),
        Figure(f"{name}: mail (p50)", _percentile(during, 50), "ms", _percentile(before, 50)),
        Figure(f"{name}: mail meanwhile, of the most", len(during) / purge_s, "mail/s", most),
        Figure(f"{name}: tokens gone, by messages", gone / purge_s, "a second", len(during) / purge_s),
    ]


async def _fill(place: Place, folder: Path) -> None:
    """Give the user stale tokens."""
    long_ago = utc_day() - timedelta(60)
    store = place.store(folder, lambda: long_ago)
    await store.open()
    await fill(place, store, folder, "user", STALE, TAUGHT, long_ago)
    await grown(place, folder)
    await store.close()


async def _left(place: Place, folder: Path) -> int:
    """How many of the stale tokens are still there."""
    last = (utc_day() - timedelta(30) - date(1970, 1, 1)).days
    store = place.store(folder)
    await store.open()
    uid = await store.uid("user", create=False)
    assert uid is not None
    left = sum([sum(row.last_hit < last for row in batch) async for batch in store.tokens(uid)])
    await store.close()
    return left


async def latencies(daemon: Daemon) -> tuple[float, list[float], list[float], float]:
    """Mail a second at most; milliseconds of each message at a share of it, before the purge and while
    it runs; how many seconds that was."""
    post = Post(daemon.port)
    await post.at_most(WARM_S)
    most = await post.at_most(MOST_S)
    await post.at(SHARE * most, asyncio.sleep(WARM_S))
    before = await post.at(SHARE * most, asyncio.sleep(BEFORE_S))
    purge = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "dspamd.commands.dspam_clean", "-u",
        env=os.environ | {"DSPAM_CONF": str(daemon.config)},
    )  # fmt: skip
    start = time.perf_counter()
    during = await post.at(SHARE * most, asyncio.wait((asyncio.create_task(purge.wait()),), timeout=DURING_S))
    purge_s = time.perf_counter() - start
    if purge.returncode is None:
        purge.terminate()
    if await purge.wait():
        raise RuntimeError("dspam_clean failed")
    return most, before, during, purge_s


class Post:
    """Mail for the user, over sessions that are opened when they are needed."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._room = asyncio.Semaphore(SESSIONS)
        self._contents = cycle(CONTENTS)
        self._chance = Random(1)

    async def at_most(self, seconds: float) -> float:
        """How many messages a second are taken from sessions that never pause."""
        count, end = 0, time.perf_counter() + seconds

        async def never_pausing() -> None:
            nonlocal count
            while time.perf_counter() < end:
                await self._send()
                count += 1

        await asyncio.gather(*(never_pausing() for _ in range(BUSY)))
        return count / seconds

    async def at(self, rate: float, until: Awaitable[object]) -> list[float]:
        """Milliseconds from when each message comes until it is taken, at so many a second on average."""
        times: list[float] = []

        async def send(came: float) -> None:
            await self._send()
            times.append((time.perf_counter() - came) * 1000)

        ended = asyncio.ensure_future(until)
        comes = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            while not ended.done():
                comes += self._chance.expovariate(rate)
                await asyncio.sleep(max(0, comes - time.perf_counter()))
                group.create_task(send(comes))
        return times

    async def _send(self) -> None:
        async with self._room:
            reader, writer = self._idle.pop() if self._idle else await greeted(self._port)
            writer.write(b"MAIL FROM:<sender@example.net>\r\nRCPT TO:<user@example.org>\r\nDATA\r\n")
            for wanted in (b"250", b"250", b"354"):
                await expect(reader, wanted)
            writer.write(next(self._contents))
            await expect(reader, b"250")
            self._idle.append((reader, writer))


def _percentile(times: list[float], percent: int) -> float:
    return sorted(times)[len(times) * percent // 100]
