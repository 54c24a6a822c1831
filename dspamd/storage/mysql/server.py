"""Connections to one MySQL or MariaDB server: few, kept open, each used by one task at a time.

`Connections.run` does a piece of work on a connection of its own.  The deadline covers
the wait for a free connection, the connecting, the statements, and all repetitions.  `run`
repeats work after a random pause if the server preferred another transaction, and once on a
new connection if it lost the old one, unless it cannot know whether a transaction was
committed.

`run` closes a connection whose work failed or was cancelled, which undoes what was not
committed, and never uses it again.  It connects only when work needs a connection, so the
daemon starts without its database.

Over TCP, connections use TLS if the server offers it, without a check of its certificate.  The library
speaks neither the compressed protocol nor MariaDB's ed25519 and parsec logins.
Only this module knows the library.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import aiomysql
from pymysql.constants import CLIENT, CR, ER

from dspamd.errors import TempFail
from dspamd.storage.contract import Unreachable
from dspamd.storage.sql.common import Server, retried
from dspamd.telemetry.metrics import Metrics

T = TypeVar("T")

_PORT = 3306
SOCKETS = ("/run/mysqld/mysqld.sock", "/var/lib/mysql/mysql.sock", "/tmp/mysql.sock")
_PARTING_S = 1.0
IDLE_S = 30.0  # after a longer rest `run` checks that the connection still works

# Sites set sql_mode as they like.  Without strictness, the server would cut values that do not fit.
# If a statement leaves a note, the library asks for it, which is another round trip.
# MariaDB turns lists of more than a thousand values into a table, and then at times reads all rows of a
# user instead of looking the values up.
SESSION = (
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES', sql_notes = 0, group_concat_max_len = 1048576"
    " /*M!100409 , in_predicate_conversion_threshold = 0 */"
)

# Names that the library does not have.
_NODE_NOT_READY = 1047  # of a Galera cluster
READ_ONLY = {ER.OPTION_PREVENTS_STATEMENT, 1792, 1836}  # after a fail-over, or tx_read_only
_KILLED = 1927

_GAVE_UP = {ER.LOCK_DEADLOCK, ER.LOCK_WAIT_TIMEOUT}
_REFUSED = {_NODE_NOT_READY, *READ_ONLY}
_LOST = {*_REFUSED, _KILLED, CR.CR_SERVER_GONE_ERROR, CR.CR_SERVER_LOST}
PASSING = _GAVE_UP | _LOST  # a repetition may succeed
DENIED = {ER.TABLEACCESS_DENIED_ERROR, ER.DBACCESS_DENIED_ERROR}
ABSENT = {ER.NO_SUCH_TABLE}
UNCHANGEABLE = DENIED | READ_ONLY | ABSENT  # until somebody helps
DUPLICATE = {ER.DUP_ENTRY}
NO_DEFAULT = {ER.NO_DEFAULT_FOR_FIELD}
DOES_NOT_FIT = {  # characters that a column cannot hold, or too many of them
    ER.CANT_AGGREGATE_2COLLATIONS,
    ER.TRUNCATED_WRONG_VALUE_FOR_FIELD,
    ER.DATA_TOO_LONG,
}

Error = aiomysql.Error


def number(error: Exception) -> int:
    """The server's number of an error; 0 if it has none."""
    code = error.args[0] if isinstance(error, Error) and error.args else 0
    return code if isinstance(code, int) else 0


class _Unknown(Exception):
    """The connection broke during a commit."""


class _Session(aiomysql.Connection):  # type: ignore[misc]  # comes without types
    """The library's connection, with TLS if offered, and an orderly end."""

    async def _get_server_information(self) -> None:
        """Take TLS if the server offers it: the library knows only always and never."""
        await super()._get_server_information()
        if not self.server_capabilities & CLIENT.SSL:
            self.client_flag &= ~CLIENT.SSL
            self._ssl_context = None

    async def leave(self) -> None:
        """Say goodbye, or the server reports a lost client, and wait for the end.

        Under TLS that takes an answer, without which uvloop cannot close its loop.
        """
        writer = self._writer
        try:
            async with asyncio.timeout(_PARTING_S):
                await self.ensure_closed()
                await writer.wait_closed()
        except (Error, OSError, RuntimeError):
            writer.transport.abort()


class Connection:
    """One connection; statements are whole texts with quoted values."""

    def __init__(self, session: _Session) -> None:
        self._session = session
        self.used = asyncio.get_running_loop().time()

    async def rows(self, statement: str) -> tuple[tuple[Any, ...], ...]:
        with _noticing_loss():
            async with self._session.cursor() as cursor:
                await cursor.execute(statement)
                rows: tuple[tuple[Any, ...], ...] = await cursor.fetchall()
                return rows

    async def execute(self, statement: str) -> int:
        """Execute a statement; returns how many rows it touched, as the server counts them."""
        with _noticing_loss():
            async with self._session.cursor() as cursor:
                await cursor.execute(statement)
                touched: int = cursor.rowcount
                return touched

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """All statements within take effect, or none; after an exception the caller closes the connection."""
        await self.execute("BEGIN")
        yield
        try:
            await self.execute("COMMIT")
        except Error as error:
            if number(error) in _LOST:
                raise _Unknown(f"unknown whether it was committed: {error}") from error
            raise

    async def alive(self) -> bool:
        try:
            with _noticing_loss():
                await self._session.ping(reconnect=False)
        except Error:
            return False
        except asyncio.CancelledError:
            self.close()
            raise
        return True

    async def leave(self) -> None:
        await self._session.leave()

    def close(self) -> None:
        self._session.close()


@contextmanager
def _noticing_loss() -> Iterator[None]:
    """uvloop raises an error of its own for a transport that broke since it was last used."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        raise aiomysql.OperationalError(CR.CR_SERVER_LOST, str(error)) from error


class Connections:
    """At most `size` connections to a server, for work that takes `deadline_s` at most.

    Each begins with the statement `session`.  `run` tests one that rested longer than `idle_s` before use.
    """

    def __init__(
        self,
        server: Server,
        size: int,
        deadline_s: float,
        metrics: Metrics | None = None,
        *,
        session: str = SESSION,
        idle_s: float = IDLE_S,
    ) -> None:
        self._server, self._session, self._idle_s = server, session, idle_s
        self._counted = (metrics or Metrics()).pool_connections
        self.deadline_s = deadline_s
        self._turns = asyncio.Semaphore(size)
        self._idle: list[Connection] = []

    async def run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """The result of `work` on a connection.  Raises `TempFail`, or an exception of the work itself.

        `run` may repeat `work`, which must not depend on an earlier attempt.
        """
        try:
            with self._counted.counted("wanted"):
                async with asyncio.timeout(self.deadline_s):
                    return await retried(lambda: self._anew(work), lambda error: number(error) in _GAVE_UP)
        except TimeoutError as error:
            detail = f"no answer from {self._place} within {self.deadline_s:g} s"
            raise TempFail("Storage is busy", detail=detail) from error
        except (Error, _Unknown) as error:
            kind = Unreachable if number(error) in _REFUSED else TempFail
            raise kind("Storage is not available", detail=f"{self._place}: {error}") from error

    async def renew(self) -> None:
        """Give later work new connections: a server may look at rights only when a connection begins."""
        await self.close()

    async def close(self) -> None:
        while self._idle:
            await self._idle.pop().leave()

    @property
    def _place(self) -> str:
        return f"{self._server.host or 'localhost'}/{self._server.database}"

    async def _anew(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Do the work; if its connection broke, repeat it on a new one, since the others broke too."""
        try:
            return await self._once(work)
        except Error as error:
            if number(error) not in _LOST:
                raise
        while self._idle:
            self._idle.pop().close()
        return await self._once(work)

    async def _once(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        async with self._turns:
            connection = await self._rested() or await self._connect()
            try:
                with self._counted.counted("used"):
                    result = await work(connection)
            except BaseException:
                connection.close()
                raise
            connection.used = asyncio.get_running_loop().time()
            self._idle.append(connection)
            return result

    async def _rested(self) -> Connection | None:
        """The open connection that was used last; so those that are rarely needed time out."""
        while self._idle:
            connection = self._idle.pop()
            if asyncio.get_running_loop().time() - connection.used < self._idle_s or await connection.alive():
                return connection
            connection.close()
        return None

    async def _connect(self) -> Connection:
        socket = socket_of(self._server)
        session = _Session(
            host=self._server.host or "localhost",
            port=self._server.port or _PORT,
            unix_socket=socket,
            user=self._server.user or None,
            # The library sends a password as ISO-8859-1; servers know it as UTF-8.
            password=self._server.password.encode("utf-8", "surrogateescape").decode("latin-1"),
            db=self._server.database or None,
            charset="utf8mb4",
            autocommit=True,
            init_command=self._session,
            ssl=None if socket else _encrypted(),
            program_name="dspamd",
        )
        try:
            # A host that is down may not answer at all; there must be time left to ask another one.
            async with asyncio.timeout(self.deadline_s / 3):
                await session._connect()
        except TimeoutError as error:
            session.close()
            raise Unreachable("Storage is not available", detail=f"{self._place}: does not answer") from error
        except BaseException as error:
            session.close()
            # UnicodeError: a host name that no DNS query can be made of.
            if isinstance(error, (Error, OSError, RuntimeError, UnicodeError)):
                raise Unreachable("Storage is not available", detail=f"{self._place}: {error}") from error
            raise
        return Connection(session)


def socket_of(server: Server, usual: Sequence[str] = SOCKETS) -> str | None:
    """The path of the server's socket, one of the usual ones if the server names none; None for TCP.

    To C clients `localhost` means the socket, and accounts and settings of sites count on it.
    """
    if server.host.startswith("/"):
        return server.host
    if server.host in ("", "localhost") and not server.port:
        return next((path for path in usual if Path(path).is_socket()), None)
    return None


def _encrypted() -> ssl.SSLContext:
    """No check of certificates: servers make their own, which nobody signed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
