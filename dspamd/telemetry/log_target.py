"""Targets for the lines of the log: stderr, syslog, or a file.

Writing never raises and never waits.  A target drops a line that it cannot write at once,
because mail is worth more than lines about it:

* stderr: if its reader (journald, supervise, a terminal) does not keep up.
* syslog: datagrams to /dev/log as in DSPAM (facility mail).  After a restart of syslog the
  target connects again with the next line.
* a file: if the disk is full.  If somebody moved the file away, the target opens it again
  within a second, so logrotate needs to notify nobody.

Workers inherit the targets of their supervisor, with the files that it opened as root.
"""

from __future__ import annotations

import math
import os
import select
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from dspamd.files import is_still

_SAFE_BYTES = 4096
"""A pipe that poll(2) calls writable takes so many bytes at once and in one piece."""

_LOOK_S = 1.0
_FACILITY_MAIL = 2
_SEVERITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}


class Target(Protocol):
    """Takes lines, from one thread at a time."""

    def open(self) -> None:
        """Open it now, to see whether that works.  Raises `OSError`."""

    def write(self, level: str, line: str, /) -> None:
        """Take a line without its end.  Neither waits nor raises."""

    def close(self) -> None:
        """Close it; another line opens it again."""


class Stderr:
    """A file descriptor that the caller opened, by default standard error."""

    def __init__(self, descriptor: int = 2) -> None:
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)

    def open(self) -> None:
        """Do nothing, because it is open."""

    def write(self, level: str, line: str) -> None:
        rest = _encoded(line)
        try:
            while rest and self._writable():
                rest = rest[os.write(self._descriptor, rest[:_SAFE_BYTES]) :]
        except OSError:
            return  # closed, or full

    def close(self) -> None:
        """Do nothing, because the caller closes it."""

    def _writable(self) -> bool:
        return any(event & select.POLLOUT for _, event in self._poll.poll(0))


class Syslog:
    """The syslog of this host, facility mail; `ident` names the program in its lines."""

    def __init__(self, ident: str, path: str = "/dev/log") -> None:
        self._ident, self._path = ident, path
        self._socket: socket.socket | None = None

    def open(self) -> None:
        try:
            self._connected()
        except OSError:
            self.close()
            raise

    def write(self, level: str, line: str) -> None:
        head = f"<{_FACILITY_MAIL << 3 | _SEVERITIES[level]}>{self._ident}[{os.getpid()}]: "
        datagram = _encoded(head + line)[:-1]
        for _ in range(2):  # once more, if syslog was restarted since the last line
            try:
                self._connected().send(datagram)
            except BlockingIOError:
                return
            except OSError:
                self.close()
            else:
                return

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connected(self) -> socket.socket:
        if self._socket is None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)
            self._socket.connect(self._path)
        return self._socket


class File:
    """A file, made with its directory by the first line if not by `open`; `clock` gives seconds.

    A file that root makes belongs to the owner of its directory, so that a daemon that is root
    only at its start can open the file again.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._clock = path, clock
        self._descriptor: int | None = None
        self._looked = -math.inf
        self._torn = False  # the disk was full, and the file has a part of a line

    def open(self) -> None:
        self._look()

    def write(self, level: str, line: str) -> None:
        try:
            if (now := self._clock()) >= self._looked + _LOOK_S:
                self._looked = now
                self._look()
            if self._descriptor is not None:
                text = b"\n" * self._torn + _encoded(line)
                self._torn = os.write(self._descriptor, text) < len(text)
        except OSError:
            return

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor, self._looked = None, -math.inf

    def _look(self) -> None:
        """Open the file, unless it is open and still in its place.

        If that fails, lines go on into the file that was moved away.
        """
        if self._descriptor is not None and is_still(self._path, self._descriptor):
            return
        directory = self._path.parent
        if not directory.exists():
            directory.mkdir(parents=True, exist_ok=True)
            _give(directory)
        made = not self._path.exists()
        fresh = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        if made:
            _give(self._path)
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor = fresh


def _give(path: Path) -> None:
    """Give a file that we made as root to the owner of its directory."""
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.chown(path, owner.st_uid, owner.st_gid)


def _encoded(line: str) -> bytes:
    return line.encode("utf-8", "backslashreplace") + b"\n"
