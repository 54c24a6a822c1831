"""The users of a site: preferences, groups, dictionary, settings.

`Users.resolve` turns a name into a `User`, whose properties hold all that the pipeline needs.  A
directive of dspam.conf applies if no preference does (reference/config.md 5, engine.md 7.12).

The record of everybody, once it has any preference, replaces all `Preference` lines of dspam.conf.
A user's own preferences count only where `AllowOverride` names them; the others are listed for
the log.

User records are cached for a few seconds, so a changed preference can take that long to apply.
Nothing blocks the event loop, and trouble with the store is a `TempFail`.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from cachetools import TTLCache

from dspamd.config.config import Config
from dspamd.config.preferences import canonical
from dspamd.errors import TempFail
from dspamd.file_errors import explained
from dspamd.home.home import Home
from dspamd.storage.contract import Storage
from dspamd.storage.drivers import uid_in_signature
from dspamd.users.cache import cache
from dspamd.users.group_file import GroupFile
from dspamd.users.groups import ALONE, Groups
from dspamd.users.lookup import Lookup
from dspamd.users.preferences import Defaults, User

_UID = re.compile("([0-9]{1,10}),")  # in front of a signature


class Effective(NamedTuple):
    """The preferences in effect for a name, and the user of that name."""

    values: dict[str, str]
    disallowed: tuple[str, ...]
    user: str


class Users:
    """Finds users.  There is one for each configuration; several tasks may ask at once."""

    def __init__(
        self, config: Config, storage: Storage, home: Home, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._storage, self._home = storage, home
        group_file = config.GroupConfig
        self._group_file = GroupFile(Path(group_file) if group_file else home.path / "group", clock)
        self._groups = Groups()
        self._lookup = Lookup.from_config(config)
        self._uid_in_signature = uid_in_signature(config)
        self._defaults = Defaults.of(config)
        self._allowed = {name.lower() for name in config.AllowOverride}
        self._fallback_domains = config.FallbackDomains
        self._opt_in = config.Opt == "in"
        self._configured: dict[str, str] = {}
        for name, _, value in (line.partition("=") for line in config.Preference):
            self._configured.setdefault(canonical(name), value)
        self._known: TTLCache[str, User] = cache(clock)
        self._records: TTLCache[str, dict[str, str]] = cache(clock)

    async def verified(self, name: str) -> str:
        """The name under which the mail of `name` is processed; an external look-up may change it.

        Raises `PermFail` if `name` is no user, `TempFail` if there is no answer now.
        """
        return name if self._lookup is None else await self._lookup.user(name)

    async def signer(self, signature: str, user: User) -> User:
        """The user of a correction: the owner that its signature names (UIDInSignature), else `user`.

        An alias that shares the number of another name stays the user.
        """
        named = _UID.match(signature) if self._uid_in_signature else None
        if named is None or await self._storage.uid(user.owner, create=False) == int(named[1]):
            return user
        owner = await self._storage.owner_of(int(named[1]))
        return user if owner is None else await self.resolve(owner)

    async def resolve(self, name: str) -> User:
        """The user of a name.  Raises `PermFail` if there can be none, `TempFail` as the store does."""
        groups = await self._group_file.groups()
        if groups is not self._groups:
            self._groups = groups
            self._known.clear()
        user = self._known.get(name)
        if user is None:
            effective = await self.preferences(name)
            user = User(effective.user, effective.values, effective.disallowed, True, self._defaults)
            membership = ALONE if user.ignore_groups else groups.membership(user.name)
            user = replace(user, filtered=await self._filtered(user), membership=membership)
            if groups is self._groups:  # else they have changed meanwhile
                self._known[name] = user
        return user

    async def preferences(self, name: str) -> Effective:
        """The preferences in effect for a user; the empty name means everybody (config.md 5.2)."""
        everybody = self._records.get("")
        if everybody is None:
            everybody = await self._stored("")
            self._records[""] = everybody
        own, source = await self._own(name) if name else ({}, name)
        values = dict(everybody or self._configured)
        values.update((key, value) for key, value in own.items() if key.lower() in self._allowed)
        disallowed = tuple(key for key in own if key.lower() not in self._allowed)
        shared = source != name and values.get("fallbackDomain", "").lower() == "on"
        return Effective(values, disallowed, source if shared else name)

    async def _own(self, name: str) -> tuple[dict[str, str], str]:
        """The stored preferences of a user, else of a domain that allows it, and the name that has them."""
        own = await self._stored(name)
        local, at, domain = name.rpartition("@")
        if not own and self._fallback_domains and at and local:
            record = await self._stored(at + domain)
            if record.get("fallbackDomain", "").lower() == "on":
                return record, at + domain
        return own, name

    async def _stored(self, owner: str) -> dict[str, str]:
        stored = await self._storage.preferences(owner)
        return {canonical(name): value for name, value in stored.items()}

    async def _filtered(self, user: User) -> bool:
        opt_in, opt_out = self._home.opt_in(user.file_name), self._home.opt_out(user.file_name)
        try:
            files = await asyncio.to_thread(lambda: (opt_in.exists(), opt_out.exists()))
        except OSError as error:
            raise TempFail("User unknown at present", detail=explained(error)) from error
        opted_in = files[0] or user.preferences.get("optIn", "").lower() == "on"
        opted_out = files[1] or user.preferences.get("optOut", "").lower() == "on"
        return not opted_out and (opted_in or not self._opt_in)
