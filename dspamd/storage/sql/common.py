"""Code that the drivers of SQL servers share: addresses, the table of users, retries.

Options of all servers differ only in their prefix (`PgSQL`, `MySQL`, `MySQLWrite`):
`Server` and `UserTable` are their values.  `retried` repeats a transaction that the
server gave up in favour of another one.  `storable` and `owner_name` decide which
texts may go to a server at all: names come from addresses and signature ids from mails,
and senders can write any text there.

Nothing here knows a library or a dialect of SQL.
"""

from __future__ import annotations

import asyncio
import random
import re
from array import array
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from dspamd.config.config import Config
from dspamd.errors import ConfigError, InvalidName, Problem
from dspamd.file_errors import explained

T = TypeVar("T")

EVERYBODY = 0
"""The uid under which preferences of everybody are kept."""

NAME_LENGTH = 128
"""Characters that a user name may have (reference/storage.md 3)."""

_LOGINS = {
    "MySQL": (Config.MySQLServer, Config.MySQLUser, Config.MySQLPass, Config.MySQLDb),
    "MySQLWrite": (
        Config.MySQLWriteServer,
        Config.MySQLWriteUser,
        Config.MySQLWritePass,
        Config.MySQLWriteDb,
    ),
    "PgSQL": (Config.PgSQLServer, Config.PgSQLUser, Config.PgSQLPass, Config.PgSQLDb),
}
_PORTS = {"MySQL": Config.MySQLPort, "MySQLWrite": Config.MySQLWritePort, "PgSQL": Config.PgSQLPort}
_USER_TABLES = {
    "MySQL": (Config.MySQLVirtualTable, Config.MySQLVirtualUIDField, Config.MySQLVirtualUsernameField),
    "PgSQL": (Config.PgSQLVirtualTable, Config.PgSQLVirtualUIDField, Config.PgSQLVirtualUsernameField),
}
_ATTEMPTS = 6
_FIRST_PAUSE_S = 0.01


@dataclass(frozen=True, slots=True)
class Server:
    """The place of a database, and the account for it.  Empty texts and port 0: the library's default."""

    host: str  # a name, an address, or, with a leading slash, the path of a socket or its directory
    port: int
    user: str
    password: str = field(repr=False)
    database: str

    @classmethod
    def from_config(cls, config: Config, prefix: str, file: Path) -> Server:
        """As the options say, or else, if there is no server among them, as `file` does.

        Raises `ConfigError` for a file that cannot be used, and where no database is named:
        the library would take one that is called like the account, or none.
        """
        login, port = _LOGINS[prefix], config.value(_PORTS[prefix])
        host, user, password, database = map(config.value, login)
        if not host and file.exists():
            return cls.from_file(file)
        if not database:
            named = login[0] if host else Config.StorageDriver  # the database of another profile is no help
            raise ConfigError(
                [config.problem(named.name, f"{prefix}Db is required, or {file} with all of it")]
            )
        return cls(host, port, user, password, database)

    @classmethod
    def from_file(cls, file: Path) -> Server:
        """From host, port, user, password and database, a line for each (reference/config.md 4.2)."""
        try:
            host, port, user, password, database = file.read_text().splitlines()[:5]
        except OSError as error:
            raise ConfigError([Problem(str(file), 0, f"cannot be read: {explained(error)}")]) from error
        except ValueError as error:
            expected = "five lines are expected: host, port, user, password, database"
            raise ConfigError([Problem(str(file), 0, expected)]) from error
        if not re.fullmatch("[0-9]{0,5}", port) or int(port or 0) > 65535:
            raise ConfigError([Problem(str(file), 2, "the number of a port is expected, or nothing")])
        if not database:
            raise ConfigError([Problem(str(file), 5, "the name of the database is expected")])
        return cls(host, int(port or 0), user, password, database)


@dataclass(frozen=True, slots=True)
class UserTable:
    """The table that gives users their numbers, which may be the site's own."""

    table: str
    uid: str
    name: str

    @classmethod
    def from_config(cls, config: Config, prefix: str) -> UserTable:
        return cls(*map(config.value, _USER_TABLES[prefix]))


async def retried(work: Callable[[], Awaitable[T]], gave_up: Callable[[Exception], bool]) -> T:
    """The result of a transaction; repeats it while the server gives it up in favour of another.

    `gave_up` tells a deadlock or a serialization failure from any other exception.
    Pauses are random, so that transactions that met do not meet again.
    """
    for attempt in range(1, _ATTEMPTS):
        try:
            return await work()
        except Exception as error:
            if not gave_up(error):
                raise
        await asyncio.sleep(random.uniform(0, _FIRST_PAUSE_S * 2**attempt))
    return await work()


def owner_name(owner: str) -> str:
    """The name itself.  Raises `InvalidName` if no database can keep it."""
    if not owner or len(owner) > NAME_LENGTH or storable(owner) != owner:
        raise InvalidName(repr(owner))
    return owner


def storable(text: str) -> str:
    """The text with a replacement for each character that databases cannot hold."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")


def signed(tokens: array[int]) -> array[int]:
    """Tokens ('Q') as the signed numbers ('q') of the same bits."""
    return array("q", tokens.tobytes())


def unsigned(tokens: array[int]) -> array[int]:
    """Signed numbers ('q') as the tokens ('Q') of the same bits."""
    return array("Q", tokens.tobytes())
