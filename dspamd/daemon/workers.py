"""The workers of one configuration, as their supervisor sees them.

The supervisor forks workers after it has imported everything.  They share that memory, so a
worker costs little and starts at once.

The supervisor replaces a dead worker at once.  If workers die young again and again, it waits
longer and longer, up to `LONGEST_WAIT_S`, so that a worker that cannot live does not overload
the machine.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn

from dspamd.daemon import worker
from dspamd.daemon.listen import Endpoint
from dspamd.daemon.loads import Loads
from dspamd.daemon.worker import GRACE_S, RETIRE_S, WorkerContext
from dspamd.telemetry import log

YOUNG_S = 60.0
LONGEST_WAIT_S = 30.0
SLACK_S = 10.0
"""For closing databases and the like, when all messages are done."""


@dataclass(frozen=True, slots=True)
class DaemonSpec:
    """What the supervisor needs of a configuration: endpoints, number of workers, work of a worker.

    `work` is the life of a worker; it returns its exit status.
    """

    endpoints: tuple[Endpoint, ...]
    count: int
    work: Callable[[WorkerContext], int]


@dataclass(eq=False, slots=True)
class Worker:
    """A worker process, with our end of the channel to it.  Times are monotonic, in seconds."""

    place: int
    pid: int
    channel: socket.socket
    born: float
    heard: float  # when its last sign of life came
    ready: bool = False
    deadline: float | None = None  # when it must have ended, after `retire` or `stop`
    mute: bool = False  # it has closed its end of the channel: it is dying
    killed: bool = False

    def hear(self, now: float) -> None:
        """Read its signs of life."""
        try:
            said = self.channel.recv(4096)
        except ConnectionError:
            said = b""
        if not said:
            self.mute = True
            return
        self.heard = now
        self.ready = self.ready or worker.READY in said

    def retire(self, now: float) -> None:
        """Ask it to retire, because another worker has taken over."""
        self.deadline = now + RETIRE_S + GRACE_S + SLACK_S
        try:
            self.channel.send(worker.RETIRE)
        except OSError:
            log.get().debug("not_told", worker=self.pid)  # it is dying already

    def stop(self, now: float) -> None:
        """Ask it to finish its messages, and to end."""
        self.deadline = now + GRACE_S + SLACK_S
        try:
            self.channel.shutdown(socket.SHUT_WR)
        except OSError:
            log.get().debug("not_told", worker=self.pid)

    def kill(self) -> None:
        """Kill it.  No other process can have its pid before `ended` has returned its status."""
        self.killed = True
        os.kill(self.pid, signal.SIGKILL)

    def ended(self) -> int | None:
        """Its exit status if it has ended, or minus the signal that ended it."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if not pid:
            return None
        self.channel.close()
        return os.waitstatus_to_exitcode(status)


@dataclass(slots=True)
class _Place:
    """A place for a worker: its worker, young deaths in a row, and when the next worker may start."""

    worker: Worker | None = None
    deaths: int = 0
    free: float = 0.0

    def wait(self, now: float, *, young: bool) -> None:
        """Set when the next worker may start, after one died here, `young` or not."""
        self.deaths = self.deaths + 1 if young else 1
        self.free = now + (min(2.0 ** (self.deaths - 2), LONGEST_WAIT_S) if self.deaths > 1 else 0)


class Workers:
    """The workers of one spec, on sockets that are open already.

    Each new worker calls `forget` with its sockets, to close what it must not hold.
    """

    def __init__(
        self,
        spec: DaemonSpec,
        sockets: Sequence[socket.socket],
        forget: Callable[[Sequence[socket.socket]], None],
    ) -> None:
        self.spec = spec
        self._sockets, self._forget = sockets, forget
        self._loads = Loads(spec.count)
        self._places = [_Place() for _ in range(spec.count)]

    @property
    def running(self) -> list[Worker]:
        return [place.worker for place in self._places if place.worker]

    @property
    def complete(self) -> bool:
        """Whether every place has a worker that accepts connections."""
        return all(place.worker and place.worker.ready for place in self._places)

    def fill(self, now: float) -> None:
        """Start a worker for each place that has none and need not wait any longer."""
        for number, place in enumerate(self._places):
            if place.worker is None and place.free <= now:
                try:
                    place.worker = self._fork(number, now)
                except OSError as error:  # no processes or descriptors left: the other workers go on
                    log.get().error("cannot_fork", reason=str(error))
                    place.wait(now, young=True)

    def lost(self, dead: Worker, now: float) -> None:
        """Free the place of a dead worker, at once or after a while."""
        place = self._places[dead.place]
        place.worker = None
        self._loads.vacate(dead.place)
        place.wait(now, young=now - dead.born < YOUNG_S)

    def _fork(self, number: int, now: float) -> Worker:
        ours, theirs = socket.socketpair()
        gc.freeze()  # a collection in the worker would copy every page it looks at
        # A signal that arrives before the worker has handlers of its own must wait, not reach us through it.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
        try:
            pid = os.fork()
            if not pid:
                self._live(number, ours, theirs, before)
        except OSError:
            ours.close()
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            theirs.close()
        return Worker(number, pid, ours, born=now, heard=now)

    def _live(
        self, number: int, supervisor: socket.socket, channel: socket.socket, mask: set[signal.Signals | int]
    ) -> NoReturn:
        """The whole life of a worker."""
        status = os.EX_SOFTWARE
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            supervisor.close()
            self._forget(self._sockets)
            channel.setblocking(False)
            status = self.spec.work(WorkerContext(self._sockets, self._loads.own(number), channel))
        except BaseException:
            log.get().exception("worker_failed")
        finally:
            os._exit(status)  # the frames above belong to the supervisor
