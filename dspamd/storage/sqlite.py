"""The SQLite driver: one database file for each owner, `USER.sdb`, as DSPAM keeps them.

Needs no server and no setup: files are made when mail first teaches something, and
those of DSPAM 3.10.2 are used where they are (reference/storage.md 3.3).  The uid
is the name of the owner.  Preferences are flat files, as in DSPAM with this driver.

The library blocks, so it is called in threads; all work on one file is done by the
same thread, in order.  Many processes may share the files: a writer takes its turn
(`BEGIN IMMEDIATE`), readers do not wait.  A bounded number of files is kept open,
because a site may have more users than a process may have files.

`SQLitePragma`, or the statements in `Home/sqlite.pragma`, can tune a connection.
The files must not lie on a network file system.
"""

from __future__ import annotations

import sqlite3
from array import array
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TypeVar

from dspamd import log
from dspamd.engine.model import Hits, Snapshot, Totals
from dspamd.errors import TempFail
from dspamd.home import Home
from dspamd.storage import preference_files
from dspamd.storage.contract import Change, Stored, TokenRow, Uid
from dspamd.storage.sqlite_file import SQLiteFile
from dspamd.storage.threads import Threads

T = TypeVar("T")

_ENDING = "sdb"
_BATCH = 5_000  # tokens
# All files of an owner, in the order of their removal: a log left behind would spoil the next database.
_FILES = ("sdb-wal", "sdb-shm", "sdb-journal", "sdb", "prefs", "prefs.lock")


def utc_day() -> date:
    return datetime.now(UTC).date()


class SQLite:
    """A `Storage` of SQLite files below a home directory.

    `pragmas` are what follows PRAGMA in a statement; None takes the statements in
    `Home/sqlite.pragma` instead.  A call takes `deadline_s` at most, of which
    `busy_s` may be spent waiting for another writer.
    """

    def __init__(
        self,
        home: Home,
        pragmas: Sequence[str] | None = None,
        *,
        today: Callable[[], date] = utc_day,
        threads: int = 4,
        open_files: int = 32,
        deadline_s: float = 10.0,
        busy_s: float = 3.0,
    ) -> None:
        self._home = home
        self._pragmas = pragmas
        self._statements: list[str] = []
        self._today = today
        self._busy_s = busy_s
        self._threads = Threads("sqlite", threads, deadline_s)
        self._open: list[OrderedDict[Path, SQLiteFile]] = [OrderedDict() for _ in range(threads)]
        self._open_per_thread = max(1, open_files // threads)

    async def open(self) -> None:
        if self._pragmas is None:
            self._statements = await self._threads.run(0, lambda _: self._file_of_pragmas())
        else:
            self._statements = [f"PRAGMA {pragma}" for pragma in self._pragmas]

    def _file_of_pragmas(self) -> list[str]:
        try:
            lines = (self._home.path / "sqlite.pragma").read_text().splitlines()
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            log.get().warning("sqlite_pragma_unreadable", error=str(error))
            return []
        return [line for line in lines if line.strip()]

    async def close(self) -> None:
        for lane, files in enumerate(self._open):
            await self._threads.run(lane, _closing(files))
        self._threads.stop()

    async def uid(self, owner: str, *, create: bool) -> Uid | None:
        """The owner's name itself.  Raises `PermFail` if it cannot be the name of a file."""
        known = await self._on(owner, lambda file: True, False, create=create)
        return owner if known else None

    async def read(self, uid: Uid, tokens: array[int]) -> Snapshot:
        return await self._on(uid, lambda file: file.read(tokens), Snapshot(Totals(), Hits.none()))

    async def apply(self, uid: Uid, change: Change) -> None:
        day = self._today().isoformat()
        await self._on(uid, lambda file: file.apply(change, day), None, create=True)

    async def signature(self, uid: Uid, signature: str) -> Stored | None:
        return await self._on(uid, lambda file: file.signature(signature), None)

    async def delete_signature(self, uid: Uid, signature: str) -> bool:
        return await self._on(uid, lambda file: file.delete_signature(signature), False)

    async def signatures(self, uid: Uid) -> list[tuple[str, int]]:
        return await self._on(uid, SQLiteFile.signatures, list[tuple[str, int]]())

    async def tokens(self, uid: Uid) -> AsyncIterator[list[TokenRow]]:
        for length in await self._on(uid, SQLiteFile.token_lengths, list[int]()):
            after = ""
            while batch := await self._on(uid, _next(after, length), list[TokenRow]()):
                yield batch
                after = str(batch[-1].token)

    async def delete_tokens(self, uid: Uid, tokens: array[int]) -> int:
        return await self._on(uid, lambda file: file.delete_tokens(tokens), 0)

    async def owners(self) -> list[str]:
        return await self._files("", lambda: self._home.owners(_ENDING))

    async def delete_owner(self, owner: str) -> None:
        path = self._home.file(owner, _ENDING)
        lane = self._threads.lane(path)

        def delete() -> None:
            self._forget(lane, path)
            for ending in _FILES:
                self._home.file(owner, ending).unlink(missing_ok=True)

        await self._files(owner, delete)

    async def preferences(self, owner: str) -> Mapping[str, str]:
        path = self._preference_file(owner)
        return await self._files(owner, lambda: preference_files.read(path))

    async def set_preference(self, owner: str, name: str, value: str | None) -> None:
        path = self._preference_file(owner)

        def write() -> None:
            preference_files.write(self._home.prepare(path), name, value)

        await self._files(owner, write)

    def _preference_file(self, owner: str) -> Path:
        return self._home.file(owner, "prefs") if owner else self._home.default_preferences

    async def _files(self, owner: str, work: Callable[[], T]) -> T:
        """Do something with plain files of an owner, in the thread that has the owner's database."""
        path = self._home.file(owner, _ENDING) if owner else self._home.path

        def run(_: float) -> T:
            try:
                return work()
            except OSError as error:
                raise TempFail("Storage is not available", detail=str(error)) from error

        return await self._threads.run(self._threads.lane(path), run)

    async def _on(self, uid: Uid, work: Callable[[SQLiteFile], T], absent: T, *, create: bool = False) -> T:
        """What `work` makes of an owner's file; `absent` if there is no such file."""
        path = self._home.file(str(uid), _ENDING)
        lane = self._threads.lane(path)

        def run(until: float) -> T:
            try:
                file = self._file(lane, path, until, create=create)
                return absent if file is None else work(file)
            except (sqlite3.Error, OSError) as error:
                self._forget(lane, path)
                raise TempFail("Storage is not available", detail=f"{path}: {error}") from error

        return await self._threads.run(lane, run)

    def _file(self, lane: int, path: Path, until: float, *, create: bool) -> SQLiteFile | None:
        """The open file, unless it was deleted or replaced since; then the new one."""
        files = self._open[lane]
        try:
            inode = path.stat().st_ino
        except FileNotFoundError:
            inode = None
        file = files.get(path)
        if file is not None and file.inode != inode:
            self._forget(lane, path)
            file = None
        if file is None:
            if inode is None and not create:
                return None
            self._home.prepare(path)
            while len(files) >= self._open_per_thread:
                files.popitem(last=False)[1].close()
            files[path] = file = SQLiteFile(path, self._statements, self._busy_s, until)
        files.move_to_end(path)
        file.until = until
        return file

    def _forget(self, lane: int, path: Path) -> None:
        file = self._open[lane].pop(path, None)
        if file is not None:
            file.close()


def _next(after: str, length: int) -> Callable[[SQLiteFile], list[TokenRow]]:
    return lambda file: file.tokens(after, length, _BATCH)


def _closing(files: OrderedDict[Path, SQLiteFile]) -> Callable[[float], None]:
    def close(_: float) -> None:
        while files:
            files.popitem()[1].close()

    return close
