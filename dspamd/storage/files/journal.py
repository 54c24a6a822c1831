"""The journal by which the next process undoes a change to hash files that did not finish.

A change writes records of a hash file in place, a signature to its own file, and appends to
the file of a block.  Before it touches the first of these, it copies the bytes that it will
overwrite to `USER.journal`; emptying the journal commits the change.  A process that finds a
journal with content restores these bytes first.

An incomplete journal is void: the change has touched nothing yet.  The journal is not
forced to the disk: it protects from processes that die, not from machines that do.
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
from dspamd.storage.files import _files

_FILE_MODE = 0o660
_KEPT_BYTES = 2**20  # disk space that an empty journal may keep
_HEAD = struct.Struct("=QI")  # length and CRC-32 of the rest
HEAD_BYTES = _HEAD.size  # zeros in a journal that is empty
_COUNTERS = struct.Struct("=8qQ")  # totals, number of tokens
# Lengths of name and content.  -1: there was no such file; below: its length, counted down from -2,
# to which the file of a block is cut.
_FILE = struct.Struct("=Hq")
_CUT = -2


class Before(NamedTuple):
    """The state before a change: totals, tokens with their counters as stored, files by name.

    `blocks` are the lengths of files of blocks.
    """

    totals: Totals
    tokens: array[int]  # 'Q'
    spam: array[int]  # 'Q'; both 0: there was no such token
    innocent: array[int]  # 'Q'
    files: Mapping[str, bytes | None]
    blocks: Mapping[str, int] = {}


class Journal:
    """The journal of one hash file.  All methods block and may raise OSError.

    An empty journal begins with zeros, whatever follows: cutting a file short makes
    file systems force it to the disk, which takes longer than all the rest.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None  # stays open: every message asks twice
        self._large = False  # whether it is to give back its space

    @property
    def descriptor(self) -> int:
        """That of the open file, else -1."""
        return -1 if self._file is None else self._file

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def pending(self) -> bool:
        """Whether a change began and did not finish; opens the journal again if another process removed it.

        Each change asks first, under the same lock.
        """
        while True:
            try:
                begun = _files.begun(self._opened(), HEAD_BYTES)
            except FileNotFoundError:
                return False
            if begun is not None:
                return begun
            self.close()

    def begin(self, before: Before) -> None:
        try:
            write_all(self._opened(create=True), self._record(before))
        except OSError:
            self.clear()
            raise

    def begin_with(self, before: Before, path: Path, content: bytes, day: int) -> bool:
        """`begin` with one new file of this day, in one step; False if that must be done in two.

        So it must if there is such a file, or no such directory.
        """
        record, file = self._record(before), self._opened(create=True)
        return _files.begin(file, record, os.fsencode(path), content, _FILE_MODE, day)

    def _record(self, before: Before) -> bytes:
        content = _packed(before)
        self._large = len(content) > _KEPT_BYTES
        return _HEAD.pack(len(content), zlib.crc32(content)) + content

    def clear(self) -> None:
        try:
            file = self._opened()
        except FileNotFoundError:
            return
        os.pwrite(file, bytes(HEAD_BYTES), 0)
        if self._large:
            os.ftruncate(file, 0)
            self._large = False

    def read(self) -> Before | None:
        """The state before the change that began; None if the record is incomplete."""
        journal = self._read()
        self._large = len(journal) > _KEPT_BYTES
        if len(journal) < _HEAD.size:
            return None
        length, crc = _HEAD.unpack_from(journal)
        content = journal[_HEAD.size : _HEAD.size + length]
        return _unpacked(content) if (len(content), zlib.crc32(content)) == (length, crc) else None

    def _read(self) -> bytes:
        try:
            file = self._opened()
        except FileNotFoundError:
            return b""
        return os.pread(file, os.fstat(file).st_size, 0)

    def _opened(self, *, create: bool = False) -> int:
        if self._file is None:
            flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0)
            self._file = os.open(self._path, flags, _FILE_MODE)
        return self._file


def write_file(
    path: Path, content: bytes | bytearray, *, durable: bool = False, day: int | None = None
) -> None:
    """Write a file that the owner's group may read and write, whatever the umask is.

    `durable`: it is on the disk afterwards, so that it may take the place of another; zeros are holes in it.
    `day`, counted from 1970-01-01: the file is of this day, whatever the clock of the file system says.
    """
    _files.write(os.fsencode(path), content, _FILE_MODE, durable, day)


def write_all(file: int, content: bytes | bytearray, at: int = 0) -> None:
    """Everything, from there on; where the disk fills up the kernel writes a part, then says so."""
    rest = memoryview(content)
    while rest:
        written = os.pwrite(file, rest, at)
        rest, at = rest[written:], at + written


def _packed(before: Before) -> bytes:
    counters = (before.tokens, before.spam, before.innocent)
    parts = [_COUNTERS.pack(*before.totals, len(before.tokens)), *(column.tobytes() for column in counters)]
    for name, content in before.files.items():
        parts.append(_FILE.pack(len(name.encode()), -1 if content is None else len(content)))
        parts.append(name.encode() + (content or b""))
    for name, length in before.blocks.items():
        parts.append(_FILE.pack(len(name.encode()), _CUT - length) + name.encode())
    return b"".join(parts)


def _unpacked(content: bytes) -> Before:
    *totals, n = _COUNTERS.unpack_from(content)
    end = _COUNTERS.size + 3 * 8 * n
    counters = array("Q", content[_COUNTERS.size : end])
    tokens, spam, innocent = counters[:n], counters[n : 2 * n], counters[2 * n :]
    files: dict[str, bytes | None] = {}
    blocks: dict[str, int] = {}
    for name, length, rest in _beside(content, end):
        if length <= _CUT:
            blocks[name] = _CUT - length
        else:
            files[name] = None if length < 0 else rest
    return Before(Totals(*totals), tokens, spam, innocent, files, blocks)


def _beside(content: bytes, at: int) -> Iterator[tuple[str, int, bytes]]:
    """Name, length as written, and content of each file."""
    while at < len(content):
        name, length = _FILE.unpack_from(content, at)
        at += _FILE.size
        end = at + name + max(0, length)
        yield content[at : at + name].decode(), length, content[at + name : end]
        at = end
