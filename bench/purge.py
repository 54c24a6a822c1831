"""What mail notices of a purge: its latency while a million stale tokens go, against that before.

Most of a minute of the purge is looked at; what needs longer is ended then.

The dictionary that is purged is the one of the user who gets the mail: the worst case.
Mail flows steadily over a few sessions, far below what the daemon could take, because
with a client that never pauses any other work shows as waiting.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from contextlib import ExitStack
from datetime import date, timedelta
from pathlib import Path

from bench.client import expect, greeted
from bench.figures import Figure
from bench.path import SIZE, process
from bench.sample import of_size
from bench.stores import Place, fill, grown, places
from dspamd.engine.model import Totals
from dspamd.storage.clock import utc_day
from tests.e2e.daemon import Daemon
from tests.e2e.postfix import free_port

STALE = 1_000_000
SESSIONS, PAUSE_S = 4, 0.1  # between two messages of a session
BEFORE_S, DURING_S = 15.0, 45.0
TAUGHT = Totals(100_000, 100_000)  # well past its start, TOE does not learn from every message
SETTINGS = "TrainingMode toe\nHashMaxSeek 10\n"


def measure() -> list[Figure]:
    with places() as all_places:
        return [_measure(place) for place in all_places]


def _long_ago() -> date:
    return utc_day() - timedelta(60)


def _measure(place: Place) -> Figure:
    with place.folder() as folder, ExitStack() as stack:
        asyncio.run(_fill(place, folder))
        sink = free_port()
        stack.enter_context(process("bench.sink", sink))
        daemon = stack.enter_context(Daemon(folder, sink, driver=place.library, settings=SETTINGS))
        before, during = asyncio.run(latencies(daemon))
    return Figure(f"mail (p99) during a purge, {place.name}", _p99(during), "ms", _p99(before), 2)


async def _fill(place: Place, folder: Path) -> None:
    """Give the user his stale tokens."""
    store = place.store(folder, _long_ago)
    await store.open()
    await fill(store, "user", STALE, TAUGHT)
    await grown(place, folder)
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
