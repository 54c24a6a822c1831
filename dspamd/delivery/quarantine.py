"""The quarantine: one mbox file of spam per user, in the format of `mail.kept`.

The web pages read, release and delete in the same file; both sides hold an fcntl
lock while they write (reference/protocols.md 5.1).

A message is on disk when `keep` returns.  If the message cannot be written whole (disk
full, no lock in time) the file stays as it was, and the mail stays with its sender: `TempFail`.
A line end separates new messages from a torn one that a crash left behind.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from weakref import WeakValueDictionary

from dspamd.errors import Reply, TempFail
from dspamd.file_errors import explained
from dspamd.files import is_still, make_folders
from dspamd.mail.kept import entry

_THREADS = 4
_POLL_S = 0.05  # between two tries for a lock of another process
_DISK_TIMEOUT_S = 30.0  # to write, under the lock of the mailbox


class Quarantine:
    """Appends to mailboxes, each message whole or not at all.

    `timeout_s` bounds the wait for the lock of a mailbox; `clock` gives the time for the
    `From QUARANTINE` line in seconds.
    """

    def __init__(self, *, timeout_s: float, clock: Callable[[], float] = time.time) -> None:
        self._timeout_s = timeout_s
        self._clock = clock
        self._threads = ThreadPoolExecutor(_THREADS, "quarantine")
        # fcntl locks hold between processes only; within this process a mailbox has one of these.
        self._locks: WeakValueDictionary[Path, Lock] = WeakValueDictionary()

    async def keep(self, mailbox: Path, content: bytes) -> Reply:
        """Append a message with either line ends.  Raises `TempFail`."""
        lock = self._locks.setdefault(mailbox, Lock())
        deadline = time.monotonic() + self._timeout_s
        try:
            async with asyncio.timeout(self._timeout_s + _DISK_TIMEOUT_S):
                await asyncio.get_running_loop().run_in_executor(
                    self._threads, _append, mailbox, entry(content, time.ctime(self._clock())), lock, deadline
                )
        except TimeoutError as error:
            raise TempFail("Quarantine is busy", detail=str(mailbox)) from error
        except OSError as error:
            raise TempFail("Unable to quarantine", detail=explained(error, mailbox)) from error
        return Reply(250, "2.0.0", "Quarantined")

    async def close(self) -> None:
        self._threads.shutdown(wait=False)


def _append(mailbox: Path, text: bytes, lock: Lock, deadline: float) -> None:
    if not lock.acquire(timeout=max(0.0, deadline - time.monotonic())):
        raise TimeoutError
    try:
        make_folders(mailbox.parent)
        with _locked(mailbox, deadline) as file:
            _write(file, mailbox, text)
    finally:
        lock.release()


@contextmanager
def _locked(mailbox: Path, deadline: float) -> Iterator[int]:
    """The open mailbox, created if there is none, under its lock."""
    while True:
        file = os.open(mailbox, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o660)
        try:
            _lock(file, deadline)
            if is_still(mailbox, file):
                yield file
                return
        finally:
            os.close(file)


def _lock(file: int, deadline: float) -> None:
    while time.monotonic() < deadline:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except (BlockingIOError, PermissionError):  # EAGAIN or EACCES, as the system likes
            time.sleep(_POLL_S)
    raise TimeoutError


def _write(file: int, mailbox: Path, text: bytes) -> None:
    size = os.fstat(file).st_size
    torn = size > 0 and os.pread(file, 1, size - 1) != b"\n"
    rest = memoryview(b"\n\n" + text if torn else text)
    try:
        while rest:
            rest = rest[os.write(file, rest) :]
        os.fsync(file)
    except OSError:
        with suppress(OSError):
            os.ftruncate(file, size)
        raise
    if size == 0:
        _sync_folder(mailbox.parent)


def _sync_folder(folder: Path) -> None:
    """Bring the name of a new mailbox to the disk, too."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
