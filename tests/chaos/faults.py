"""What goes wrong: each fault is in force while its block lasts, and over when it ends.

A fault that `cuts` may cost the acknowledgement of a copy which the next hop has
already taken, so that Postfix offers it again.  SMTP has this window, and no filter
between two mail servers can close it.  No other fault excuses a second copy.
"""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.chaos.ground import Ground
from tests.chaos.load import Load
from tests.chaos.vanishing import Step, vanish
from tests.e2e.wait import until

_DAY_S = 86_400
_NO_MORE = 3  # open files: standard input, output and error; those that are open stay so


@dataclass(frozen=True)
class Scene:
    """Where faults happen, the mail that they happen to, and the chance that decides."""

    ground: Ground
    load: Load
    chance: Random


@dataclass(frozen=True)
class Fault:
    name: str
    happen: Callable[[Scene], AbstractContextManager[None]]
    cuts: bool = False


@contextmanager
def _worker_killed(scene: Scene) -> Iterator[None]:
    victim = scene.chance.choice(scene.ground.daemon.workers)
    os.kill(victim, signal.SIGKILL)
    yield
    until(lambda: victim not in (now := scene.ground.daemon.workers) and len(now) == 2, "a new worker")


@contextmanager
def _supervisor_killed(scene: Scene) -> Iterator[None]:
    """Its workers notice, finish what they have, and end."""
    workers = scene.ground.daemon.workers
    scene.ground.daemon.kill()
    yield
    until(lambda: not any(map(_alive, workers)), "the workers to end", timeout_s=60)
    scene.ground.daemon.start()


@contextmanager
def _tree_killed(scene: Scene) -> Iterator[None]:
    """All processes at once, as by a power cut."""
    os.kill(scene.ground.daemon.pid, signal.SIGSTOP)  # or it would replace the workers
    workers = scene.ground.daemon.workers
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    scene.ground.daemon.kill()
    yield
    until(lambda: not any(map(_alive, workers)), "the workers to be gone")
    scene.ground.daemon.start()


@contextmanager
def _hop_stopped(scene: Scene) -> Iterator[None]:
    scene.ground.hop.stop()
    yield
    scene.ground.hop.start()


@contextmanager
def _hop_frozen(scene: Scene) -> Iterator[None]:
    scene.ground.hop.freeze()
    yield
    scene.ground.hop.thaw()


@contextmanager
def _scanner_stopped(scene: Scene) -> Iterator[None]:
    scene.ground.clamd.stop()
    yield
    scene.ground.clamd.start()


@contextmanager
def _scanner_frozen(scene: Scene) -> Iterator[None]:
    scene.ground.clamd.freeze()
    yield
    scene.ground.clamd.thaw()


@contextmanager
def _database_stopped(scene: Scene) -> Iterator[None]:
    assert scene.ground.database
    scene.ground.database.stop()
    yield
    scene.ground.database.start()


@contextmanager
def _database_crashed(scene: Scene) -> Iterator[None]:
    assert scene.ground.database
    scene.ground.database.crash()
    yield
    scene.ground.database.start()


@contextmanager
def _database_frozen(scene: Scene) -> Iterator[None]:
    assert scene.ground.database
    with scene.ground.database.frozen():
        yield


@contextmanager
def _disk_full(scene: Scene) -> Iterator[None]:
    assert scene.ground.disk
    with scene.ground.disk.full():
        yield


@contextmanager
def _files_exhausted(scene: Scene) -> Iterator[None]:
    """No process of the daemon can open one more file or connection."""
    daemon = scene.ground.daemon
    usual = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)
    for limit in ((_NO_MORE, usual[1]), usual):
        for pid in (daemon.pid, *daemon.workers):
            resource.prlimit(pid, resource.RLIMIT_NOFILE, limit)
        if limit != usual:
            yield


@contextmanager
def _clock_set(scene: Scene) -> Iterator[None]:
    """Back by up to three days, or ahead by one, and right again."""
    scene.ground.clock.set(scene.chance.choice((-3 * _DAY_S, -3600, -60, _DAY_S)))
    yield
    scene.ground.clock.set(0)


@contextmanager
def _clients_vanish(scene: Scene) -> Iterator[None]:
    """At each step of the dialogue; then they offer their mail again, as clients do."""
    for step in Step:
        mail = scene.load.take()
        vanish(scene.ground.daemon.port, mail, step, reset=scene.chance.random() < 0.5)
        scene.load.send(mail)
    yield


def _alive(pid: int) -> bool:
    """Whether a process still runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


EVERYWHERE = (
    Fault("worker killed", _worker_killed, cuts=True),
    Fault("supervisor killed", _supervisor_killed, cuts=True),
    Fault("tree killed", _tree_killed, cuts=True),
    Fault("next hop stopped", _hop_stopped, cuts=True),
    Fault("next hop frozen", _hop_frozen, cuts=True),
    Fault("clamd stopped", _scanner_stopped),
    Fault("clamd frozen", _scanner_frozen),
    Fault("clients vanish", _clients_vanish, cuts=True),
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
    return EVERYWHERE + (OF_DATABASES if store == "postgresql" else OF_DISKS)
