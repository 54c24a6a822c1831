"""What mail notices of a purge: its latency while a million stale tokens go, against that before.

A minute of the purge is looked at; what needs longer is ended then.

The dictionary that is purged is the one of the user who gets the mail: the worst case.
Mail flows steadily over a few sessions, far below what the daemon could take, because
with a client that never pauses any other work shows as waiting.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import tempfile
import time
from array import array
from collections.abc import Callable
from contextlib import ExitStack
from datetime import date, timedelta
from pathlib import Path

from bench.client import expect, greeted
from bench.figures import Figure
from bench.path import SIZE, process
from bench.sample import of_size
from dspamd.engine.model import Learned, TokenChange, Totals
from dspamd.home import Home
from dspamd.storage.clock import utc_day
from dspamd.storage.contract import Change, Storage
from dspamd.storage.hash import HashFiles
from dspamd.storage.hash_file import Shape
from dspamd.storage.sqlite import SQLite
from tests.e2e.daemon import Daemon
from tests.e2e.postfix import free_port

STALE = 1_000_000
RECORDS = 1_500_007
AT_ONCE = 200_000
SESSIONS, PAUSE_S = 4, 0.1  # between two messages of a session
BEFORE_S, DURING_S = 20.0, 60.0
TAUGHT = Totals(AT_ONCE, AT_ONCE)  # well past its start, TOE does not learn from every message
SETTINGS = f"TrainingMode toe\nHashRecMax {RECORDS}\n"


def measure() -> list[Figure]:
    stores: tuple[tuple[str, str, Callable[[Home], Storage]], ...] = (
        ("SQLite", "libsqlite3_drv.so", lambda home: SQLite(home, today=_long_ago, deadline_s=60)),
        ("hash files", "libhash_drv.so", lambda home: HashFiles(home, Shape(RECORDS), today=_long_ago)),
    )
    return [_measure(*store) for store in stores]


def _long_ago() -> date:
    return utc_day() - timedelta(60)


def _measure(name: str, driver: str, store: Callable[[Home], Storage]) -> Figure:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        asyncio.run(fill(store(Home(folder))))
        sink = free_port()
        stack.enter_context(process("bench.sink", sink))
        daemon = stack.enter_context(Daemon(folder, sink, driver=driver, settings=SETTINGS))
        before, during = asyncio.run(latencies(daemon))
    return Figure(f"mail (p99) during a purge, {name}", _p99(during), "ms", _p99(before), 2)


async def fill(store: Storage) -> None:
    """Give the user his stale tokens."""
    chance = random.Random(1)
    await store.open()
    uid = await store.uid("user", create=True)
    assert uid is not None
    ones, zeros = array("i", [1]) * AT_ONCE, array("i", [0]) * AT_ONCE
    for _ in range(0, STALE, AT_ONCE):
        tokens = array("Q", (chance.getrandbits(64) for _ in range(AT_ONCE)))
        await store.apply(uid, Change(Learned(TAUGHT, TokenChange(tokens, ones, zeros))))
    await store.close()


async def latencies(daemon: Daemon) -> tuple[list[float], list[float]]:
    """Milliseconds of each message, before the purge and while it runs."""
    times: list[float] = []
    sessions = [asyncio.create_task(session(daemon.port, times)) for _ in range(SESSIONS)]
    await asyncio.sleep(BEFORE_S)
    before = times[len(times) // 4 :]  # when it is warm
    times.clear()
    purge = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "dspamd.commands.dspam_clean", "-u",
        env=os.environ | {"DSPAM_CONF": str(daemon.config)},
    )  # fmt: skip
    await asyncio.wait((asyncio.create_task(purge.wait()),), timeout=DURING_S)
    during = times.copy()
    if purge.returncode is None:
        purge.terminate()
    for task in sessions:
        task.cancel()
    await asyncio.wait(sessions)
    if await purge.wait():
        raise RuntimeError("dspam_clean failed")
    return before, during


async def session(port: int, times: list[float]) -> None:
    reader, writer = await greeted(port)
    contents = [content.replace(b"\r\n.", b"\r\n..") + b".\r\n" for content in of_size(SIZE, 50)]
    while True:
        for content in contents:
            start = time.perf_counter()
            writer.write(b"MAIL FROM:<sender@example.net>\r\nRCPT TO:<user@example.org>\r\nDATA\r\n")
            for wanted in (b"250", b"250", b"354"):
                await expect(reader, wanted)
            writer.write(content)
            await expect(reader, b"250")
            times.append((time.perf_counter() - start) * 1000)
            await asyncio.sleep(PAUSE_S)


def _p99(times: list[float]) -> float:
    return sorted(times)[len(times) * 99 // 100]
