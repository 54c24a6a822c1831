"""The SQLite driver: one database for each owner, `USER.sdb`, as DSPAM keeps them.

It uses databases of DSPAM 3.10.2 where they are (reference/storage.md 3.3).  Many
processes may share them: a writer takes its turn (`BEGIN IMMEDIATE`), readers do
not wait.  `SQLitePragma`, or the statements in `Home/sqlite.pragma`, can tune a
connection.

The files must not lie on a network file system: SQLite's write-ahead log needs
shared memory.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

from dspamd.home.home import Home
from dspamd.storage.clock import utc_day
from dspamd.storage.files.file_store import FileStore
from dspamd.storage.files.sqlite_file import MOMENT_PAGES, SQLiteFile
from dspamd.telemetry import log


class SQLite(FileStore):
    """A `Storage` of SQLite databases.

    `pragmas` are the texts after PRAGMA in a statement; None means the statements in
    `Home/sqlite.pragma` instead.
    """

    errors = (sqlite3.Error, OSError)
    longest_signature = 10**9 - 1000  # a row of SQLite has 10^9 bytes at most
    ending = "sdb"
    beside = ("-wal", "-shm")
    endings = ("sdb-wal", "sdb-shm", "sdb-journal", "sdb")  # a leftover log would damage the next database

    def __init__(
        self,
        home: Home,
        pragmas: Sequence[str] | None = None,
        *,
        today: Callable[[], date] = utc_day,
        open_files: int = 16,
        deadline_s: float = 10.0,
        busy_s: float = 3.0,
        moment_pages: int = MOMENT_PAGES,
    ) -> None:
        super().__init__(home, today=today, open_files=open_files, deadline_s=deadline_s, busy_s=busy_s)
        self._pragmas, self._moment_pages = pragmas, moment_pages
        self._statements: list[str] = []

    async def open(self) -> None:
        if self._pragmas is None:
            self._statements = await self._in_thread("", lambda _: self._read_pragmas())
        else:
            self._statements = [f"PRAGMA {pragma}" for pragma in self._pragmas]

    def _read_pragmas(self) -> list[str]:
        try:
            lines = (self._home.path / "sqlite.pragma").read_text().splitlines()
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            log.get().warning("sqlite_pragma_unreadable", error=str(error))
            return []
        return [line for line in lines if line.strip()]

    def _file(self, path: Path, until: float) -> SQLiteFile:
        return SQLiteFile(path, self._statements, self._busy_s, until, moment_pages=self._moment_pages)
