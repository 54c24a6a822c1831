"""Gives a user another name, in the store, in system.log and for all files below Home.

A file `OLD.renaming` says that the renaming has begun, until all is done: after an interruption the same
command goes on, and does not take the new name for that of another user.  Databases keep the number of a
user, so their data stay in place.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from dspamd.errors import PermFail
from dspamd.files import atomic_replace
from dspamd.home import system_log, user_files
from dspamd.maintenance.moving.possessions import Site, known


class NotRenamed(PermFail):
    """The names do not allow it; nothing was changed."""

    exit_status = 1


async def rename(site: Site, name: str, new: str) -> None:
    """Rename a user to a name of which nothing is known.

    Mail of the user should not come meanwhile: what is learned under the old name stays under it.
    Raises `NotRenamed`, `InvalidName`, `TempFail`, OSError.
    """
    marker = site.home.file(name, user_files.RENAMING)
    site.home.file(new, user_files.RENAMING)  # the name has to be possible
    if name == new:
        raise NotRenamed("both names are the same")
    begun = await asyncio.to_thread(_begun, marker)
    if not begun:
        if not await known(site, name):
            raise NotRenamed(f"{name}: there is nothing to rename")
        if await known(site, new):
            raise NotRenamed(f"{new} is known: merge user {name} {new} joins them")
        await site.storage.delete_owner(new)  # of whom a database may have a number, and nothing else
        await asyncio.to_thread(atomic_replace, site.home.prepare(marker), os.fsencode(new))
    elif begun != new:
        raise NotRenamed(f"{name} is being renamed to {begun}: finish that first")
    if not (begun and isinstance(await site.storage.uid(new, create=False), int)):  # a database had done it
        await site.storage.rename_owner(name, new)
    await asyncio.to_thread(system_log.rewrite, site.home.system_log, name, new)
    await asyncio.to_thread(user_files.join, site.home, name, new)
    await asyncio.to_thread(user_files.forget, site.home, name)


def _begun(marker: Path) -> str:
    """The name that a renaming which was interrupted gives; empty if there is none."""
    try:
        return os.fsdecode(marker.read_bytes())
    except FileNotFoundError:
        return ""
