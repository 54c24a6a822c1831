"""What a change to hash files is undone with, if it is not carried through.

A hash file is changed in place, record by record, and a signature is a file of its
own.  Before the first of it is touched, all that a change will overwrite is written
to `USER.journal`; emptying the journal is the moment in which the change is made.
Whoever finds a journal that is not empty puts everything back first.

A journal that was not written to its end is worth nothing, and nothing was touched
yet.  It is not forced to the disk: it protects from processes that die, not from
machines that do.
"""

from __future__ import annotations

import os
import struct
import zlib
from array import array
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from dspamd.engine.model import Totals

_FILE_MODE = 0o660
_HEAD = struct.Struct("=QI")  # length and CRC-32 of what follows
_COUNTERS = struct.Struct("=8qQ")  # totals, number of tokens
_FILE = struct.Struct("=Hq")  # lengths of name and content, -1: there was no such file


class Before(NamedTuple):
    """What stood before a change: totals, tokens with their counters as stored, files by name."""

    totals: Totals
    tokens: array[int]  # 'Q'
    spam: array[int]  # 'Q'; both 0: there was no such token
    innocent: array[int]  # 'Q'
    files: Mapping[str, bytes | None]


class Journal:
    """The journal of one hash file.  All methods block and may raise OSError."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def pending(self) -> bool:
        """Whether a change was begun and not finished."""
        try:
            return self._path.stat().st_size > 0
        except FileNotFoundError:
            return False

    def begin(self, before: Before) -> None:
        content = _packed(before)
        try:
            write_file(self._path, _HEAD.pack(len(content), zlib.crc32(content)) + content)
        except OSError:
            self.clear()
            raise

    def clear(self) -> None:
        if self._path.exists():
            os.truncate(self._path, 0)

    def read(self) -> Before | None:
        """What the change that was begun found; None if it was not written to its end."""
        journal = self._path.read_bytes()
        if len(journal) < _HEAD.size:
            return None
        length, crc = _HEAD.unpack_from(journal)
        content = journal[_HEAD.size :]
        return _unpacked(content) if (len(content), zlib.crc32(content)) == (length, crc) else None


def write_file(path: Path, content: bytes) -> None:
    """Write a file that the owner's group may read and write, whatever the umask is."""
    with path.open("wb", buffering=0) as file:
        os.fchmod(file.fileno(), _FILE_MODE)
        rest = memoryview(content)
        while rest:
            rest = rest[file.write(rest) :]


def _packed(before: Before) -> bytes:
    counters = (before.tokens, before.spam, before.innocent)
    parts = [_COUNTERS.pack(*before.totals, len(before.tokens)), *(column.tobytes() for column in counters)]
    for name, content in before.files.items():
        parts.append(_FILE.pack(len(name.encode()), -1 if content is None else len(content)))
        parts.append(name.encode() + (content or b""))
    return b"".join(parts)


def _unpacked(content: bytes) -> Before:
    *totals, n = _COUNTERS.unpack_from(content)
    end = _COUNTERS.size + 3 * 8 * n
    counters = array("Q", content[_COUNTERS.size : end])
    return Before(
        Totals(*totals), counters[:n], counters[n : 2 * n], counters[2 * n :], dict(_files(content, end))
    )


def _files(content: bytes, at: int) -> Iterator[tuple[str, bytes | None]]:
    while at < len(content):
        name, length = _FILE.unpack_from(content, at)
        at += _FILE.size
        end = at + name + max(0, length)
        yield content[at : at + name].decode(), None if length < 0 else content[at + name : end]
        at = end
