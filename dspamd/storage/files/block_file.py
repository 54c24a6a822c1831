"""A block in a file, `USER.block/NAME`: the base and the changes to it, one record after the other.

A change is one append.  The last record has the version of the block, so a reader at that
version reads no more; others read backwards until they have all missing changes.

Each record has a checksum.  A machine that dies may leave bytes behind the last sound record:
readers ignore them, and the next change overwrites them.  For a process that dies, the
journal (`journal.py`) cuts the file, as it undoes all that a change to hash files writes.

All functions block, need the owner's lock, and may raise OSError.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from dspamd.files import make_folder, replacement
from dspamd.storage.block import NO_BLOCK, Block, begins_anew, first_version
from dspamd.storage.files.journal import write_all, write_file

_FILE_MODE = 0o660
_HEAD = struct.Struct("<QQII")  # version, version of the base, length of data, CRC-32 of all but itself
_CHECKED = _HEAD.size - 4
_TAIL = struct.Struct("<I")  # length of data again, to read backwards
_UNFINISHED = "new"


class _Record(NamedTuple):
    start: int  # where it is in the file
    version: int
    base_version: int
    data: bytes


def length(path: Path) -> int:
    """Length of the file up to its last sound record; 0 if there is none."""
    with _opened(path) as file:
        return 0 if file is None else _sound_length(file)


def append(path: Path, end: int, data: bytes) -> None:
    """Append a change to a file that is sound up to `end`."""
    with _opened(path, create=True) as file:
        assert file is not None
        last = _before(file, end)
        os.ftruncate(file, end)
        if last is None:
            version = base_version = first_version()
            fresh = _packed(version, version, b"")
        else:
            version, base_version, fresh = last.version, last.base_version, b""
        write_all(file, fresh + _packed(version + 1, base_version, data), end)


def cut(path: Path, end: int) -> None:
    """Cut off everything after `end`."""
    if end:
        with suppress(FileNotFoundError):
            os.truncate(path, end)
    else:
        path.unlink(missing_ok=True)


def read(path: Path, since: int) -> Block:
    """The part of the block that a reader at version `since` lacks."""
    with _opened(path) as file:
        return NO_BLOCK if file is None else _read(file, since)


def fold(path: Path, version: int, data: bytes, expected: int | None = None) -> bool:
    """Rewrite the file with another base, unless its base is as new, or its version not the expected one."""
    block = read(path, 0)
    if block.base_version >= version or expected not in (None, block.version):
        return False
    rest = block.changes[max(0, version - block.base_version) :]
    records = [_packed(at, version, part) for at, part in enumerate((data, *rest), version)]
    make_folder(path.parent)
    with replacement(path, _UNFINISHED) as fresh:
        write_file(fresh, b"".join(records), durable=True)
    return True


def names(folder: Path) -> list[str]:
    with suppress(FileNotFoundError):
        found = (file for file in folder.iterdir() if file.suffix != f".{_UNFINISHED}")
        return sorted(file.name for file in found if length(file))
    return []


@contextmanager
def _opened(path: Path, *, create: bool = False) -> Iterator[int | None]:
    """The descriptor of the file; None if it does not exist."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        if not create:
            yield None
            return
        make_folder(path.parent)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE)
        os.fchmod(file, _FILE_MODE)  # whatever the umask is
    try:
        yield file
    finally:
        os.close(file)


def _read(file: int, since: int) -> Block:
    last = _before(file, _sound_length(file))
    if last is None:
        return NO_BLOCK
    anew = begins_anew(since, last.base_version, last.version)
    stop = last.base_version if anew else since
    changes: list[bytes] = []
    record = last
    while record.version > stop:
        changes.append(record.data)
        record = _sound_before(file, record.start)
    return Block(last.version, last.base_version, record.data if anew else None, tuple(reversed(changes)))


def _sound_length(file: int) -> int:
    """The end of the file if a record ends there, else of its last record, which takes reading all."""
    end = os.fstat(file).st_size
    if not end or _before(file, end) is not None:
        return end
    end = 0
    while (record := _at(file, end)) is not None:
        end += _HEAD.size + len(record.data) + _TAIL.size
    return end


def _sound_before(file: int, end: int) -> _Record:
    record = _before(file, end)
    if record is None:
        raise OSError(f"a record of a block is damaged before byte {end}")
    return record


def _before(file: int, end: int) -> _Record | None:
    """The record that ends there, if there is a sound one."""
    if end < _HEAD.size + _TAIL.size:
        return None
    (size,) = _TAIL.unpack(os.pread(file, _TAIL.size, end - _TAIL.size))
    start = end - _TAIL.size - size - _HEAD.size
    return _at(file, start) if start >= 0 else None


def _at(file: int, start: int) -> _Record | None:
    """The record that begins there, if it is sound."""
    head = os.pread(file, _HEAD.size, start)
    if len(head) < _HEAD.size:
        return None
    version, base_version, size, crc = _HEAD.unpack(head)
    rest = os.pread(file, size + _TAIL.size, start + _HEAD.size)
    sound = len(rest) == size + _TAIL.size and rest[size:] == _TAIL.pack(size)
    if not sound or zlib.crc32(rest[:size], zlib.crc32(head[:_CHECKED])) != crc:
        return None
    return _Record(start, version, base_version, rest[:size])


def _packed(version: int, base_version: int, data: bytes) -> bytes:
    head = _HEAD.pack(version, base_version, len(data), 0)[:_CHECKED]
    crc = zlib.crc32(data, zlib.crc32(head))
    return head + struct.pack("<I", crc) + data + _TAIL.pack(len(data))
