"""The site that faults happen to: real programs, each of which can be stopped by itself.

    mails ──▶ Postfix ──LMTP──▶ dspamd, 2 workers ──SMTP──▶ next hop
                                  │         │
                                clamd     PostgreSQL, or files on a small disk

Deadlines are short, so that what hangs is given up while a run lasts.  Users are
trained on everything (TEFT), so that counters can be compared with mail.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from array import array
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from dspamd.app import home_of
from dspamd.config import Config
from dspamd.storage import open_storage
from tests.chaos.clock import Clock
from tests.chaos.mails import USERS
from tests.chaos.next_hop import NextHop
from tests.contract.postgres_server import PostgreSQL, postgresql
from tests.e2e.clamd import Clamd
from tests.e2e.daemon import Daemon
from tests.e2e.postfix import Postfix

DEADLINE_S = 3
STORES = {"postgresql": "pgsql_drv", "sqlite": "sqlite3_drv", "hash": "hash_drv"}
_DISK_BYTES = 384 << 20
_FILLINGS = 20  # while files come and go, one is not enough

_SETTINGS = """\
ServerWorkers 2
Home {home}
DeliveryTimeout {deadline}
StorageTimeout {deadline}
ClamAVHost 127.0.0.1
ClamAVPort {clamd}
ClamAVTimeout {deadline}
ClamAVResponse reject
ClamAVOnFailure defer
SystemLog on
UserLog on
"""
_DATABASE = """\
PgSQLServer {host}
PgSQLPort {port}
PgSQLUser {user}
PgSQLDb {database}
"""


class Disk:
    """A disk of its own, small enough to be filled; root makes and removes it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> Disk:
        self.folder.mkdir()
        options = f"size={_DISK_BYTES},mode=755"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", self.folder], check=True, timeout=20)
        return self

    def __exit__(self, *exception: object) -> None:
        subprocess.run(["umount", "--lazy", self.folder], check=True, timeout=20)

    @contextmanager
    def full(self) -> Iterator[None]:
        """No block is free on it, but for what its users give back."""
        ballast = self.folder / "ballast"
        try:
            with ballast.open("wb", buffering=0) as file:
                for _ in range(_FILLINGS):
                    self._fill(file.fileno())
            yield
        finally:
            ballast.unlink()

    def _fill(self, file: int) -> None:
        free = os.statvfs(self.folder)
        with suppress(OSError):  # somebody was faster
            os.posix_fallocate(file, os.fstat(file).st_size, max(1, free.f_bavail) * free.f_bsize)


@dataclass(frozen=True)
class Ground:
    front: Postfix
    daemon: Daemon
    hop: NextHop
    clamd: Clamd
    clock: Clock
    database: PostgreSQL | None
    disk: Disk | None

    def learned(self) -> int:
        """The messages that the counters of all users say were learned.  Not while the daemon runs."""
        return asyncio.run(_learned(Config.load(self.daemon.config)))


@contextmanager
def ground(store: str, folder: Path) -> Iterator[Ground]:
    """A running site that keeps its dictionaries in one of `STORES`."""
    with ExitStack() as stack:
        clamd = stack.enter_context(Clamd())
        hop = stack.enter_context(NextHop(folder))
        database = disk = None
        settings = ""
        if store == "postgresql":
            database = stack.enter_context(postgresql())
            where = database.new_database()
            settings = _DATABASE.format(host=where.host, port=where.port, user=where.user,
                                        database=where.database)  # fmt: skip
        else:
            disk = stack.enter_context(Disk(folder / "disk"))
        settings += _SETTINGS.format(
            home=disk.folder if disk else folder, deadline=DEADLINE_S, clamd=clamd.port
        )
        clock = Clock(folder)
        daemon = Daemon(
            folder, hop.port, driver=STORES[store], settings=settings, environment=clock.environment
        )
        stack.enter_context(daemon)
        front = stack.enter_context(Postfix(f"dspam:[127.0.0.1]:{daemon.port}", USERS))
        yield Ground(front, daemon, hop, clamd, clock, database, disk)


async def _learned(config: Config) -> int:
    storage = open_storage(config, home_of(config))
    await storage.open()
    try:
        count = 0
        for user in USERS:
            uid = await storage.uid(user, create=False)
            if uid is not None:
                totals = (await storage.read(uid, array("Q"))).totals
                count += totals.spam_learned + totals.innocent_learned
        return count
    finally:
        await storage.close()
