"""Maintenance of a site: it purges the dictionaries of all owners, one after the other.

`dspam_clean` runs `Maintenance.purge`; `purging` runs the same inside the daemon, every
`PurgeInterval` hours.  `ages` reads the Purge directives of dspam.conf (reference/cli.md 7), and
`Users` knows the training mode of an owner.  The command purges the store of one profile; the
daemon purges those of all profiles, because a client may name any of them.

One worker of a host purges at a time: it holds a lock, `Home/purge.lock`.  The date of that file is
the time of the last purge, so that a restart does not purge again.  Hosts do not know each
other; two purges of one database only do the same work twice.

Trouble with one owner, or with one profile, is reported and does not delay the others.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from dspamd.config.config import Config
from dspamd.errors import ConfigError, Failure
from dspamd.home.home import Home
from dspamd.maintenance.purge import PATIENCE_S, Ages, Purged, Unused, purge
from dspamd.request.request import Request
from dspamd.storage.clock import day_number, utc_day
from dspamd.storage.contract import Storage
from dspamd.telemetry import log
from dspamd.telemetry.metrics import Metrics
from dspamd.users.users import Users

UNUSED = (Config.PurgeUnused, Config.PurgeHapaxes, Config.PurgeHits1S, Config.PurgeHits1I)
_HOUR_S = 3600
_AGAIN_S = 600.0  # until the next try, after trouble or if another worker purges
_FLAGS = os.O_RDWR | os.O_CLOEXEC  # of the file whose date is the last purge


def ages(config: Config) -> Ages:
    """The ages in the Purge directives; those of unused tokens only if none of the four is off."""
    unused = [config.value(option) for option in UNUSED]
    return Ages(
        signatures=config.PurgeSignatures,
        neutral=config.PurgeNeutral,
        unused=Unused(*filter(None, unused)) if all(unused) else None,
    )


@dataclass(frozen=True, slots=True)
class Report:
    """The result of a purge of many owners, with the failures by owner."""

    purged: Purged
    owners: int
    failures: Mapping[str, Failure]


class Maintenance:
    """Purges dictionaries of a site, those of one storage profile.

    `whole`: it then gives back all freed space, even if mail has to wait for that.  It tries again after
    each of `patience_s` what a busy store does not do.
    """

    def __init__(
        self,
        users: Users,
        storage: Storage,
        ages: Ages,
        *,
        profile: str = "",
        whole: bool = False,
        patience_s: Sequence[float] = PATIENCE_S,
        today: Callable[[], date] = utc_day,
        metrics: Metrics | None = None,
    ) -> None:
        self._users, self._storage, self._ages, self._today = users, storage, ages, today
        self._profile, self._whole, self._patience_s = profile or None, whole, patience_s
        self._metrics = metrics or Metrics()

    async def purge(
        self, owners: Iterable[str] | None = None, told: Callable[[str, Purged], None] = lambda *_: None
    ) -> Report:
        """Purge the dictionaries of some owners, by default of all; unknown ones have none.

        It calls `told` after each step with the owner and what it has removed so far.  Raises
        `TempFail` if the store cannot list its owners.
        """
        names = list(await self._storage.owners() if owners is None else owners)
        purged, failures = Purged(), dict[str, Failure]()
        for owner in names:
            try:
                done = await self._purge(owner, told)
            except Failure as failure:
                failures[owner] = failure
                log.get().error("not_purged", profile=self._profile, user=owner, reason=str(failure))
            else:
                purged = purged.plus(done)
        self._metrics.last_purge.set(time.time())
        _log("purge_done", purged, profile=self._profile, owners=len(names), failed=len(failures))
        return Report(purged, len(names), failures)

    async def _purge(self, owner: str, told: Callable[[str, Purged], None]) -> Purged:
        options = (await self._users.resolve(owner)).score_options(Request())
        uid = await self._storage.uid(owner, create=False)
        done = Purged()
        if uid is not None:
            today = day_number(self._today())
            async for done in purge(
                self._storage, uid, self._ages, options, today, patience_s=self._patience_s
            ):
                told(owner, done)
            if self._whole:
                await self._storage.compact(uid, whole=True)
        self._metrics.purged.add("tokens", by=done.tokens)
        self._metrics.purged.add("signatures", by=done.signatures)
        _log("purged", done, profile=self._profile, user=owner)
        return done


def _log(event: str, purged: Purged, **fields: object) -> None:
    log.get().info(
        event,
        **fields,
        tokens=purged.tokens,
        tokens_left=purged.tokens_left,
        signatures=purged.signatures,
        signatures_left=purged.signatures_left,
    )


@asynccontextmanager
async def purging(
    config: Config,
    home: Home,
    profiles: Callable[[], Sequence[str]],
    maintenance: Callable[[str], Awaitable[Maintenance]],
) -> AsyncIterator[None]:
    """Purge all owners every `PurgeInterval` hours while the body runs, if that is configured.

    It purges the stores of all `profiles`, one after the other; `maintenance` opens one of them.
    """
    hours = config.PurgeInterval
    if not hours:
        yield
        return
    if not ages(config):
        log.get().warning("nothing_to_purge", reason="PurgeInterval is set, and every Purge directive is off")
    lock = Lock(home.path / "purge.lock", hours * _HOUR_S)
    task = asyncio.create_task(_every(lock, profiles, maintenance))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait((task,))


async def _every(
    lock: Lock, profiles: Callable[[], Sequence[str]], maintenance: Callable[[str], Awaitable[Maintenance]]
) -> None:
    """Purge whenever it is due, until cancelled; log trouble, and let mail go on.

    A profile in trouble waits for the next time, unless all are in trouble: one may be a server
    that only stands by for another, and out of order for long.
    """
    while True:
        try:
            await asyncio.sleep(await asyncio.to_thread(lock.due_in))
            if await asyncio.to_thread(lock.take):
                try:
                    if any(
                        [await _purged(profile, maintenance) for profile in await asyncio.to_thread(profiles)]
                    ):
                        lock.note()
                        continue
                finally:
                    lock.release()
        except (OSError, ConfigError) as error:
            log.get().error("purge_failed", reason=str(error))
        await asyncio.sleep(_AGAIN_S)


async def _purged(profile: str, maintenance: Callable[[str], Awaitable[Maintenance]]) -> bool:
    """Purge the owners of a profile, and log trouble; whether that worked."""
    try:
        await (await maintenance(profile)).purge()
    except Exception as error:
        trace = None if isinstance(error, OSError | Failure) else error
        log.get().error("purge_failed", profile=profile or None, reason=str(error), exc_info=trace)
        return False
    return True


class Lock:
    """The right to purge, for one worker of a host at a time and once in `period_s` seconds.

    The methods raise OSError; they use one file, and return at once.
    """

    def __init__(self, path: Path, period_s: float, clock: Callable[[], float] = time.time) -> None:
        self._path, self._period_s, self._clock = path, period_s, clock
        self._file: int | None = None

    def due_in(self) -> float:
        """Seconds until the next purge; the first one comes after one period."""
        file = self._open()
        try:
            return max(0.0, os.fstat(file).st_mtime + self._period_s - self._clock())
        finally:
            os.close(file)

    def take(self) -> bool:
        """Take the lock; false if another worker has it, or has just purged."""
        file = self._open()
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return False
        self._file = file
        if self.due_in() > 0:
            self.release()
            return False
        return True

    def note(self) -> None:
        """Note that this period's purge is done."""
        os.utime(self._path, (self._clock(), self._clock()))

    def release(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _open(self) -> int:
        """The open file.  A new one gets our time: the clock of its file system may differ."""
        with suppress(FileExistsError):
            file = os.open(self._path, _FLAGS | os.O_CREAT | os.O_EXCL, 0o660)
            self.note()
            return file
        return os.open(self._path, _FLAGS)
