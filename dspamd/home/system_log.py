"""The lines of one user in `Home/system.log` (reference/storage.md 7.2).

`rewrite` changes lines in place, under the lock that all writers take, as `dspam_logrotate` does: no line is
lost, and after a crash in the middle some lines are there twice.

These functions block: call them in a thread.  They raise OSError.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO

_USER = 6  # the field of the user
_FIELDS = 9
WRITTEN_AT_ONCE = 1 << 20  # bytes
_IN_MEMORY = 1 << 24


def lines_of(log: Path, user: str) -> Iterator[bytes]:
    """The lines of a user, without their ends; none without a file."""
    try:
        with log.open("rb") as file:
            yield from those_of(file, user)
    except FileNotFoundError:
        return


def those_of(lines: Iterable[bytes], user: str) -> Iterator[bytes]:
    """Those of some lines that are of a user, without their ends."""
    name = os.fsencode(user)
    return (line.rstrip(b"\n") for line in lines if _user(line) == name)


def rewrite(log: Path, user: str, new: str | None) -> int:
    """Give the lines of a user another name, or remove them if it is None; how many there were."""
    name, count = os.fsencode(user), 0
    try:
        file = log.open("r+b")
    except FileNotFoundError:
        return 0
    with file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        with SpooledTemporaryFile(_IN_MEMORY) as fresh:
            for line in file:
                theirs = _user(line) == name
                count += theirs
                fresh.write(line if not theirs else b"" if new is None else renamed(line, new))
            if count:
                _overwrite(file.fileno(), fresh)
    return count


def renamed(line: bytes, new: str) -> bytes:
    """The line with another user."""
    fields = line.split(b"\t")
    fields[_USER] = os.fsencode(new)
    return b"\t".join(fields)


def _overwrite(file: int, fresh: IO[bytes]) -> None:
    """Lines move away from where the file is overwritten next: from its end if it grows."""
    length = fresh.seek(0, os.SEEK_END)
    places = range(0, length, WRITTEN_AT_ONCE)
    for at in reversed(places) if length > os.fstat(file).st_size else places:
        fresh.seek(at)
        rest = memoryview(fresh.read(WRITTEN_AT_ONCE))
        while rest:
            written = os.pwrite(file, rest, at)
            rest, at = rest[written:], at + written
    os.ftruncate(file, length)


def _user(line: bytes) -> bytes | None:
    fields = line.split(b"\t")
    return fields[_USER] if len(fields) >= _FIELDS else None
