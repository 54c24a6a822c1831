"""The site of the faults: real programs, each of which a test can stop alone.

    mails ──▶ Postfix ──LMTP──▶ dspamd, 2 workers ──SMTP──▶ next hop
                                  │         │
                                clamd     PostgreSQL, MariaDB, or files on a small disk

Deadlines are short, so that hanging work ends during a run.  Totals count every message, so that the audit
can compare counters with mail.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from dspamd.storage.sql.common import Server
from tests.chaos.mails import USERS
from tests.chaos.next_hop import HopProcess
from tests.chaos.outcomes import DEADLINE_S
from tests.support.clamd import Clamd
from tests.support.clock import Clock
from tests.support.daemon import SCORING, Daemon
from tests.support.mariadb_server import mariadb
from tests.support.postfix import Postfix
from tests.support.postgres_server import postgresql

STORES = {"postgresql": "pgsql_drv", "mariadb": "mysql_drv", "sqlite": "sqlite3_drv", "hash": "hash_drv"}
JOINT = "Algorithm joint\nTrainingMode tone"
"""Instead of every token of every mail (TEFT): weights, and lessons from what is not sure."""
DATABASES = {"postgresql": "PgSQL", "mariadb": "MySQL"}
"""Stores with a server, and how the names of their options begin."""
_DISK_BYTES = 384 << 20
_PIECE_BYTES, _BLOCK_BYTES = 16 << 20, 4096
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
{prefix}Server {where.host}
{prefix}Port {where.port}
{prefix}User {where.user}
{prefix}Db {where.database}
"""


@dataclass(frozen=True)
class Database:
    """A database server that faults can stop."""

    where: Server
    start: Callable[[], None]
    stop: Callable[[], None]
    crash: Callable[[], None]
    frozen: Callable[[], AbstractContextManager[None]]


@contextmanager
def _database(store: str) -> Iterator[Database]:
    if store == "postgresql":
        with postgresql() as postgres:
            yield Database(
                postgres.new_database(), postgres.start, postgres.stop, postgres.crash, postgres.frozen
            )
    else:
        with mariadb() as maria:
            yield Database(maria.new_database(), maria.start, maria.stop, maria.kill, maria.frozen)


class CannotMount(Exception):
    """Even root may not mount: in most containers."""


class Disk:
    """A disk of its own, small enough to be filled; root makes and removes it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> Disk:
        """Mount it; raises `CannotMount`."""
        self.folder.mkdir()
        options = f"size={_DISK_BYTES},mode=755"
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.folder)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
        if done.returncode:
            reason = done.stderr.partition("\n")[0]
            raise CannotMount(f"a small disk needs the right to mount: {reason}")
        return self

    def __exit__(self, *exception: object) -> None:
        subprocess.run(["umount", "--lazy", self.folder], check=True, timeout=20)

    @contextmanager
    def full(self) -> Iterator[None]:
        """No block of the disk is free, except those that its users give back."""
        ballast = self.folder / "ballast"
        try:
            with ballast.open("wb", buffering=0) as file:
                for _ in range(_FILLINGS):
                    self._fill(file.fileno())
            yield
        finally:
            ballast.unlink()

    def _fill(self, file: int) -> None:
        """Take all free space, in ever smaller pieces; a piece that does not fit is given back whole."""
        piece, end = _PIECE_BYTES, os.fstat(file).st_size
        while piece >= _BLOCK_BYTES:
            try:
                os.posix_fallocate(file, end, piece)
            except OSError:
                piece //= 2
            else:
                end += piece


@dataclass(frozen=True)
class Fixture:
    front: Postfix
    daemon: Daemon
    hop: HopProcess
    clamd: Clamd
    clock: Clock
    database: Database | None
    disk: Disk | None
    left_out: str
    """The faults that are impossible here, and why; empty if all are possible."""


@contextmanager
def fixture(store: str, folder: Path, scoring: str = SCORING) -> Iterator[Fixture]:
    """A running site that keeps its dictionaries in one of `STORES`; `scoring`: lines of dspam.conf."""
    with ExitStack() as stack:
        clamd = stack.enter_context(Clamd())
        hop = stack.enter_context(HopProcess(folder))
        database = disk = None
        settings = left_out = ""
        if store in DATABASES:
            database = stack.enter_context(_database(store))
            settings = _DATABASE.format(prefix=DATABASES[store], where=database.where)
        else:
            try:
                disk = stack.enter_context(Disk(folder / "disk"))
            except CannotMount as refusal:
                left_out = f"disk full, since {refusal}"
        settings += _SETTINGS.format(
            home=disk.folder if disk else folder, deadline=DEADLINE_S, clamd=clamd.port
        )
        clock = Clock(folder)
        daemon = Daemon(
            folder,
            hop.port,
            driver=STORES[store],
            settings=settings,
            scoring=scoring,
            environment=clock.environment,
        )
        daemon.start()
        stack.callback(daemon.kill)  # if it still runs; its workers notice its death
        front = stack.enter_context(Postfix(f"dspam:[127.0.0.1]:{daemon.port}", USERS))
        yield Fixture(front, daemon, hop, clamd, clock, database, disk, left_out)
