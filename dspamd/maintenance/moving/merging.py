"""Joins two users: counters, signatures, weights, preferences, logs, quarantine, files.

It exports the data of the user who leaves into `INTO.merging`, imports them from there for the other user,
and then removes the one who leaves.  The file stays until all is done.  After an interruption the same
command goes on and adds nothing twice: the import records its progress, and the file says whether it has
finished.
"""

from __future__ import annotations

import asyncio
import json
from array import array
from pathlib import Path
from typing import NamedTuple

from dspamd.engine.model import Totals
from dspamd.errors import PermFail
from dspamd.files import atomic_replace, replacement
from dspamd.home import system_log, user_files
from dspamd.maintenance.moving.archive import Archive, Contents
from dspamd.maintenance.moving.comparing import compare
from dspamd.maintenance.moving.exporting import Told, export
from dspamd.maintenance.moving.importing import Import, Mode, forget_position
from dspamd.maintenance.moving.possessions import Site, known

_EXPORTED = 0.3  # of the bar


class NotMerged(PermFail):
    """The users cannot be joined; both are unchanged."""

    exit_status = 1


class Merged(NamedTuple):
    """What an administrator should know of a merge.  If something is missing, both users are there."""

    missing: tuple[str, ...] = ()
    lost: int = 0  # messages that the one who goes learned meanwhile


async def merge(site: Site, name: str, into: str, told: Told) -> Merged:
    """Join a user to another.

    Preferences of the other one win.  Raises `NotMerged`, `InvalidName`, `TempFail`, OSError.
    """
    state = site.home.file(into, user_files.MERGING)
    site.home.file(name, user_files.MERGING)  # the name has to be possible
    done, lost = await asyncio.to_thread(_done, state), 0
    if done is None:
        archive = await _archive(site, name, into, state, told)
        *_, contents = await asyncio.to_thread(list, archive.check())
        assert isinstance(contents, Contents)
        arriving = Import(site, into, archive, contents, Mode.MERGE)
        result = await arriving.run(lambda share: told(_EXPORTED + (1 - _EXPORTED) * share))
        missing = await compare(site, into, archive, contents, exact=False)
        missing += [f"{len(result.left_out)} signatures or blocks have no place"] * bool(result.left_out)
        if missing:
            return Merged(tuple(missing))
        lost = await _learned_meanwhile(site, name, archive)
        await asyncio.to_thread(system_log.rewrite, site.home.system_log, name, into)
        await site.storage.delete_owner(name)
        await asyncio.to_thread(user_files.join, site.home, name, into)
        await asyncio.to_thread(user_files.forget, site.home, name)
        done = {"merged": name, "digest": contents.digest}
        await asyncio.to_thread(atomic_replace, state, json.dumps(done).encode(), durable=True)
    await forget_position(site.storage, into, Contents({}, {}, "", done["digest"]))
    await asyncio.to_thread(state.unlink)
    if done["merged"] != name:  # another merge lacked its last step only
        return await merge(site, name, into, told)
    return Merged(lost=lost)


async def _archive(site: Site, name: str, into: str, state: Path, told: Told) -> Archive:
    """What the store has of the user who goes: of an earlier attempt, or of now."""
    archive = Archive(state)
    if await asyncio.to_thread(state.exists):
        if (other := archive.header()["user"]) != name:
            raise NotMerged(f"{other} is being merged into {into}: finish that first")
        return archive
    for user in (name, into):
        if not await known(site, user):
            raise NotMerged(f"{user}: there is nothing to merge")
    uids = [await site.storage.uid(user, create=False) for user in (name, into)]
    if name == into or (uids[0] is not None and uids[0] == uids[1]):
        raise NotMerged(f"{name} and {into} are the same")
    with replacement(site.home.prepare(state)) as fresh, fresh.open("wb") as file:
        await export(site, name, file, lambda share: told(_EXPORTED * share), files=False)
    return archive


async def _learned_meanwhile(site: Site, name: str, archive: Archive) -> int:
    """How many messages the user who goes learned that are not in the archive."""
    uid = await site.storage.uid(name, create=False)
    if uid is None:
        return 0
    now = (await site.storage.read(uid, array("Q"))).totals
    then = next(
        (
            Totals(**each["totals"])
            for batch, _ in archive.records(tokens=False)
            for each in batch
            if "totals" in each
        ),
        Totals(),
    )
    return max(0, now.spam_learned + now.innocent_learned - then.spam_learned - then.innocent_learned)


def _done(state: Path) -> dict[str, str] | None:
    """What a merge says that lacks its last step only; None if there is none."""
    try:
        with state.open("rb") as file:
            if file.read(1) != b"{":  # it is an archive
                return None
    except FileNotFoundError:
        return None
    found: dict[str, str] = json.loads(state.read_bytes())
    return found
