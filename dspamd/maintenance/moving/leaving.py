"""Removes everything that a site keeps of a user, in the store and below Home.

It can be interrupted at any point and done again.  Mail that comes for the user meanwhile makes them known
again.
"""

from __future__ import annotations

import asyncio

from dspamd.home import system_log, user_files
from dspamd.maintenance.moving.possessions import Site


async def remove(site: Site, name: str) -> None:
    """Remove a user.  The name goes last, so that a repeated call finds the rest.

    Data that a user shares with another name (an alias with the same number) stay.
    Raises `InvalidName`, `TempFail`, OSError.
    """
    for preference in await site.storage.preferences(name):
        await site.storage.set_preference(name, preference, None)
    await asyncio.to_thread(system_log.rewrite, site.home.system_log, name, None)
    await site.storage.delete_owner(name)
    await asyncio.to_thread(user_files.remove, site.home, name)
