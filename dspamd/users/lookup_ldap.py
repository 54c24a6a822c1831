"""Look-ups in a directory by LDAP (`ExtLookupDriver ldap`; RFC 4511, 4515).

Each question is one search, which must find exactly one entry.  The last value of its attribute
`ExtLookupLDAPAttribute` is the user.  If no attribute is configured, which is enough to verify,
the user is the name in the question.

Everything else is no answer: a directory that refuses us, has no such base, or has an invalid
certificate, did not say that the user does not exist.

A connection that has logged in (simple bind) is kept for the next question, for a minute.  Before it is
used again we check whether the directory has closed it.  If it turns out to be dead, a new
one replaces it, once, as long as time remains.

The library blocks, so it has a few threads of its own: a directory that hangs must not take
those of other work.  Each of its waits has the deadline of the whole question.
"""

from __future__ import annotations

import asyncio
import os
import select
import ssl
import string
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field

import ldap3
from ldap3.core.exceptions import LDAPException

from dspamd.config.config import Config
from dspamd.errors import TempFail
from dspamd.users.lookup_source import AT_ONCE, template

_PLAIN = frozenset((string.ascii_letters + string.digits + "@.-_+= ").encode())
_FOUND = (0, 4)  # success; size limit exceeded: there are more entries
_SCOPES = {"sub": ldap3.SUBTREE, "one": ldap3.LEVEL, "base": ldap3.BASE}
_KEPT_S = 60.0  # less than firewalls and directories wait before they forget a connection


@dataclass(frozen=True, slots=True)
class Search:
    """Where and how to look.  Times are in seconds."""

    host: str
    port: int
    base: str
    filter: Callable[[str], str]  # of a user, whose special characters are escaped
    attribute: str = ""
    scope: str = ldap3.SUBTREE
    version: int = 3
    login: str = ""
    password: str = field(default="", repr=False)
    tls: bool = False
    timeout_s: float = 10


class Directory:
    """A `Source` of users."""

    def __init__(self, search: Search) -> None:
        self._search = search
        self._threads = ThreadPoolExecutor(AT_ONCE, "lookup")
        self._idle: list[tuple[ldap3.Connection, float]] = []  # since when, the latest at the end

    @classmethod
    def from_config(cls, config: Config) -> Directory:
        """Raises ValueError for settings that do not go together."""
        query, attribute = config.ExtLookupQuery, config.ExtLookupLDAPAttribute
        version, tls = config.ExtLookupLDAPVersion, config.ExtLookupCrypto == "tls"
        if "%u" not in query:
            raise ValueError("ExtLookup needs ExtLookupQuery: a filter with %u for the user")
        if not attribute and config.ExtLookupMode != "verify":
            raise ValueError("ExtLookupMode needs ExtLookupLDAPAttribute: which one holds the user")
        if tls and version < 3:
            raise ValueError("ExtLookupCrypto tls needs ExtLookupLDAPVersion 3")
        scope = config.ExtLookupLDAPScope
        if scope == "base" and config.StrictCompatibility:
            scope = "sub"  # as DSPAM always did
        search = Search(
            host=config.ExtLookupServer,
            port=config.ExtLookupPort,
            base=config.ExtLookupDB,
            filter=template(query),
            attribute=attribute,
            scope=_SCOPES[scope],
            version=version,
            login=config.ExtLookupLogin,
            password=config.ExtLookupPassword,
            tls=tls,
            timeout_s=config.ExtLookupTimeout,
        )
        return cls(search)

    async def find(self, name: str) -> str | None:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._find, name)
        except (LDAPException, OSError, UnicodeError) as error:  # the last: no name for the DNS
            detail = f"{self._search.host}: {type(error).__name__} {error}"
            raise TempFail("Unable to look up user", detail=detail) from error

    def _find(self, name: str) -> str | None:
        """Ask over a kept connection, if there is one, else over a new one."""
        until = time.monotonic() + self._search.timeout_s
        kept = self._kept()
        if kept is not None:
            try:
                return self._ask(kept, name)
            except (LDAPException, OSError):
                if time.monotonic() >= until:
                    raise
        return self._ask(self._connection(), name)

    def _kept(self) -> ldap3.Connection | None:
        """The connection used last, if it looks alive."""
        with suppress(IndexError):  # another thread may take it before us
            while True:
                connection, since = self._idle.pop()
                if time.monotonic() < since + _KEPT_S and not _has_news(connection):
                    return connection
                _close(connection)
        return None

    def _ask(self, connection: ldap3.Connection, name: str) -> str | None:
        """Search over a connection, which is kept afterwards, or closed if anything went wrong."""
        try:
            if not connection.bound:
                self._log_in(connection)
            found = self._look_for(name, connection)
        except BaseException:
            _close(connection)
            raise
        self._idle.append((connection, time.monotonic()))
        return found

    def _log_in(self, connection: ldap3.Connection) -> None:
        if self._search.tls and not connection.start_tls(read_server_info=False):
            raise LDAPException(f"cannot encrypt: {connection.result['description']}")
        if not connection.bind(read_server_info=False):
            raise LDAPException(f"cannot log in: {connection.result['description']}")

    def _look_for(self, name: str, connection: ldap3.Connection) -> str | None:
        search = self._search
        connection.search(
            search.base,
            search.filter(escaped(name)),
            search.scope,
            attributes=[search.attribute] if search.attribute else [ldap3.NO_ATTRIBUTES],
            size_limit=2,
            time_limit=int(search.timeout_s),
        )
        if connection.result["result"] not in _FOUND:
            raise LDAPException(f"the search failed: {connection.result['description']}")
        entries = [each for each in connection.response if each["type"] == "searchResEntry"]
        if len(entries) != 1:
            return None
        if not search.attribute:
            return name
        values: list[bytes] = entries[0]["raw_attributes"].get(search.attribute, [])
        return os.fsdecode(values[-1]) if values else None

    def _connection(self) -> ldap3.Connection:
        search = self._search
        server = ldap3.Server(
            search.host,
            search.port,
            get_info=ldap3.NONE,
            connect_timeout=search.timeout_s,
            tls=ldap3.Tls(validate=ssl.CERT_REQUIRED) if search.tls else None,
        )
        return ldap3.Connection(
            server,
            search.login or None,
            search.password or None,
            auto_bind=ldap3.AUTO_BIND_NONE,
            version=search.version,
            receive_timeout=search.timeout_s,
            auto_referrals=False,  # somewhere else we are not to ask with our password
            read_only=True,
            check_names=False,
        )


def _has_news(connection: ldap3.Connection) -> bool:
    """Whether the directory has sent something unasked, which can only be a notice of disconnection."""
    poll = select.poll()
    poll.register(connection.socket, select.POLLIN)
    return bool(poll.poll(0))


def _close(connection: ldap3.Connection) -> None:
    """Close the socket in any case; after a failure the library would leave it open."""
    with suppress(LDAPException, OSError):
        connection.unbind()
    if connection.socket is not None:
        connection.socket.close()


def escaped(name: str) -> str:
    """A user in a filter: bytes with a special meaning become numbers (RFC 4515, 3)."""
    return "".join(chr(byte) if byte in _PLAIN else f"\\{byte:02x}" for byte in os.fsencode(name))
