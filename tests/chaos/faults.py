"""The faults: each lasts as long as its `with` block.

The `Scene` records which worker a fault killed, when the next hop was in trouble, and which client
vanished: the audit accepts no other excuse for a second copy.  A fault that affects only the daemon,
its scanner or its store excuses none.
"""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from random import Random

from tests.chaos.fixture import DATABASES, Fixture
from tests.chaos.ledger import Kill, Trouble
from tests.chaos.load import Load
from tests.chaos.vanishing import Step, vanish
from tests.support.wait import until

_DAY_S = 86_400
_NO_MORE = 3  # open files: standard input, output and error; those that are open stay so


@dataclass(frozen=True)
class Scene:
    """The site of the faults, its mail, the random generator, and the records."""

    fixture: Fixture
    load: Load
    chance: Random
    kills: list[Kill] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)
    clocks: set[int] = field(default_factory=lambda: {0})
    vanished: set[int] = field(default_factory=set)

    def kill(self, *workers: int) -> None:
        """Kill workers of the daemon."""
        self.kills.append(Kill(time.monotonic(), frozenset(workers)))
        for worker in workers:
            os.kill(worker, signal.SIGKILL)


@dataclass(frozen=True)
class Fault:
    name: str
    happen: Callable[[Scene], AbstractContextManager[None]]


@contextmanager
def _worker_killed(scene: Scene) -> Iterator[None]:
    victim = scene.chance.choice(scene.fixture.daemon.workers)
    scene.kill(victim)
    yield
    until(lambda: victim not in (now := scene.fixture.daemon.workers) and len(now) == 2, "a new worker")


@contextmanager
def _supervisor_killed(scene: Scene) -> Iterator[None]:
    """Its workers notice, finish what they have, and end: nothing is cut."""
    workers = scene.fixture.daemon.workers
    scene.fixture.daemon.kill()
    yield
    until(lambda: not any(map(_alive, workers)), "the workers to end", timeout_s=60)
    scene.fixture.daemon.start()


@contextmanager
def _tree_killed(scene: Scene) -> Iterator[None]:
    """All processes at once, as by a power cut."""
    os.kill(scene.fixture.daemon.pid, signal.SIGSTOP)  # else it would replace the workers
    workers = scene.fixture.daemon.workers
    scene.kill(*workers)
    scene.fixture.daemon.kill()
    yield
    until(lambda: not any(map(_alive, workers)), "the workers to be gone")
    scene.fixture.daemon.start()


@contextmanager
def _hop_stopped(scene: Scene) -> Iterator[None]:
    begun = time.monotonic()
    scene.fixture.hop.stop()
    yield
    scene.fixture.hop.start()
    scene.troubles.append(Trouble(begun, time.monotonic()))


@contextmanager
def _hop_frozen(scene: Scene) -> Iterator[None]:
    begun = time.monotonic()
    scene.fixture.hop.freeze()
    yield
    scene.fixture.hop.thaw()
    scene.troubles.append(Trouble(begun, time.monotonic()))


@contextmanager
def _scanner_stopped(scene: Scene) -> Iterator[None]:
    scene.fixture.clamd.stop()
    yield
    scene.fixture.clamd.start()


@contextmanager
def _scanner_frozen(scene: Scene) -> Iterator[None]:
    scene.fixture.clamd.freeze()
    yield
    scene.fixture.clamd.thaw()


@contextmanager
def _database_stopped(scene: Scene) -> Iterator[None]:
    assert scene.fixture.database
    scene.fixture.database.stop()
    yield
    scene.fixture.database.start()


@contextmanager
def _database_crashed(scene: Scene) -> Iterator[None]:
    assert scene.fixture.database
    scene.fixture.database.crash()
    yield
    scene.fixture.database.start()


@contextmanager
def _database_frozen(scene: Scene) -> Iterator[None]:
    assert scene.fixture.database
    with scene.fixture.database.frozen():
        yield


@contextmanager
def _disk_full(scene: Scene) -> Iterator[None]:
    assert scene.fixture.disk
    with scene.fixture.disk.full():
        yield


@contextmanager
def _files_exhausted(scene: Scene) -> Iterator[None]:
    """No process of the daemon can open one more file or connection."""
    daemon = scene.fixture.daemon
    usual = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)
    for limit in ((_NO_MORE, usual[1]), usual):
        for pid in (daemon.pid, *daemon.workers):
            resource.prlimit(pid, resource.RLIMIT_NOFILE, limit)
        if limit != usual:
            yield


@contextmanager
def _clock_set(scene: Scene) -> Iterator[None]:
    """Back by up to three days, or ahead by one, and right again."""
    ahead_s = scene.chance.choice((-3 * _DAY_S, -3600, -60, _DAY_S))
    scene.clocks.add(ahead_s)
    scene.fixture.clock.set(ahead_s)
    yield
    scene.fixture.clock.set(0)


@contextmanager
def _clients_vanish(scene: Scene) -> Iterator[None]:
    """At each step of the dialogue, by closing and by a reset; then they offer their mail again."""
    for step, reset in product(Step, (False, True)):
        mail = scene.load.take()
        if step is Step.DOT:
            scene.vanished.add(mail.number)
        vanish(scene.fixture.daemon.port, mail, step, reset=reset)
        scene.load.send(mail)
    yield


def _alive(pid: int) -> bool:
    """Whether a process still runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


EVERYWHERE = (
    Fault("worker killed", _worker_killed),
    Fault("supervisor killed", _supervisor_killed),
    Fault("tree killed", _tree_killed),
    Fault("next hop stopped", _hop_stopped),
    Fault("next hop frozen", _hop_frozen),
    Fault("clamd stopped", _scanner_stopped),
    Fault("clamd frozen", _scanner_frozen),
    Fault("clients vanish", _clients_vanish),
    Fault("open files exhausted", _files_exhausted),
    Fault("clock set", _clock_set),
)
OF_DATABASES = (
    Fault("database stopped", _database_stopped),
    Fault("database crashed", _database_crashed),
    Fault("database frozen", _database_frozen),
)
OF_DISKS = (Fault("disk full", _disk_full),)


def faults(store: str) -> tuple[Fault, ...]:
    """All faults that a site with this store can have."""
    return EVERYWHERE + (OF_DATABASES if store in DATABASES else OF_DISKS)
