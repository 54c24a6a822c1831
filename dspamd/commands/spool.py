"""A message, or an answer, of any size: in memory, and above a limit in a temporary file.

`dspamc` keeps what it read until it has the whole answer, and the answer until it knows its end:
so it can still print the message as it came, and never prints half of anything, also if the disk is
full in the middle of a piece.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False  # typing takes too long to load
if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import FileIO

LIMIT = 1 << 23
"""Bytes that stay in memory."""

CHUNK = 1 << 16


class Spool:
    """Takes bytes piece by piece, and returns them any number of times."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._size = 0
        self._filed = 0  # bytes in the file
        self._pieces: list[bytes] = []
        self._file: FileIO | None = None

    def __bool__(self) -> bool:
        return self._size > 0

    def write(self, piece: bytes) -> None:
        """Raises OSError if there is no room where temporary files are kept; the piece is left out then."""
        if self._size + len(piece) <= self._limit and not self._filed:
            self._size += len(piece)
            self._pieces.append(piece)
            return
        if self._file is None:
            from tempfile import TemporaryFile

            # Unbuffered: a full disk fails the write at once. The file has no name and ends with us.
            self._file = TemporaryFile(buffering=0)  # noqa: SIM115
        write_all(self._file.fileno(), piece)
        self._size += len(piece)
        self._filed += len(piece)

    def pieces(self) -> Iterator[bytes]:
        """The bytes from the beginning; after this, nobody may write any more."""
        yield from self._pieces
        if self._file is not None:
            self._file.seek(0)
            left = self._filed  # a part of a piece that had no room may stand behind
            while piece := self._file.read(min(CHUNK, left)):
                left -= len(piece)
                yield piece


def write_all(descriptor: int, data: bytes) -> None:
    """Write every byte, also to a pipe that does not block.  Raises OSError."""
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except BlockingIOError:
            from select import select

            select((), (descriptor,), ())
