"""External look-up: a directory or a program of the site knows the users (`ExtLookup`).

The pipeline asks once for each user, before anything else happens to their mail
(reference/protocols.md 13):

    verify   a user who is found keeps their name
    map      a user who is found gets the name that was found, others keep theirs
    strict   a user who is found gets the name that was found

With `verify` and `strict` a name that is not found is no user: dspamd refuses its mail permanently, and
no file or record is made for it.  If there is no answer - the directory is down, the program
crashes or takes too long - the mail waits (`TempFail`); it is neither refused nor let through
unverified.

Answers are cached for a few seconds.  A `Source` gives them: `lookup_program` or `lookup_ldap`.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Callable

from cachetools import TTLCache

from dspamd.config.config import Config
from dspamd.config.libraries import needed_by
from dspamd.errors import ConfigError, PermFail, TempFail
from dspamd.telemetry import log
from dspamd.users.cache import cache
from dspamd.users.lookup_program import Program
from dspamd.users.lookup_source import AT_ONCE, Source

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Lookup:
    """The answers of `source`, used as `mode` says; an answer takes `timeout_s` at most."""

    def __init__(
        self, source: Source, mode: str, timeout_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._source, self._mode, self._timeout_s = source, mode, timeout_s
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._answers: TTLCache[str, str] = cache(clock)  # empty: not found

    @classmethod
    def from_config(cls, config: Config) -> Lookup | None:
        """The look-up of a site, if it has one.  Raises `ConfigError`."""
        if not config.ExtLookup:
            return None
        return cls(_source(config), config.ExtLookupMode, config.ExtLookupTimeout)

    async def user(self, name: str) -> str:
        """The name under which the mail of `name` is processed.

        Raises `PermFail` if that is no user, `TempFail` if there is no answer now.
        """
        found = self._answers.get(name)
        if found is None:
            found = await self._ask(name)
            self._answers[name] = found
        if not found and self._mode != "map":
            raise PermFail(f"Invalid user '{name}'", code=550, enhanced="5.1.1", exit_status=os.EX_NOUSER)
        return found if found and self._mode != "verify" else name

    async def _ask(self, name: str) -> str:
        try:
            async with asyncio.timeout(self._timeout_s), self._turns:
                found = await self._source.find(name) or ""
        except TimeoutError as error:
            raise TempFail("Unable to look up user", detail=f"{name}: no answer in time") from error
        if _CONTROL.search(found):
            raise TempFail("Unable to look up user", detail=f"{name}: {found!r} is no name")
        log.get().debug("looked_up", user=name, found=found)
        return found


def _source(config: Config) -> Source:
    """The source that the site asks.  Raises `ConfigError`."""
    driver, server = config.ExtLookupDriver, config.ExtLookupServer
    try:
        if not driver:
            raise ValueError("ExtLookup needs ExtLookupDriver: ldap or program")
        if not server.strip():
            raise ValueError("ExtLookup needs ExtLookupServer: a directory server or a command line")
        if driver == "program":
            return Program(server)
        with needed_by(config, Config.ExtLookupDriver, "ldap3"):
            from dspamd.users.lookup_ldap import Directory

        return Directory.from_config(config)
    except ValueError as error:
        raise ConfigError([config.problem("ExtLookup", str(error))]) from error
