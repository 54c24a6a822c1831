"""The default of a new installation (joint, tone) against that of DSPAM (TEFT, graham burton), on SQL stores.

CPU time is that of the daemon and of the database server together, from proc(5).  Mail is of 10 kB, for one
user, 8 sessions, one worker; each message is new, so that the new default meets what it has not learned yet.
Both daemons get the same mail after the same lessons.  The server itself counts the rows.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from bench import path
from bench.figures import Figure
from bench.stores import Place, places
from tests.support.daemon import SCORING, Daemon
from tests.support.mariadb_server import MariaDB
from tests.support.ports import free_port
from tests.support.postgres_server import PostgreSQL

ROUNDS, COUNT = 2, 80
LESSONS = 60  # of both classes together
CPU_BUDGET, RATE_BUDGET, ROWS_BUDGET = 0.2, 10, 0.1

_POSTGRES_ROWS = "SELECT sum(tup_inserted + tup_updated + tup_deleted) FROM pg_stat_database"
_MARIADB_ROWS = (
    "SELECT SUM(VARIABLE_VALUE) FROM information_schema.GLOBAL_STATUS"
    " WHERE VARIABLE_NAME IN ('HANDLER_WRITE', 'HANDLER_UPDATE', 'HANDLER_DELETE')"
)


class Cost(NamedTuple):
    """What a message costs; `rows`: that are written."""

    cpu_ms: float
    messages_per_s: float
    rows: float


def measure() -> list[Figure]:
    sink = free_port()
    with places() as all_places, path.process("bench.sink", sink):
        return [figure for place in all_places if place.driver != "hash" for figure in against(place, sink)]


def against(place: Place, sink: int) -> list[Figure]:
    """The figures of one store."""
    old = cost(place, sink, "teft", SCORING)
    new = cost(place, sink, "tone", path.NEW_DEFAULT)
    name, server = f"{place.name}, joint and tone against teft", place.server is not None
    cpu = Figure(f"{name}: CPU", new.cpu_ms, "ms/mail", old.cpu_ms, CPU_BUDGET if server else None)
    rate_budget = None if server else RATE_BUDGET
    rate = Figure(f"{name}: rate", new.messages_per_s, "mail/s", old.messages_per_s, rate_budget, more=True)
    if not server:
        return [cpu, rate]
    return [cpu, rate, Figure(f"{name}: rows", new.rows, "rows", old.rows, ROWS_BUDGET)]


def cost(place: Place, sink: int, mode: str, scoring: str) -> Cost:
    """The cost of mail for a daemon that has had its lessons: of CPU and time the better of the rounds."""
    with place.folder() as folder:
        settings = path.SETTINGS.format(mode=mode, workers=1)
        daemon = Daemon(folder, sink, driver=place.library, settings=settings, scoring=scoring)
        with daemon:
            path.teach(daemon.port, ["user"], LESSONS)
        # Sessions of PostgreSQL report their rows when they end.
        before = written(place)
        with daemon:
            rounds = [deliver(place, daemon, path.SIZE + 1 + turn) for turn in range(ROUNDS)]
        rows = (written(place) - before) / COUNT / ROUNDS
    return Cost(min(cpu for cpu, _ in rounds), max(rate for _, rate in rounds), rows)


def deliver(place: Place, daemon: Daemon, size: int) -> tuple[float, float]:
    """Deliver messages that nobody has seen, as each size has its own: ms of CPU, messages a second."""
    (worker,) = daemon.workers
    before = used_s(place, daemon)
    done = path.load(daemon.port, worker, count=COUNT, size=size, different=COUNT)
    return (used_s(place, daemon) - before) / COUNT * 1000, done.messages_per_s


def used_s(place: Place, daemon: Daemon) -> float:
    """Seconds of CPU of a daemon and of its database server."""
    ours = sum(map(path.cpu_s, (daemon.pid, *daemon.workers)))
    if place.server is None:
        return ours
    parent = place.server.pid
    sessions = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return ours + path.cpu_s(parent, ended=True) + sum(map(path.cpu_s, map(int, sessions)))


def written(place: Place) -> int:
    """Rows that the server of a place has inserted, updated and deleted until now; 0 without a server."""
    if isinstance(place.server, PostgreSQL):
        return int(place.server.psql(_POSTGRES_ROWS, "postgres"))
    if isinstance(place.server, MariaDB):
        ((rows,),) = place.server.query(_MARIADB_ROWS)
        return int(rows)
    return 0
