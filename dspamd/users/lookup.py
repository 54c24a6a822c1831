"""External lookup: a directory or a program of the site says who is a user (`ExtLookup`).

Asked once for each user, before anything else happens to his mail
(reference/protocols.md 13):

    verify   whoever is found goes on under the name he came with
    map      whoever is found goes on under the name that was found, others as they came
    strict   whoever is found goes on under the name that was found

Who is not found by `verify` and `strict` is no user of ours: his mail is refused for
good, and nothing is ever made for him.  If no answer is to be had - the directory is
down, the program crashes or takes too long - the mail waits (`TempFail`); it is never
refused for that, and never let through unverified.

Answers are remembered for some seconds.  What is asked is a `Source`: a `Program`
here, a directory in `ldap_lookup`.
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
    """What `source` says of users, in the sense of `mode`; an answer takes `timeout_s` at most."""

    def __init__(
        self, source: Source, mode: str, timeout_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._source, self._mode, self._timeout_s = source, mode, timeout_s
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._answers: TTLCache[str, str] = cache(clock)  # empty: not found

    @classmethod
    def from_config(cls, config: Config) -> Lookup | None:
        """The lookup of a site, if it has one.  Raises `ConfigError`."""
        if not config.ExtLookup:
            return None
        return cls(_source(config), config.ExtLookupMode, config.ExtLookupTimeout)

    async def user(self, name: str) -> str:
        """The name under which somebody goes on.

        Raises `PermFail` if he is no user, `TempFail` if that cannot be found out now.
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
    """What the site asks.  Raises `ConfigError`."""
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
