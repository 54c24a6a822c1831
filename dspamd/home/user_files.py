"""All files of a user below Home: what is there, and how it is joined to that of another, renamed, removed.

A user's files are those in their directory that begin with their name, and the files that opt them in or out.
The functions here leave those of `KEPT_APART` alone, except `remove` and `rename`, which take whatever is
left.

Files that grow are joined record by record: a record that is there already is not added, so whatever was
interrupted can be done again.  Writers hold the fcntl lock that all programs take (reference/storage.md 7,
protocols.md 5.1).

These functions block: call them in a thread.  They raise OSError, and `InvalidName` as `Home` does.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path

from dspamd.files import atomic_replace, is_still, make_folders
from dspamd.home.home import Home

STORES = (
    "css",
    "lock",
    "sig",
    "block",
    "journal",
    "sdb",
    "sdb-wal",
    "sdb-shm",
    "sdb-journal",
    "prefs",
    "prefs.lock",
)
"""Endings of the files of drivers."""

RENAMING, MERGING, ADDING = "renaming", "merging", "adding"
"""Endings of files that are there while a user gets another name, or the name or tokens of another user."""

_REMADE = ("mbox.size", "mbox.stamp", "tmp", "prefs.lock", RENAMING, MERGING, ADDING)

KEPT_APART = frozenset((*STORES, *_REMADE))
"""Endings of files that are the business of the store, or that programs make again by themselves."""

LINES = ("log", "retrain.log", "blocklist")
"""Endings of files that grow by lines."""

LINE_ENDS = {"log": b"\n\n"}
"""What follows a line where it is no simple line end (reference/storage.md 7.1)."""

MAILBOX = "mbox"
_MODE = 0o660
WRITTEN_AT_ONCE = 1 << 20  # bytes


def owned(home: Home, name: str) -> dict[str, Path]:
    """The files and folders of a user, by what follows their name and a dot."""
    folder, start = home.directory(name), f"{home.directory(name).name}."
    with suppress(FileNotFoundError, NotADirectoryError):
        return {
            path.name.removeprefix(start): path
            for path in sorted(folder.iterdir())
            if path.name.startswith(start)
        }
    return {}


def opted(home: Home, name: str) -> dict[str, Path]:
    """The files that opt a user in or out, by `in` and `out`."""
    files = {"in": home.opt_in(name), "out": home.opt_out(name)}
    return {way: file for way, file in files.items() if file.exists()}


def others(home: Home, name: str) -> Iterator[tuple[str, Path]]:
    """Files that neither grow nor belong to a driver, with their paths after the name of the user."""
    for ending, path in owned(home, name).items():
        if ending in KEPT_APART or ending in LINES or ending == MAILBOX:
            continue
        if not path.is_dir():
            yield ending, path
        for below in sorted(path.rglob("*")) if path.is_dir() else ():
            if below.is_file():
                yield f"{ending}/{below.relative_to(path)}", below


def lines(path: Path) -> Iterator[bytes]:
    """The lines of a file that are not empty, without their ends; none without a file."""
    with suppress(FileNotFoundError), path.open("rb") as file:
        yield from _lines(file)


def messages(path: Path) -> Iterator[bytes]:
    """The messages of a mailbox as it has them, from one `From ` line to the next; none without a file."""
    with suppress(FileNotFoundError), path.open("rb") as file:
        yield from _messages(file)


def _lines(file: Iterable[bytes]) -> Iterator[bytes]:
    return (text for line in file if (text := line.rstrip(b"\n")))


def _messages(file: Iterable[bytes]) -> Iterator[bytes]:
    message = bytearray()
    for line in file:
        if line.startswith(b"From ") and message:
            yield bytes(message)
            message.clear()
        message += line
    if message:
        yield bytes(message)


class Growing:
    """A file that grows by records, to which others append meanwhile.

    `split` finds the records in its lines, `end` follows a record that is added.
    """

    def __init__(
        self, path: Path, split: Callable[[Iterable[bytes]], Iterable[bytes]], end: bytes = b""
    ) -> None:
        self._path, self._split, self._end = path, split, end
        self._known: set[bytes] = set()
        self._read = 0

    @classmethod
    def lines(cls, path: Path, end: bytes = b"\n") -> Growing:
        return cls(path, _lines, end)

    @classmethod
    def mailbox(cls, path: Path) -> Growing:
        return cls(path, _messages)

    def add(self, wanted: Iterable[bytes]) -> int:
        """Append the records that the file lacks; how many."""
        count = 0
        with locked(self._path) as file:
            with os.fdopen(file, "rb", closefd=False) as old:  # to open it a second time would end the lock
                old.seek(self._read if self._read <= os.fstat(file).st_size else 0)
                self._known.update(map(_digest, self._split(old)))
            size = os.fstat(file).st_size
            waiting = bytearray(b"\n" if size and os.pread(file, 1, size - 1) != b"\n" else b"")
            for record in wanted:
                if (digest := _digest(record)) not in self._known:
                    self._known.add(digest)
                    waiting += record + self._end
                    count += 1
                if len(waiting) >= WRITTEN_AT_ONCE:
                    _write(file, waiting)
            if count:
                _write(file, waiting)
                os.fsync(file)
            self._read = os.fstat(file).st_size
        return count


def _digest(record: bytes) -> bytes:
    return blake2b(record, digest_size=16).digest()


def _write(file: int, waiting: bytearray) -> None:
    while waiting:
        del waiting[: os.write(file, waiting)]


@contextmanager
def locked(path: Path) -> Iterator[int]:
    """The open file, made if there is none, under the lock that its writers take."""
    while True:
        file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _MODE)
        try:
            fcntl.lockf(file, fcntl.LOCK_EX)
            if is_still(path, file):
                yield file
                return
        finally:
            os.close(file)


def add_file(path: Path, content: bytes) -> bool:
    """Make a file unless there is one; whether it was made."""
    if path.exists():
        return False
    make_folders(path.parent)
    atomic_replace(path, content, mode=_MODE)
    return True


def remove(home: Home, name: str) -> None:
    """Remove all files of a user, and their directory if nothing else is in it."""
    for path in (*owned(home, name).values(), *opted(home, name).values()):
        _remove(path)
    with suppress(OSError):
        home.directory(name).rmdir()


def join(home: Home, name: str, into: str) -> None:
    """Give the files of one user to another.

    Those that grow get what they lack; of others, those of the other user stay.  It can be interrupted and
    done again.  Dictionaries are left to the store.
    """
    for ending, path in owned(home, name).items():
        target = home.file(into, ending)
        if ending in KEPT_APART:
            continue
        if path.is_dir():
            _join_folder(path, home.prepare(target))
        elif ending == MAILBOX:
            _join_file(path, Growing.mailbox(home.prepare(target)), _messages)
        elif ending in LINES:
            _join_file(path, Growing.lines(home.prepare(target), LINE_ENDS.get(ending, b"\n")), _lines)
        elif not target.exists():
            path.rename(home.prepare(target))
        else:
            path.unlink()
    for way, path in opted(home, name).items():
        if opted(home, into):
            path.unlink()
        else:
            path.rename(home.prepare((home.opt_in if way == "in" else home.opt_out)(into)))
    with suppress(OSError):
        home.directory(name).rmdir()


def _join_folder(path: Path, target: Path) -> None:
    for file in sorted(path.rglob("*")):
        place = target / file.relative_to(path)
        if file.is_file() and not place.exists():
            make_folders(place.parent)
            file.rename(place)
    shutil.rmtree(path)


def _join_file(path: Path, target: Growing, split: Callable[[Iterable[bytes]], Iterator[bytes]]) -> None:
    """Add the records of a file, and remove it; who appends to it meanwhile waits, and makes another one."""
    with locked(path) as file, os.fdopen(file, "rb", closefd=False) as records:
        target.add(split(records))
        path.unlink()


def forget(home: Home, name: str) -> None:
    """Remove the files that programs make again, and the directory if nothing else is in it."""
    owned_files = owned(home, name)
    for ending in _REMADE:
        if ending in owned_files:
            _remove(owned_files[ending])
    with suppress(OSError):
        home.directory(name).rmdir()


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
