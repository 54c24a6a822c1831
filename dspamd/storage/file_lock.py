"""The lock of DSPAM's hash files: a POSIX lock on an empty file, `USER.lock`.

The kernel forgets it with the process that holds it, so nothing stale can stay.  It
holds between processes only, and one process must not open the same lock twice:
closing any of its files frees it.  `FileStore` sees to that, because everything that
concerns one owner is done in one thread.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dspamd.errors import TempFail
from dspamd.storage import _files

_FILE_MODE = 0o660
_PAUSE_S = 0.002


@contextmanager
def locked(path: Path, until: float, *, shared: bool = False) -> Iterator[None]:
    """Hold the lock, with others if `shared`.

    Raises `TempFail` if it cannot be had until then (`time.monotonic()`), and OSError.
    """
    file = _acquire(path, until, shared)
    try:
        yield
    finally:
        os.close(file)


def _acquire(path: Path, until: float, shared: bool) -> int:
    name = os.fsencode(path)
    while True:
        file = _files.lock(name, shared, _FILE_MODE)
        if file >= 0:
            return file
        # Whoever deletes an owner deletes the lock: then it is worth nothing any more, and made anew.
        if file == _files.BUSY:
            if time.monotonic() > until:
                raise TempFail("Storage is busy", detail=f"{path} is locked")
            time.sleep(_PAUSE_S)
