"""A worker: one process that serves sessions until its supervisor retires or stops it.

The two talk over a pair of sockets.  The worker sends a `BEAT` every second while its event
loop turns, and `READY` once it accepts connections.  The supervisor sends `RETIRE` when another
worker has taken over.  Its end closes when the daemon stops, and also when the supervisor dies,
so no worker outlives it for longer than its last messages take.

* A retired worker accepts no more connections, and lets its clients end their sessions.
* A stopped worker (also by SIGTERM) sends away clients that are between two messages,
  and finishes the messages it has.

A message that it cannot finish in time has no reply, so the client sends it again.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from dspamd.daemon.accept import Acceptor
from dspamd.daemon.loads import OwnLoad
from dspamd.server.lmtp import LmtpServer
from dspamd.telemetry import log

READY, BEAT, RETIRE = b"R", b".", b"r"

BEAT_S = 1.0
RETIRE_S = 60.0
"""How long a retired worker lets clients keep their sessions."""
GRACE_S = 60.0
"""How long a worker that stops lets its messages take."""


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """The sockets of a worker, its load among the others, its end of the channel."""

    sockets: Sequence[socket.socket]
    load: OwnLoad
    channel: socket.socket

    async def serve(self, opening: AbstractAsyncContextManager[LmtpServer]) -> None:
        """Open a server, and serve until the supervisor ends it, or SIGTERM comes."""
        beating = asyncio.create_task(self._beat())
        try:
            async with opening as server:
                await self._attend(server)
        finally:
            beating.cancel()

    async def _attend(self, server: LmtpServer) -> None:
        retired, stopped = asyncio.Event(), asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
        listening = asyncio.create_task(self._listen(retired, stopped))
        acceptor = Acceptor(self.sockets, server, self.load)
        try:
            self._send(READY)
            await _first(retired.wait(), stopped.wait())
            acceptor.close()
            if not stopped.is_set():
                log.get().info("retiring", sessions=len(server.sessions))
                await _first(acceptor.deserted(), stopped.wait(), timeout_s=RETIRE_S)
            await server.close(GRACE_S)
        finally:
            listening.cancel()

    async def _beat(self) -> None:
        while True:
            self._send(BEAT)
            await asyncio.sleep(BEAT_S)

    async def _listen(self, retired: asyncio.Event, stopped: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(ConnectionError):
            while await loop.sock_recv(self.channel, 1) == RETIRE:
                retired.set()
        stopped.set()

    def _send(self, word: bytes) -> None:
        with contextlib.suppress(OSError):  # `_listen` notices that the supervisor is gone
            self.channel.send(word)


async def _first(*events: Coroutine[None, None, object], timeout_s: float | None = None) -> None:
    """Wait for the first of some events, but not for longer than `timeout_s`."""
    tasks = [asyncio.ensure_future(event) for event in events]
    try:
        await asyncio.wait(tasks, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
