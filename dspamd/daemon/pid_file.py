"""The file that names the process of the daemon (`ServerPID`).

It holds the decimal number of the process and a line feed, as in DSPAM.  The living
daemon keeps a lock on it.  A file without a lock is left over from a daemon that was
killed, whatever process has its number now.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
from collections.abc import Iterator
from pathlib import Path

from dspamd.files import is_still

_FLOCK = "hhqqi4x"  # type, whence, start, length, process (fcntl(2), where numbers of files have 64 bits)


@contextlib.contextmanager
def pid_file(path: Path) -> Iterator[None]:
    """Keep the file while the body runs.

    Raises `OSError`, with EEXIST if another daemon runs.
    """
    descriptor = _locked(path)
    try:
        os.ftruncate(descriptor, 0)
        os.fchmod(descriptor, 0o644)  # whatever the umask: operators read it
        os.write(descriptor, b"%d\n" % os.getpid())
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()
        os.close(descriptor)


def holder(path: Path) -> int | None:
    """The process of the daemon that keeps the file; None if none does.

    It asks for the lock, and does not take it: a daemon that starts at this moment is not kept from it.
    Raises `OSError` if the file cannot be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, *_, pid = struct.unpack(_FLOCK, fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))
        return None if kind == fcntl.F_UNLCK else pid
    finally:
        os.close(descriptor)


def _locked(path: Path) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            # A record lock belongs to one process: workers do not inherit it.
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if is_still(path, descriptor):
                return descriptor
        except BlockingIOError:
            pid = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
            os.close(descriptor)
            raise FileExistsError(errno.EEXIST, f"another daemon runs as process {pid}", str(path)) from None
        os.close(descriptor)  # another daemon has just ended and removed it
