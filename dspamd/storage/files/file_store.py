"""Stores that keep each owner in files of its own, without a server or a setup.

`FileStore` is the common part of such drivers.  The first lesson creates the files,
below the directory of their owner (`Home`); the uid is the name of the owner.
Preferences are flat files, as in DSPAM with these drivers.

An `OwnerFile` works on the files of one owner.  It blocks, so the store calls it in
threads; one thread does all work on one owner, in order.  The store keeps a bounded
number of files open, because a site may have more users than a process may have
files.  It notices a file that another program deleted or replaced.
"""

from __future__ import annotations

import os
import stat
import sys
from abc import ABC, abstractmethod
from array import array
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, Protocol, TypeVar

from dspamd.engine.model import Hits, Snapshot, Totals
from dspamd.errors import TempFail
from dspamd.file_errors import explained
from dspamd.home import preference_files
from dspamd.home.home import Home
from dspamd.storage.block import NO_BLOCK, checked
from dspamd.storage.clock import utc_day
from dspamd.storage.contract import Block, Change, NoChanges, Signature, Stored, TokenRow, Uid
from dspamd.storage.files.threads import Threads

T = TypeVar("T")

_BATCH = 5_000  # tokens
_WHOLE_S = 3600.0  # to rewrite a file that is too large for steps
_PATHS = 10_000  # of owners, that need not be put together again for every message
_LOCKS = ("lock", "prefs.lock")  # empty files
_PREFERENCE_FILES = ("prefs", "prefs.lock")


class OwnerFile(Protocol):
    """The open files of one owner.  Belongs to one thread; every call blocks.

    `until` is when the work in hand must be done (`time.monotonic()`); `inode` is the
    file that was opened.  The methods are those of `Storage`, for this owner.
    """

    until: float
    inode: int

    def close(self) -> None: ...

    def read(self, tokens: array[int]) -> Snapshot: ...

    def apply(self, change: Change, today: date) -> None: ...

    def load(self, rows: Sequence[TokenRow], position: Signature, today: date) -> None: ...

    def signature(self, signature: str) -> Stored | None: ...

    def delete_signature(self, signature: str) -> bool: ...

    def signatures(self) -> list[tuple[str, int]]: ...

    def tokens(self, after: int, limit: int, today: date, *, ordered: bool) -> list[TokenRow]:
        """The tokens that follow `after`, the first ones if it is 0; none if there are no more."""

    def delete_tokens(self, tokens: array[int]) -> int: ...

    def block(self, name: str, since: int) -> Block: ...

    def fold(self, name: str, version: int, data: bytes, expected: int | None) -> bool: ...

    def blocks(self) -> list[str]: ...

    def compact(self, *, whole: bool) -> bool: ...


class FileStore(ABC):
    """A `Storage` of files below a home directory.

    Some `open_files` stay open; lanes below their share may open more.  `today` is the day of new
    hits.  A call takes `deadline_s` at most, of which it may wait `busy_s` for another writer.
    """

    errors: ClassVar[tuple[type[Exception], ...]] = (OSError,)  # of the library; become TempFail
    endings: ClassVar[tuple[str, ...]]  # of the owner's files, in the order of their removal
    longest_signature: ClassVar[int] = sys.maxsize  # bytes of its data
    ending: ClassVar[str]  # of the one that is there if the owner is known
    beside: ClassVar[tuple[str, ...]] = ()  # what the library adds to its name for files that it makes

    def __init__(
        self,
        home: Home,
        *,
        today: Callable[[], date] = utc_day,
        threads: int = 4,
        open_files: int = 16,
        deadline_s: float = 10.0,
        busy_s: float = 3.0,
    ) -> None:
        self._home = home
        self._today = today
        self._busy_s = busy_s
        self._threads = Threads("storage", threads, deadline_s)
        self._open: list[OrderedDict[Path, OwnerFile]] = [OrderedDict() for _ in range(threads)]
        self._opened_read_only = set[Path]()
        self._open_files, self._share = open_files, max(1, open_files // threads)
        self._path = lru_cache(_PATHS)(lambda owner: home.file(owner, self.ending))

    @abstractmethod
    def _file(self, path: Path, until: float) -> OwnerFile:
        """Open the file of an owner; make it if it does not exist.  Blocks."""

    async def open(self) -> None:  # noqa: B027  not abstract: most drivers have nothing to add
        """Nothing to do: files are opened when they are needed."""

    async def close(self) -> None:
        for lane, files in enumerate(self._open):
            with suppress(TempFail):  # work that will not end must not keep us: all files survive a kill
                await self._threads.run(lane, _closing(files))
        self._threads.stop()

    async def uid(self, owner: str, *, create: bool) -> Uid | None:
        """The owner's name itself.  Raises `InvalidName` if it cannot be the name of a file."""
        path = self._path(owner)
        if create and path in self._open[self._threads.lane(path)]:
            return owner  # the next lesson creates a file again that was removed meanwhile
        known = await self._on(owner, lambda file: True, False, create=create)
        return owner if known else None

    async def read(self, uid: Uid, tokens: array[int]) -> Snapshot:
        return await self._on(uid, lambda file: file.read(tokens), Snapshot(Totals(), Hits.none()))

    async def apply(self, uid: Uid, change: Change) -> None:
        if change.block is not None:
            checked(*change.block)
        path, today = self._path(str(uid)), self._today()

        def apply(file: OwnerFile) -> None:
            self._need_writable(path)
            file.apply(change, today)

        await self._on(uid, apply, None, create=True)

    async def load(self, uid: Uid, rows: Sequence[TokenRow], position: Signature) -> None:
        today = self._today()
        await self._on(uid, lambda file: file.load(rows, position, today), None, create=True)

    async def has_room(self, uid: Uid, signature: Signature) -> bool:
        self._need_writable(self._path(str(uid)))
        return len(signature.data) <= self.longest_signature

    async def signature(self, uid: Uid, signature: str) -> Stored | None:
        return await self._on(uid, lambda file: file.signature(signature), None)

    async def delete_signature(self, uid: Uid, signature: str) -> bool:
        return await self._on(uid, lambda file: file.delete_signature(signature), False)

    async def signatures(self, uid: Uid) -> list[tuple[str, int]]:
        return await self._on(uid, lambda file: file.signatures(), list[tuple[str, int]]())

    async def tokens(self, uid: Uid, *, ordered: bool = True) -> AsyncIterator[list[TokenRow]]:
        last = 0
        while batch := await self._tokens(uid, last, ordered=ordered):
            yield batch
            last = batch[-1].token

    async def _tokens(self, uid: Uid, after: int, *, ordered: bool) -> list[TokenRow]:
        today, none = self._today(), list[TokenRow]()
        return await self._on(uid, lambda file: file.tokens(after, _BATCH, today, ordered=ordered), none)

    async def delete_tokens(self, uid: Uid, tokens: array[int]) -> int:
        return await self._on(uid, lambda file: file.delete_tokens(tokens), 0)

    async def need_changes(self) -> None:  # noqa: B027  not abstract, as `open`
        """A file is one user's and says nothing of the others'; whoever serves the daemon looks at Home."""

    async def need_blocks(self) -> None:  # noqa: B027  not abstract, as `open`
        """There is always a place for them."""

    async def block(self, uid: Uid, name: str, *, since: int = 0) -> Block:
        checked(name)
        return await self._on(uid, lambda file: file.block(name, since), NO_BLOCK)

    async def fold(
        self, uid: Uid, name: str, version: int, data: bytes, *, expected: int | None = None
    ) -> bool:
        checked(name, data)
        return await self._on(uid, lambda file: file.fold(name, version, data, expected), False, create=True)

    async def blocks(self, uid: Uid) -> list[str]:
        return await self._on(uid, lambda file: file.blocks(), list[str]())

    async def compact(self, uid: Uid, *, whole: bool = False) -> bool:
        deadline_s = _WHOLE_S if whole else None
        return await self._on(uid, lambda file: file.compact(whole=whole), False, deadline_s=deadline_s)

    async def owner_of(self, uid: Uid) -> str | None:
        """The key is the name; None if there are no files under it."""
        return str(uid) if await self.uid(str(uid), create=False) is not None else None

    async def owners(self) -> list[str]:
        return await self._in_thread("", lambda _: self._home.owners(self.ending))

    async def delete_owner(self, owner: str) -> None:
        path = self._path(owner)

        def delete(lane: int) -> None:
            self._forget(lane, path)
            for ending in (*self.endings, *_PREFERENCE_FILES):
                _remove(self._home.file(owner, ending))
            with suppress(OSError):  # there may be files of others: logs, a quarantine
                path.parent.rmdir()

        await self._in_thread(owner, delete)

    async def rename_owner(self, owner: str, name: str) -> None:
        """The file that makes them known goes last, so that nobody opens it without the others."""
        path = self._path(owner)
        others = [ending for ending in self.endings if ending != self.ending]

        def rename(lane: int) -> None:
            self._forget(lane, path)
            for ending in (*_PREFERENCE_FILES, *others, self.ending):
                file, target = self._home.file(owner, ending), self._home.file(name, ending)
                if file.exists():
                    if target.exists() and ending not in _LOCKS:
                        raise FileExistsError(f"{target} is there, {file} stays")
                    file.rename(self._home.prepare(target))
            with suppress(OSError):
                path.parent.rmdir()

        await self._in_thread(owner, rename)

    async def preferences(self, owner: str) -> Mapping[str, str]:
        path = self._preference_file(owner)
        return await self._in_thread(owner, lambda _: preference_files.read(path))

    async def set_preference(self, owner: str, name: str, value: str | None) -> None:
        path = self._preference_file(owner)
        await self._in_thread(owner, lambda _: preference_files.write(self._home.prepare(path), name, value))

    def _preference_file(self, owner: str) -> Path:
        return self._home.file(owner, "prefs") if owner else self._home.default_preferences

    async def _in_thread(self, owner: str, work: Callable[[int], T]) -> T:
        """The result of `work` in the lane of an owner; `work` gets the number of the lane."""
        path = self._path(owner) if owner else self._home.path
        lane = self._threads.lane(path)

        def run(_: float) -> T:
            try:
                return work(lane)
            except OSError as error:
                raise TempFail("Storage is not available", detail=explained(error, path)) from error

        return await self._threads.run(lane, run)

    async def _on(
        self,
        uid: Uid,
        work: Callable[[OwnerFile], T],
        absent: T,
        *,
        create: bool = False,
        deadline_s: float | None = None,
    ) -> T:
        """The result of `work` on an owner's file; `absent` if there is no such file."""
        path = self._path(str(uid))
        lane = self._threads.lane(path)

        def run(until: float) -> T:
            try:
                file = self._opened(lane, path, until, create=create)
                return absent if file is None else work(file)
            except self.errors as error:
                self._forget(lane, path)
                self._need_writable(path)
                raise TempFail("Storage is not available", detail=explained(error, path)) from error

        return await self._threads.run(lane, run, deadline_s)

    def _opened(self, lane: int, path: Path, until: float, *, create: bool) -> OwnerFile | None:
        """The open file, unless it was deleted or replaced since; then the new one."""
        files = self._open[lane]
        try:
            inode = path.stat().st_ino
        except FileNotFoundError:
            inode = None
        file = files.get(path)
        mended = path in self._opened_read_only and self._obstacle(path) is None
        if file is not None and (file.inode != inode or mended):
            self._forget(lane, path)
            file = None
        if file is None:
            if inode is None and not create:
                return None
            self._home.prepare(path)
            self._make_room(files)
            if inode is not None and self._obstacle(path):
                self._opened_read_only.add(path)
            files[path] = file = self._file(path, until)
        files.move_to_end(path)
        file.until = until
        return file

    def _need_writable(self, path: Path) -> None:
        """Raises `NoChanges` for a file that is there and cannot be written; not if we may not look for it.

        A few system calls each time: a disk may be mounted anew, or a mode change.
        """
        if os.access(path, os.F_OK) and (file := self._obstacle(path)):
            raise NoChanges(f"{file} cannot be written: look at its mode, its owner, its folder and its disk")

    def _obstacle(self, path: Path) -> Path | None:
        """The file that keeps an owner's from being changed: itself, or one beside it."""
        if not _writable(path):
            return path
        others = (Path(f"{path}{ending}") for ending in self.beside)
        return next((other for other in others if not _mended(other, path)), None)

    def _make_room(self, files: OrderedDict[Path, OwnerFile]) -> None:
        """Close some of a lane's files while all lanes together have enough, and this one has its share."""
        while len(files) >= self._share and sum(map(len, self._open)) >= self._open_files:
            path, file = files.popitem(last=False)
            self._opened_read_only.discard(path)
            file.close()

    def _forget(self, lane: int, path: Path) -> None:
        file = self._open[lane].pop(path, None)
        self._opened_read_only.discard(path)
        if file is not None:
            file.close()


def _writable(path: Path) -> bool:
    """Whether we may change a file, and make others beside it, as each change does."""
    return os.access(path, os.W_OK, effective_ids=True) and os.access(
        path.parent, os.W_OK | os.X_OK, effective_ids=True
    )


def _mended(other: Path, path: Path) -> bool:
    """Whether we may change a file beside that of an owner, which need not be there.

    If it was made while the owner's could not be written, it has that mode still: it gets the new one.
    """
    if os.access(other, os.W_OK, effective_ids=True):
        return True
    try:
        if stat.S_ISREG(other.lstat().st_mode):
            other.chmod(stat.S_IMODE(path.stat().st_mode))
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return os.access(other, os.W_OK, effective_ids=True)


def _closing(files: OrderedDict[Path, OwnerFile]) -> Callable[[float], None]:
    def close(_: float) -> None:
        while files:
            files.popitem()[1].close()

    return close


def _remove(path: Path) -> None:
    """Remove a file, or a directory of files; it need not exist."""
    if path.is_dir():
        for file in path.iterdir():
            file.unlink(missing_ok=True)
        path.rmdir()
    else:
        path.unlink(missing_ok=True)
