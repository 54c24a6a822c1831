"""The lock of DSPAM's hash files: a POSIX lock on an empty file, `USER.lock`.

The kernel forgets it with the process that holds it, so nothing stale can stay.  It
holds between processes only, and one process must not open the same lock twice:
closing any of its files frees it.  `FileStore` sees to that, because everything that
concerns one owner is done in one thread.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dspamd.errors import TempFail

_FILE_MODE = 0o660
_PAUSE_S = 0.002


@contextmanager
def locked(path: Path, until: float, *, shared: bool = False) -> Iterator[None]:
    """Hold the lock, with others if `shared`.

    Raises `TempFail` if it cannot be had until then (`time.monotonic()`), and OSError.
    """
    file = _acquire(path, until, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(file)


def _acquire(path: Path, until: float, kind: int) -> int:
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE)
        try:
            _wait(file, path, until, kind)
            # Whoever deletes an owner deletes the lock: then it is worth nothing any more.
            if os.fstat(file).st_nlink:
                return file
        except BaseException:
            os.close(file)
            raise
        os.close(file)


def _wait(file: int, path: Path, until: float, kind: int) -> None:
    while True:
        try:
            fcntl.lockf(file, kind | fcntl.LOCK_NB)
            return
        except (BlockingIOError, PermissionError):  # POSIX allows both
            if time.monotonic() > until:
                raise TempFail("Storage is busy", detail=f"{path} is locked") from None
        time.sleep(_PAUSE_S)
