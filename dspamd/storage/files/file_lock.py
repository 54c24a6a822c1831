"""The lock of DSPAM's hash files: a POSIX lock on an empty file, `USER.lock`.

The kernel drops it with the process that holds it, so no stale lock can stay.  It works
between processes only, and one process must not open the same lock twice: closing any
of its files frees it.  `FileStore` ensures this: one thread does all work on one owner.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from dspamd.errors import TempFail
from dspamd.storage.files import _files

_FILE_MODE = 0o660
_PAUSE_S = 0.002


class Seen(NamedTuple):
    """The state beside a lock when a process took it: the file, and its journal if that was open."""

    inode: int  # 0: there is no file
    length: int  # bytes
    begun: bool | None  # None: unknown


class FileLock:
    """The lock at `path` of the file `beside` it; the first `head` bytes of its journal are its state."""

    def __init__(self, path: Path, beside: Path, head: int) -> None:
        self._path, self._beside, self._head = os.fsencode(path), os.fsencode(beside), head

    @contextmanager
    def held(self, until: float, *, shared: bool = False, journal: int = -1) -> Iterator[Seen]:
        """Hold the lock, with others if `shared`; `journal` is the descriptor of an open one.

        Raises `TempFail` if it cannot be had until then (`time.monotonic()`), and OSError.
        """
        file, seen = self._take(until, shared, journal)
        try:
            yield seen
        finally:
            os.close(file)

    def _take(self, until: float, shared: bool, journal: int) -> tuple[int, Seen]:
        while True:
            file, inode, length, begun = _files.lock(
                self._path, shared, _FILE_MODE, self._beside, journal, self._head
            )
            if file >= 0:
                return file, Seen(inode, length, begun)
            # A process that deletes an owner deletes the lock: then this one is void, and we make another.
            if file == _files.BUSY:
                if time.monotonic() > until:
                    raise TempFail("Storage is busy", detail=f"{os.fsdecode(self._path)} is locked")
                time.sleep(_PAUSE_S)
