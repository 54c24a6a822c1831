"""Mail a second with each store, learning from each message or from errors alone, for one user and more.

For information, compared with the bare relay under the same load.  Mail of 10 kB, 8 sessions, one worker.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from bench.client import names
from bench.figures import Figure
from bench.filling import fill
from bench.path import load, process
from bench.stores import Place
from dspamd.engine.model import Totals
from tests.support.daemon import Daemon
from tests.support.ports import free_port

USERS = (1, 4, 16)
COUNT = 160
TAUGHT = Totals(100_000, 100_000)  # with more than 100 of each, TOE no longer learns from every message
SETTINGS = 'ServerWorkers 1\nTrainingMode {mode}\nHashMaxSeek 10\nPreference "showFactors=off"\n'


def measure(places: list[Place]) -> list[Figure]:
    sink, relay = free_port(), free_port()
    with process("bench.sink", sink), process("bench.relay", relay, sink) as relay_pid:
        bare = load(relay, relay_pid, count=COUNT).messages_per_s
        return [
            Figure(f"{place.name}, {mode}, {users} users", rate, "mail/s", bare, more=True)
            for place in places
            for mode in ("toe", "teft")
            for users, rate in _rates(place, mode, sink).items()
        ]


def _rates(place: Place, mode: str, sink: int) -> dict[int, float]:
    """Mail a second by the number of users."""
    with place.folder() as folder:
        asyncio.run(_teach(place, folder))
        settings = SETTINGS.format(mode=mode)
        with Daemon(folder, sink, driver=place.library, settings=settings) as daemon:
            (worker,) = daemon.workers
            load(daemon.port, worker, count=max(USERS), users=max(USERS))  # files made, connections open
            return {
                users: load(daemon.port, worker, count=COUNT, users=users).messages_per_s for users in USERS
            }


async def _teach(place: Place, folder: Path) -> None:
    store = place.store(folder)
    await store.open()
    for user in names(max(USERS)):
        await fill(place, store, folder, user, 0, TAUGHT)
    await store.close()
