"""Connections to one next hop, kept for the next message.

At most `limit` connections exist at a time.  Further messages wait, and operators see that
(`Metrics.delivery_connections`).  The pool closes an idle connection after `idle_s` seconds,
so that a quiet filter does not occupy the server processes of the mail system.

The pool lends only connections that are in order as far as it knows.  The peer can still
close one at the moment of use; the borrower then asks for a new one (smtp.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from dspamd.delivery.connection import Connection
from dspamd.telemetry.metric import Gauge


class Pool:
    """Lends connections that `connect` makes, and counts them in `counted`."""

    def __init__(
        self, connect: Callable[[], Awaitable[Connection]], limit: int, idle_s: float, counted: Gauge
    ) -> None:
        self._connect = connect
        self._counted = counted
        self._limit = limit
        self._slots = asyncio.Semaphore(limit)
        self._idle_s = idle_s
        self._idle: list[tuple[Connection, asyncio.TimerHandle]] = []
        self._counted.add("limit", by=limit)

    @asynccontextmanager
    async def slot(self, wait_s: float) -> AsyncIterator[None]:
        """The right to one connection.  Raises `TimeoutError` if none is free in time."""
        if self._slots.locked():
            with self._counted.counted("waiting"):
                async with asyncio.timeout(wait_s):
                    await self._slots.acquire()
        else:
            await self._slots.acquire()  # at once
        try:
            with self._counted.counted("used"):
                yield
        finally:
            self._slots.release()

    def reuse(self) -> Connection | None:
        """Of the idle connections that are in order, the one used last."""
        while self._idle:
            connection, expiry = self._idle.pop()
            expiry.cancel()
            if connection.fresh:
                connection.used = True
                return connection
            connection.close()
        return None

    async def connect(self) -> Connection:
        """A new connection.  Raises what `connect` of the constructor raises."""
        return await self._connect()

    def keep(self, connection: Connection) -> None:
        """Take a connection back, for the next message if it is in order."""
        if not connection.fresh:
            connection.abort()
            return
        expiry = asyncio.get_running_loop().call_later(self._idle_s, connection.close)
        self._idle.append((connection, expiry))

    def close(self) -> None:
        """Close all idle connections, at the end of the pool."""
        self._counted.add("limit", by=-self._limit)
        self._limit = 0
        for connection, expiry in self._idle:
            expiry.cancel()
            connection.close()
        self._idle.clear()
