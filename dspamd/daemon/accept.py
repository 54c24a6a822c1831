"""Accepting connections from sockets that other workers accept from, too.

A worker with more sessions than another leaves a connection to it for `COURTESY_S`.  If
no worker has taken the connection by then, the others are busy, and this one takes it.  So
the sessions of a mail server spread evenly: of eight opened at once the busier of two workers
gets 4.1 on average, also while both are at work.  In a simple race it gets 6.8.  With
SO_REUSEPORT, where the kernel throws dice, it gets 4.8, and connections in the queue of a
worker that dies are lost.

A worker takes one connection at a time, so that a burst does not end up in one worker.
When the process has no descriptors left, connections wait in the queue of the
kernel until it has.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable
from typing import Protocol, cast

from dspamd.daemon.loads import Loads, OwnLoad
from dspamd.telemetry import log

# A worker at work on messages comes back to its loop, and gets a core, within milliseconds;
# with 1 ms, eight sessions that last were spread 5:3 or worse every third time, with 5 ms every sixteenth.
COURTESY_S = 0.005
EXHAUSTED_S = 0.5


class Session(Protocol):
    """A protocol that says when its connection has ended."""

    ended: asyncio.Future[None]


class Acceptor:
    """Makes a `Session` of `factory` for each connection; counts them at `load`.

    Make it in a running loop.  The sockets must not block; the acceptor owns them.
    """

    def __init__(
        self,
        sockets: Iterable[socket.socket],
        factory: Callable[[], asyncio.BaseProtocol],
        load: OwnLoad | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._factory = factory
        self._load = load or Loads(1).own(0)
        self._timers: dict[socket.socket, asyncio.TimerHandle] = {}
        self._sessions: set[asyncio.Task[None]] = set()
        self._sockets = tuple(sockets)
        self._load.take()
        for each in self._sockets:
            self._watch(each)

    def close(self) -> None:
        """Accept nothing more: close our copies of the sockets.  Sessions go on."""
        self._load.leave()
        for each in self._sockets:
            self._loop.remove_reader(each)
            each.close()
        for timer in self._timers.values():
            timer.cancel()

    async def deserted(self) -> None:
        """Wait, after `close`, until all sessions have ended."""
        if self._sessions:
            await asyncio.wait(self._sessions)

    def _watch(self, listening: socket.socket) -> None:
        self._loop.add_reader(listening, self._knocked, listening)

    def _knocked(self, listening: socket.socket) -> None:
        if self._load.ahead:
            self._later(COURTESY_S, listening)
        else:
            self._take(listening)

    def _later(self, delay_s: float, listening: socket.socket) -> None:
        """Look again at a connection that another worker may have taken by then."""
        self._loop.remove_reader(listening)
        self._timers[listening] = self._loop.call_later(delay_s, self._return, listening)

    def _return(self, listening: socket.socket) -> None:
        self._watch(listening)
        self._take(listening)

    def _take(self, listening: socket.socket) -> None:
        try:
            connection, _ = listening.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return  # another worker was faster, or the client has left
        except OSError as error:  # no descriptors, no memory
            log.get().error("cannot_accept", reason=str(error))
            self._later(EXHAUSTED_S, listening)
            return
        self._load.add(1)
        task = self._loop.create_task(self._attend(connection))
        self._sessions.add(task)
        task.add_done_callback(self._sessions.discard)

    async def _attend(self, connection: socket.socket) -> None:
        try:
            _, session = await self._loop.connect_accepted_socket(self._factory, connection)
            await cast(Session, session).ended
        except OSError as error:  # the client has left at once
            log.get().debug("not_connected", reason=str(error))
            connection.close()
        finally:
            self._load.add(-1)
