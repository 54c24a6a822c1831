"""The blocklist of a user: domains whose mail they never want.

`USER.blocklist`, next to the user's other files, holds one domain per line.  A message is blocked if
the domain of its From header, the part after the last `@`, is on the list, in any case of letters.
A domain does not cover its subdomains (reference/protocols.md 10.2).

A thread reads the files; lists are cached for a few seconds, so a changed line can take that long
to apply.  A file that cannot be read makes a warning in the log, and blocks nobody.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from pathlib import Path

from cachetools import TTLCache

from dspamd.file_errors import explained
from dspamd.home.home import Home
from dspamd.mail.message import Message
from dspamd.telemetry import log
from dspamd.users.cache import cache

_DOMAIN_END = re.compile(rb"[\s>]")


class Blocklists:
    """The blocklists of all users."""

    def __init__(self, home: Home, clock: Callable[[], float] = time.monotonic) -> None:
        self._home = home
        self._known: TTLCache[str, frozenset[bytes]] = cache(clock)

    async def blocks(self, name: str, message: Message) -> bool:
        """Whether the user whose files are called `name` blocks the sender of a message."""
        domains = await self._domains(name)
        return bool(domains) and sender_domain(message) in domains

    async def _domains(self, name: str) -> frozenset[bytes]:
        domains = self._known.get(name)
        if domains is None:
            domains = await asyncio.to_thread(_read, self._home.file(name, "blocklist"))
            self._known[name] = domains
        return domains


def sender_domain(message: Message) -> bytes:
    """The domain of the From header in lower case; empty if it has none."""
    _, at, rest = (message.first("From") or b"").rpartition(b"@")
    return _DOMAIN_END.split(rest, maxsplit=1)[0].lower() if at else b""


def _read(file: Path) -> frozenset[bytes]:
    try:
        return frozenset(file.read_bytes().lower().split())
    except FileNotFoundError:
        return frozenset()
    except OSError as error:
        log.get().warning("blocklist_unreadable", file=str(file), error=explained(error, file))
        return frozenset()
