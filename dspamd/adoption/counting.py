"""What a site has: users, messages, tokens, signatures, quarantines."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Callable
from typing import NamedTuple

from dspamd.errors import Failure
from dspamd.home import user_files
from dspamd.home.home import Home
from dspamd.storage.reading import Readable

Told = Callable[[float], None]
_LARGEST = 5


class UserCount(NamedTuple):
    """What one user has."""

    name: str
    spam_learned: int = 0
    innocent_learned: int = 0
    tokens: int = 0
    signatures: int = 0
    quarantined: int = 0
    quarantine_bytes: int = 0


class SiteCount(NamedTuple):
    """What all users have together, those with most tokens, and whose data cannot be read."""

    users: int
    total: UserCount
    largest: tuple[UserCount, ...]
    unreadable: tuple[str, ...]


async def count(store: Readable, home: Home, told: Told) -> SiteCount:
    """Count everything; calls `told` with the share of users done.  Raises `TempFail`, OSError."""
    others = await asyncio.to_thread(home.owners, user_files.MAILBOX)
    names = sorted({*await store.owners(), *others})
    found, unreadable = list[UserCount](), list[str]()
    for n, name in enumerate(names, 1):
        try:
            found.append(await _count(store, home, name))
        except (Failure, OSError) as error:
            unreadable.append(f"{name}: {error}")
        told(n / len(names))
    total = UserCount("", *(sum(column) for column in zip(*(each[1:] for each in found), strict=True)))
    largest = sorted(found, key=lambda each: (-each.tokens, each.name))[:_LARGEST]
    return SiteCount(len(names), total, tuple(largest), tuple(unreadable))


async def _count(store: Readable, home: Home, name: str) -> UserCount:
    mailbox = home.file(name, user_files.MAILBOX)
    kept, size = await asyncio.to_thread(
        lambda: (
            sum(1 for _ in user_files.messages(mailbox)),
            mailbox.stat().st_size if mailbox.exists() else 0,
        )
    )
    uid = await store.uid(name, create=False)
    if uid is None:
        return UserCount(name, quarantined=kept, quarantine_bytes=size)
    totals = (await store.read(uid, array("Q"))).totals
    return UserCount(
        name,
        totals.spam_learned,
        totals.innocent_learned,
        await store.token_count(uid),
        len(await store.signatures(uid)),
        kept,
        size,
    )
