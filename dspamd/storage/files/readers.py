"""Readers of the files of a live site, which another program writes: they open nothing for writing.

They take no lock either, so counters may be of different moments; a single one is whole.
"""

from __future__ import annotations

import asyncio
import sqlite3
from abc import ABC, abstractmethod
from array import array
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import ClassVar, TypeVar
from urllib.parse import quote

from dspamd.engine.model import Hits, Snapshot, Totals
from dspamd.errors import TempFail
from dspamd.file_errors import explained
from dspamd.home import preference_files
from dspamd.home.home import Home
from dspamd.storage.clock import day_number, utc_day
from dspamd.storage.contract import TokenRow, Uid
from dspamd.storage.files import css
from dspamd.storage.files._css import css_after, css_joined
from dspamd.storage.files.sqlite_file import COUNTED, counters_of

T = TypeVar("T")

_BATCH = 5_000  # tokens
_ENOUGH = 2**31 - 1  # places that a search in a hash file goes through
_DAY_S = 86_400
_WAL, _FORMAT_AT = 2, 18  # of the header of a database: it has a write-ahead log


class FileReader(ABC):
    """A `Readable` of files below a home."""

    ending: ClassVar[str]

    def __init__(self, home: Home) -> None:
        self._home = home

    async def open(self) -> None:  # noqa: B027  each look opens the file again
        """Nothing to do."""

    async def close(self) -> None:  # noqa: B027
        """Nothing to do."""

    async def uid(self, owner: str, *, create: bool) -> Uid | None:
        """The name itself, if there is a file.  Makes nothing."""
        return owner if await self._look(owner, self._path(owner).exists) else None

    async def owners(self) -> list[str]:
        return await self._look("", lambda: self._home.owners(self.ending))

    async def preferences(self, owner: str) -> Mapping[str, str]:
        path = self._home.file(owner, "prefs") if owner else self._home.default_preferences
        return await self._look(owner, lambda: preference_files.read(path))

    async def read(self, uid: Uid, tokens: array[int]) -> Snapshot:
        """Totals alone: callers that need hits read all tokens."""
        totals = await self._look(str(uid), lambda: self._totals(self._path(str(uid))))
        return Snapshot(totals, Hits.none())

    async def tokens(self, uid: Uid, *, ordered: bool = True) -> AsyncIterator[list[TokenRow]]:
        batches = self._tokens(self._path(str(uid)))
        while (batch := await self._look(str(uid), lambda: next(batches, None))) is not None:
            yield batch

    async def token_count(self, uid: Uid) -> int:
        return await self._look(str(uid), lambda: self._count(self._path(str(uid))))

    async def signatures(self, uid: Uid) -> list[tuple[str, int]]:
        return await self._look(str(uid), lambda: self._signatures(self._path(str(uid))))

    def _path(self, owner: str) -> Path:
        return self._home.file(owner, self.ending)

    async def _look(self, owner: str, work: Callable[[], T]) -> T:
        try:
            return await asyncio.to_thread(work)
        except (OSError, sqlite3.Error) as error:
            place = self._path(owner) if owner else self._home.path
            raise TempFail("Storage is not available", detail=explained(error, place)) from error

    @abstractmethod
    def _totals(self, path: Path) -> Totals: ...

    @abstractmethod
    def _tokens(self, path: Path) -> Iterator[list[TokenRow]]: ...

    @abstractmethod
    def _count(self, path: Path) -> int: ...

    @abstractmethod
    def _signatures(self, path: Path) -> list[tuple[str, int]]: ...


class SQLiteReader(FileReader):
    """Reads `USER.sdb`."""

    ending = "sdb"

    def _totals(self, path: Path) -> Totals:
        with _database(path) as database:
            return counters_of(database)

    def _tokens(self, path: Path) -> Iterator[list[TokenRow]]:
        with _database(path) as database:
            found = database.execute(f"SELECT {COUNTED} FROM dspam_token_data ORDER BY token")
            while rows := found.fetchmany(_BATCH):
                yield [TokenRow(int(token), spam, innocent, day) for token, spam, innocent, day in rows]

    def _count(self, path: Path) -> int:
        with _database(path) as database:
            return int(database.execute("SELECT count(*) FROM dspam_token_data").fetchone()[0])

    def _signatures(self, path: Path) -> list[tuple[str, int]]:
        with _database(path) as database:
            return [(id_, 0) for (id_,) in database.execute("SELECT signature FROM dspam_signature_data")]


@contextmanager
def _database(path: Path) -> Iterator[sqlite3.Connection]:
    """A database for reading only.  Opening one must not create files beside it, such as those of its log."""
    with path.open("rb") as file:
        file.seek(_FORMAT_AT)
        logged = file.read(1) == bytes([_WAL])
    idle = logged and not path.with_name(f"{path.name}-wal").exists()
    options = "mode=ro&immutable=1" if idle else "mode=ro"
    url = f"file:{quote(str(path))}?{options}"
    with closing(sqlite3.connect(url, uri=True, check_same_thread=False)) as database:
        yield database


class HashReader(FileReader):
    """Reads `USER.css` into memory, of any machine."""

    ending = "css"

    def _totals(self, path: Path) -> Totals:
        return css.totals(_hash_file(path))

    def _tokens(self, path: Path) -> Iterator[list[TokenRow]]:
        file, today, after = _hash_file(path), day_number(utc_day()), 0
        while some := css_after(file, after, _BATCH):
            rows = zip(*css_joined(file, _ENOUGH, some), strict=True)
            yield [TokenRow(token, spam, innocent, today - age) for token, spam, innocent, age in rows]
            after = some[-1]

    def _count(self, path: Path) -> int:
        return sum(len(rows) for rows in self._tokens(path))

    def _signatures(self, path: Path) -> list[tuple[str, int]]:
        with suppress(FileNotFoundError):
            files = [file for file in path.with_suffix(".sig").iterdir() if file.suffix == ".sig"]
            return [(file.stem, int(file.stat().st_mtime) // _DAY_S) for file in files]
        return []


def _hash_file(path: Path) -> bytearray:
    """The content in our layout.  Raises OSError for a file that is none."""
    content = bytearray(path.read_bytes())
    if not content:  # DSPAM left that on a full disk
        return bytearray(css.opening(1))
    native = css.converted(content)
    found = content if native is None else bytearray(native)
    length = css.sound_length(found)
    if length is None:
        raise OSError("it is no hash file")
    return found[:length].ljust(length, b"\0")
