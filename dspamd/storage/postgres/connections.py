"""Connections to a PostgreSQL server, and the outcome of work when one fails.

`Connections.run` gives work a connection, from a limited pool that connects on first
use, so the daemon starts without its server.  One deadline covers the wait for a connection
and the work.  `run` repeats work that the server gave up because of a deadlock.

`run` closes a connection whose work was cancelled, and never uses it again: its answer
may still be under way.  If a connection breaks, or its server has become a read-only
copy, `run` closes all others of its age, too: the next ones go to the new primary.

Every failure is a `TempFail`; `Unreachable` says that the server did nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import asyncpg
from asyncpg import Connection

from dspamd.errors import TempFail
from dspamd.storage.contract import Unreachable
from dspamd.storage.sql.common import Server, retried
from dspamd.telemetry.metrics import Metrics

T = TypeVar("T")

Work = Callable[[Connection], Awaitable[T]]

_IDLE_S = 60.0
_PARTING_S = 1.0  # for the request to cancel a statement, and the goodbye
# UnicodeError: a host name that no DNS query can be made of.
_BROKEN = (OSError, UnicodeError, asyncpg.InterfaceError, asyncpg.InternalClientError)
# The last one: the library sent nothing, because the server had hung up on an idle connection.
_GIVEN_UP = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError, asyncpg.InternalClientError)
# A prepared statement is gone, or there already: a pooler gives each transaction another connection.
_MIXED_UP = (asyncpg.DuplicatePreparedStatementError, asyncpg.InvalidSQLStatementNameError)
# The server goes down or is a copy now, or its tables have changed.
_MOVED = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.UndefinedTableError,
)


POOLER = (
    "PgSQLPreparedStatements has to be off, since a pooler (such as pgbouncer with pool_mode=transaction) "
    "gives each transaction another connection"
)


class _Pooled(Connection):  # type: ignore[misc]  # the library has no types
    """A connection whose `close` cannot fail.

    The pool closes outdated connections: in the background, where no one handles an exception,
    or when work returns its connection, where an exception would make committed work look failed.
    """

    async def close(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109  as in the library
        with contextlib.suppress(*_BROKEN, asyncpg.PostgresError):
            await super().close(timeout=timeout or _PARTING_S)


class Connections:
    """At most `count` connections to one server.

    `greet` runs first on each new connection.  `prepared` off is for poolers that give each
    transaction another connection: it prepares nothing for longer than a transaction, and does
    nothing outside of one.
    """

    def __init__(
        self,
        server: Server,
        greet: Work[None],
        *,
        count: int,
        deadline_s: float,
        prepared: bool,
        metrics: Metrics | None = None,
    ) -> None:
        self._server = server
        self._greet = greet
        self._count = count
        self._deadline_s = deadline_s
        self._prepared = prepared
        self._counted = (metrics or Metrics()).pool_connections
        self._pool: Any = None
        self._parting: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Make the pool; it does not connect yet."""
        server = self._server
        self._pool = await asyncpg.create_pool(
            host=server.host or None,
            port=server.port or None,
            user=server.user or None,
            password=server.password or None,
            database=server.database or None,
            min_size=0,
            max_size=self._count,
            max_inactive_connection_lifetime=_IDLE_S,
            timeout=self._deadline_s / 3,
            command_timeout=self._deadline_s,
            statement_cache_size=100 if self._prepared else 0,
            init=self._new,
            connection_class=_Pooled,
            reset=nothing,  # we leave no session state behind; the library's reset is a round trip
        )

    async def close(self) -> None:
        """Close when all work is done, or when it has had its time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._deadline_s):
                await self._pool.close()
        self._pool.terminate()
        if self._parting:
            await asyncio.wait(self._parting)

    async def run(self, work: Work[T], *, whole: bool = False) -> T:
        """The result of `work`; in one transaction if `whole`."""
        within = whole or not self._prepared
        try:
            with self._counted.counted("wanted"):
                async with asyncio.timeout(self._deadline_s):
                    return await retried(lambda: self._anew(work, within), _gave_up)
        except TimeoutError as error:
            raise TempFail("Storage is busy", detail=f"no answer within {self._deadline_s} s") from error
        except asyncpg.ReadOnlySQLTransactionError as error:
            raise _unavailable(Unreachable, error) from error
        except _MIXED_UP as error:
            raise TempFail("Storage is not available", detail=f"{POOLER}: {error.args[0]}") from error
        except (*_BROKEN, asyncpg.PostgresError) as error:
            if isinstance(error, asyncpg.InsufficientPrivilegeError):
                await self.renew()  # the driver looks at our rights on each new one
            raise _unavailable(TempFail, error) from error

    async def renew(self) -> None:
        """Give later work new connections, which the driver greets."""
        await self._pool.expire_connections()

    async def pooled(self) -> bool:
        """Whether a pooler gives each transaction another connection.  Raises `TempFail`.

        Without one, two connections of ours that are both open are two processes of the server.
        """
        try:
            async with self._pool.acquire() as one, self._pool.acquire() as other:
                numbers = [await transaction(each, _server_process) for each in (one, other)]
        except (*_BROKEN, asyncpg.PostgresError, TimeoutError) as error:
            raise _unavailable(TempFail, error) from error
        return numbers[0] == numbers[1]

    async def _anew(self, work: Work[T], within: bool) -> T:
        """Do the work; if the server has become a copy, once more: a new connection may find the primary."""
        with contextlib.suppress(asyncpg.ReadOnlySQLTransactionError):
            return await self._once(work, within)
        return await self._once(work, within)

    async def _once(self, work: Work[T], within: bool) -> T:
        try:
            connection = await self._pool.acquire()
        except OSError as error:
            raise Unreachable(
                "Storage is not available", detail=f"{_place(self._server)}: {error}"
            ) from error
        except (*_BROKEN, asyncpg.PostgresError) as error:
            raise _unavailable(Unreachable, error) from error
        try:
            with self._counted.counted("used"):
                result = await (transaction(connection, work) if within else work(connection))
        except asyncio.CancelledError:
            self._part(connection)
            raise
        except (*_BROKEN, *_MOVED):
            await self._pool.expire_connections()
            self._part(connection)
            raise
        except Exception:
            await self._pool.release(connection)
            raise
        await self._pool.release(connection)
        return result

    async def _new(self, connection: Connection) -> None:
        try:
            await self._greet(connection)
        except asyncio.CancelledError:
            connection.terminate()  # the library would wait for an answer first
            raise

    def _part(self, connection: Connection) -> None:
        """Close a connection in the background, and tell the server to stop its work."""
        task = asyncio.create_task(_close(connection))
        self._parting.add(task)
        task.add_done_callback(self._parting.discard)


async def transaction(connection: Connection, work: Work[T]) -> T:
    """The result of `work`, done in one transaction.

    If cancelled, the library's own transactions wait for the answer to their ROLLBACK, which
    a server that hangs never gives.
    """
    await connection.execute("BEGIN")
    try:
        result = await work(connection)
    except Exception:
        if not connection.is_closed():
            await connection.execute("ROLLBACK")
        raise
    await connection.execute("COMMIT")
    return result


async def _server_process(connection: Connection) -> int:
    number: int = await connection.fetchval("SELECT pg_backend_pid()")
    return number


async def _close(connection: Connection) -> None:
    with contextlib.suppress(asyncpg.InterfaceError):  # the pool has it back already
        await connection.close()


async def nothing(connection: Connection) -> None:
    """Greet or reset a connection that needs neither."""


def _gave_up(error: Exception) -> bool:
    return isinstance(error, _GIVEN_UP)


def _place(server: Server) -> str:
    if server.host:
        return f"PgSQLServer {server.host}, port {server.port or 5432}"
    return "PgSQLServer is not set, and no PostgreSQL answers on a socket in /run/postgresql or on localhost"


def _unavailable(kind: type[TempFail], error: Exception) -> TempFail:
    return kind("Storage is not available", detail=f"{type(error).__name__}: {error}")
