"""What a site keeps of a user: the dictionary in the store, and files below Home.

`tally` counts it by kind, without changing anything.  The kinds are those of dspam-export(5), in the order in
which people look at them.
"""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import AsyncIterator
from typing import NamedTuple

from dspamd.config.config import Config
from dspamd.home import system_log, user_files
from dspamd.home.home import Home
from dspamd.storage.contract import POSITION, Storage, TokenRow, Uid
from dspamd.storage.drivers import family


class Site(NamedTuple):
    """The places in which users have something."""

    config: Config
    storage: Storage
    home: Home

    @property
    def driver(self) -> str:
        return family(self.config)


class Tally(NamedTuple):
    """How much of each kind a user has."""

    messages_learned: int = 0
    tokens: int = 0
    signatures: int = 0
    blocks: int = 0
    preferences: int = 0
    quarantined: int = 0
    log_lines: int = 0
    blocklist_lines: int = 0
    other_files: int = 0
    opt_files: int = 0
    system_log_lines: int = 0

    def __str__(self) -> str:
        return (
            ", ".join(f"{n} {kind.replace('_', ' ')}" for kind, n in self._asdict().items() if n) or "nothing"
        )


async def tally(site: Site, name: str) -> Tally:
    """Count what a user has.  Raises `InvalidName`, `TempFail`, OSError."""
    found = await asyncio.to_thread(_files, site.home, name)
    found = found._replace(preferences=len(await site.storage.preferences(name)))
    uid = await site.storage.uid(name, create=False)
    if uid is None:
        return found
    totals = (await site.storage.read(uid, array("Q"))).totals
    tokens = 0
    async for batch in site.storage.tokens(uid, ordered=False):
        tokens += sum(bool(row.spam or row.innocent) for row in batch)
    return found._replace(
        messages_learned=totals.spam_learned + totals.innocent_learned,
        tokens=tokens,
        signatures=len(await signatures(site.storage, uid)),
        blocks=len(await site.storage.blocks(uid)),
    )


async def known(site: Site, name: str) -> bool:
    """Whether a user has anything but lines in system.log.  Raises as `tally` does."""
    found = await asyncio.to_thread(_files, site.home, name)
    if any(found._replace(system_log_lines=0)) or await site.storage.preferences(name):
        return True
    uid = await site.storage.uid(name, create=False)
    if uid is None:
        return False
    if any((await site.storage.read(uid, array("Q"))).totals) or await site.storage.blocks(uid):
        return True
    async for _ in site.storage.tokens(uid, ordered=False):
        return True
    return bool(await signatures(site.storage, uid))


async def signatures(storage: Storage, uid: Uid) -> list[tuple[str, int]]:
    """The signatures of messages, without those of ours that hold how far an import came."""
    return sorted(each for each in await storage.signatures(uid) if not each[0].startswith(POSITION))


async def hit_tokens(storage: Storage, uid: Uid) -> AsyncIterator[list[TokenRow]]:
    """The tokens that were hit, ascending, in batches."""
    async for batch in storage.tokens(uid):
        yield [row for row in batch if row.spam or row.innocent]


def _files(home: Home, name: str) -> Tally:
    owned = user_files.owned(home, name)

    def lines(ending: str) -> int:
        return sum(1 for _ in user_files.lines(owned[ending])) if ending in owned else 0

    mailbox = owned.get(user_files.MAILBOX)
    return Tally(
        quarantined=sum(1 for _ in user_files.messages(mailbox)) if mailbox else 0,
        log_lines=lines("log") + lines("retrain.log"),
        blocklist_lines=lines("blocklist"),
        other_files=sum(1 for _ in user_files.others(home, name)),
        opt_files=len(user_files.opted(home, name)),
        system_log_lines=sum(1 for _ in system_log.lines_of(home.system_log, name)),
    )
