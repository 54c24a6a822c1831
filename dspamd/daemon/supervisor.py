"""The supervisor: opens the sockets, keeps workers running, reloads, stops.

It handles no mail, so it can hardly fail, and it has no event loop: it waits for
signals, for signs of life of its workers, and for their ends.

* SIGHUP: workers with the new configuration start on the same sockets; once all of
  them accept connections the old ones retire.  Clients can connect all the time.  If
  the new configuration is bad, or a worker cannot start with it, the old one stays.
* SIGTERM, SIGINT: the sockets close, workers finish what they have, status 0.
* The supervisor kills and replaces a worker that gives no sign of life for `SILENCE_S`.
  It feeds systemd's watchdog only while no worker is silent.
* If a worker cannot start when the daemon starts, the daemon ends with status 1.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence

import dspamd
from dspamd.daemon.listeners import Listeners
from dspamd.daemon.notify import Notifier
from dspamd.daemon.workers import DaemonSpec, Worker, Workers
from dspamd.errors import ConfigError
from dspamd.telemetry import log

SILENCE_S = 30.0
TICK_S = 1.0

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


class Supervisor:
    """One daemon.  At a reload it calls `reread`, which makes the spec of the configuration as it is now.

    It calls `ready` once, when all workers accept connections.
    """

    def __init__(
        self,
        listeners: Listeners,
        reread: Callable[[], DaemonSpec],
        notifier: Notifier,
        ready: Callable[[], None] = lambda: None,
    ) -> None:
        self._listeners, self._reread, self._notifier = listeners, reread, notifier
        self._ready = ready
        self._stopping = False
        self._outdated = False  # a SIGHUP asks for a reload
        self._status = os.EX_OK
        self._current: Workers | None = None
        self._successor: Workers | None = None
        self._leaving: list[Worker] = []
        self._silence_s = min(SILENCE_S, notifier.watchdog_s / 3) if notifier.watchdog_s else SILENCE_S

    def run(self, spec: DaemonSpec) -> int:
        """Run the daemon until a signal stops it; its exit status.

        Raises `OSError` or `LookupError` if it cannot listen.
        """
        with self._signals() as self._wake:
            self._successor = Workers(spec, self._listeners.open(spec.endpoints), self._forget)
            try:
                while not self._stopping or self._everyone:
                    self._look_after(time.monotonic())
                    self._wait()
            finally:
                for worker in self._everyone:  # only if we failed
                    worker.kill()
        return self._status

    @property
    def _everyone(self) -> list[Worker]:
        groups = [group for group in (self._current, self._successor) if group]
        return [worker for workers in groups for worker in workers.running] + self._leaving

    def _wait(self) -> None:
        """Wait a moment for signals and signs of life, and act on them."""
        workers = self._everyone
        speaking = {worker.channel.fileno(): worker for worker in workers if not worker.mute}
        poll = select.poll()  # select(2) knows descriptors below 1024 only
        for descriptor in (self._wake.fileno(), *speaking):
            poll.register(descriptor, select.POLLIN)
        heard = {descriptor for descriptor, _ in poll.poll(TICK_S * 1000)}
        now = time.monotonic()
        for descriptor in heard & speaking.keys():
            speaking[descriptor].hear(now)
        if self._wake.fileno() in heard:
            for number in set(self._wake.recv(4096)):
                self._signalled(number, now)
        for worker in workers:
            self._bury(worker, now)
        self._release_orphans()

    def _release_orphans(self) -> None:
        """Collect processes whose parent died: in a container we are process 1, which gets them."""
        ours = {worker.pid for worker in self._everyone}
        with contextlib.suppress(ChildProcessError):  # there is no child at all
            while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                if ended.si_pid in ours:
                    return  # `_bury` is next
                os.waitpid(ended.si_pid, 0)

    def _signalled(self, number: int, now: float) -> None:
        if number == signal.SIGHUP:
            self._outdated = True
        elif number in (signal.SIGTERM, signal.SIGINT) and not self._stopping:
            log.get().info("stopping", signal=signal.Signals(number).name)
            self._stop(now)

    # --- workers ---------------------------------------------------------------------------

    def _look_after(self, now: float) -> None:
        """Do everything that is due."""
        silent = [worker for worker in self._everyone if now - worker.heard > self._silence_s]
        late = [worker for worker in self._everyone if worker.deadline and now > worker.deadline]
        for worker in {*silent, *late}:
            if not worker.killed:
                log.get().error("worker_killed", worker=worker.pid, silent_s=round(now - worker.heard))
                worker.kill()
        if not silent:
            self._notifier.alive()
        for workers in (self._current, self._successor):
            if workers:
                workers.fill(now)
        if self._successor and self._successor.complete:
            self._succeed(self._successor, now)
        if self._outdated and self._current:  # not before the daemon has started
            self._outdated = False
            self._reload(now, self._current)

    def _bury(self, worker: Worker, now: float) -> None:
        """If a worker has ended, act on it."""
        status = worker.ended()
        if status is None:
            return
        if worker in self._leaving:
            self._leaving.remove(worker)
            log.get().info("worker_left", worker=worker.pid, status=status)
            return
        log.get().error("worker_died", worker=worker.pid, status=status)
        if self._current and worker in self._current.running:
            self._current.lost(worker, now)
        elif self._successor:
            self._successor.lost(worker, now)
            self._give_up(self._successor, status, now)

    def _succeed(self, workers: Workers, now: float) -> None:
        """Let the workers of a new spec take over, since all of them are ready."""
        former, self._current, self._successor = self._current, workers, None
        self._dismiss(former, Worker.retire, now)
        self._listeners.keep(workers.spec.endpoints)
        log.get().info(
            "reloaded" if former else "started",
            pid=os.getpid(),
            workers=workers.spec.count,
            version=dspamd.__version__,
        )
        self._notifier.ready(f"Serving with {workers.spec.count} workers")
        if not former:
            self._ready()

    def _give_up(self, workers: Workers, status: int, now: float) -> None:
        """Dismiss workers that cannot start; keep the current ones, or exit without them."""
        self._successor = None
        self._dismiss(workers, Worker.retire, now)  # some of its workers may serve already
        if self._current is None:
            self._status = max(1, status)
            self._stop(now)
        else:
            self._keep_old(self._current, "a worker could not start with it")

    def _dismiss(self, workers: Workers | None, how: Callable[[Worker, float], None], now: float) -> None:
        for worker in workers.running if workers else ():
            how(worker, now)
            self._leaving.append(worker)

    # --- reload and stop -------------------------------------------------------------------

    def _reload(self, now: float, workers: Workers) -> None:
        log.get().info("reloading")
        self._notifier.reloading()
        self._dismiss(self._successor, Worker.retire, now)
        self._successor = None
        try:
            spec = self._reread()
            sockets = self._listeners.open(spec.endpoints)
        except ConfigError as error:
            for problem in error.problems:
                log.get().error(
                    "bad_configuration", file=problem.file, line=problem.line or None, text=problem.text
                )
            self._keep_old(workers, "see the log")
        except (OSError, LookupError) as error:
            self._keep_old(workers, str(error))
        except Exception:  # our bug must not stop a daemon that works
            log.get().exception("reload_failed")
            self._keep_old(workers, "see the log")
        else:
            self._successor = Workers(spec, sockets, self._forget)

    def _keep_old(self, workers: Workers, reason: str) -> None:
        self._listeners.keep(workers.spec.endpoints)
        log.get().error("not_reloaded", reason=reason)
        self._notifier.ready(f"Serving with the old configuration, the new one is unusable: {reason}")

    def _stop(self, now: float) -> None:
        self._stopping = True
        self._notifier.stopping()
        self._listeners.close()
        for workers in (self._current, self._successor):
            self._dismiss(workers, Worker.stop, now)
        for worker in self._leaving:
            worker.stop(now)
        self._current = self._successor = None

    # --- signals ---------------------------------------------------------------------------

    @contextlib.contextmanager
    def _signals(self) -> Iterator[socket.socket]:
        """The socket at which the numbers of signals arrive as bytes, while the body runs."""
        wake, write = socket.socketpair()
        wake.setblocking(False)
        write.setblocking(False)
        handlers = {number: signal.signal(number, lambda *_: None) for number in _SIGNALS}
        before = signal.set_wakeup_fd(write.fileno())
        try:
            self._own = (wake, write)
            yield wake
        finally:
            signal.set_wakeup_fd(before)
            for number, handler in handlers.items():
                signal.signal(number, handler)
            wake.close()
            write.close()

    def _forget(self, sockets: Sequence[socket.socket]) -> None:
        """In a new worker: close what belongs to the supervisor and to workers of other specs.

        If a worker held the channels of other workers, these would not notice the supervisor's death.
        If it held a socket that no spec uses any more, clients could still connect to that.
        """
        self._listeners.forget(sockets)
        for own in (*self._own, *(worker.channel for worker in self._everyone)):
            own.close()
