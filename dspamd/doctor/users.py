"""The folders of users: quarantines that fill up, folders that belong to nobody."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from dspamd.diagnosis import Diagnosis, advice, fine
from dspamd.doctor.examination import apart
from dspamd.doctor.site import Site
from dspamd.errors import Failure
from dspamd.home.home import Home
from dspamd.storage.drivers import open_storage, server_prefix

_NEARLY = 0.8  # of the limit
_NAMED = 5  # of many
_ENDINGS = ("log", "stats", "mbox", "prefs", "sig", "css", "sdb", "firstrun")
_QUIET_S = 90 * 86_400.0


def quarantines(site: Site) -> Iterator[Diagnosis]:
    """The sizes of the quarantines."""
    sizes = {}
    for owner in site.home.owners("mbox"):
        with suppress(FileNotFoundError, PermissionError):  # the check of files names it
            sizes[owner] = site.home.file(owner, "mbox").stat().st_size
    yield judged_quarantines(sizes, site.config.QuarantineWarnSize, notified=site.config.Notifications)


def judged_quarantines(sizes: Mapping[str, int], limit: int, *, notified: bool) -> Diagnosis:
    """`sizes` in bytes by user; `notified`: users get a notice when theirs is full."""
    large = sorted(
        (owner for owner in sizes if sizes[owner] > _NEARLY * limit), key=lambda owner: -sizes[owner]
    )
    total = f"{len(sizes)} quarantines with {sum(sizes.values()) / 1e6:.1f} MB"
    if not large:
        return fine(f"{total}, none near QuarantineWarnSize ({limit / 1e6:.1f} MB)")
    named = ", ".join(f"{owner} ({sizes[owner] / 1e6:.1f} MB)" for owner in large[:_NAMED])
    more = f" and {len(large) - _NAMED} more" if len(large) > _NAMED else ""
    full = sum(sizes[owner] > limit for owner in large)
    what = f"{full} quarantines are full, {len(large) - full} nearly (QuarantineWarnSize): {named}{more}"
    why = "nobody looks into them: good mail that was taken for spam lies there unread, and the disk fills"
    told = "they get a notice" if notified else "Notifications is off, so tell these users"
    cure = f"{told}: they release and delete mail on the web pages; dspam_notify sends them a daily list"
    return advice(what, why, cure)


async def folders(site: Site) -> Sequence[Diagnosis]:
    """Folders below Home of users whom the store does not know."""
    storage = open_storage(site.config, site.home)
    await storage.open()
    try:
        known = await storage.owners()
    except Failure:
        return []  # the check of the database says more
    finally:
        await storage.close()
    by_number = bool(server_prefix(site.config))
    quiet_s = 0.0 if by_number else _QUIET_S
    lost = await apart(lambda: _unknown(site.home, set(known), quiet_s))
    return [judged_folders(lost)]


def _unknown(home: Home, known: set[str], quiet_s: float) -> list[Path]:
    """The folders of others, in which nothing has changed for so many seconds.

    In a store of files only who has learned something is known, so a folder may be of a user who did not.
    """
    before = time.time() - quiet_s
    found = (home.directory(name) for name in home.owners(*_ENDINGS) if name not in known)
    return [folder for folder in found if folder.is_dir() and _newest(folder) < before]


def _newest(folder: Path) -> float:
    try:
        return max((file.stat().st_mtime for file in folder.iterdir()), default=0.0)
    except PermissionError:
        return math.inf


def judged_folders(lost: Sequence[Path]) -> Diagnosis:
    if not lost:
        return fine("every folder belongs to a user whom the store knows")
    named = ", ".join(map(str, lost[:_NAMED])) + (" ..." if len(lost) > _NAMED else "")
    what = f"{len(lost)} folders belong to users whom the store does not know: {named}"
    why = "they keep space, and what is private, of users who are gone; or the store is not the right one"
    return advice(what, why, f"look into each, then remove it: ls -l {lost[0]}; rm -r {lost[0]}")
