"""The processes of a running daemon, from /proc."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from pathlib import Path

from dspamd.daemon.pid_file import holder

_PROC = Path("/proc")
_OPEN_FILES = re.compile(r"^Max open files +(\d+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Daemon:
    """The supervisor and its workers; `uid` is the account of the workers."""

    pid: int
    workers: tuple[int, ...]
    uid: int | None

    @classmethod
    def running(cls, pid_file: Path) -> Daemon | None:
        """The daemon that keeps the file; None if none runs, or we may not look.  Blocks."""
        pid = None
        with contextlib.suppress(OSError):
            pid = holder(pid_file)
        if not pid:
            return None
        workers: tuple[int, ...] = ()
        with contextlib.suppress(OSError, ValueError):
            workers = tuple(map(int, (_PROC / f"{pid}/task/{pid}/children").read_text().split()))
        return cls(pid, workers, _uid(workers[0] if workers else pid))

    def open_files(self) -> int | None:
        """How many files one of its processes may open; None if we may not look."""
        pid = self.workers[0] if self.workers else self.pid
        with contextlib.suppress(OSError):
            found = _OPEN_FILES.search((_PROC / str(pid) / "limits").read_text())
            return int(found[1]) if found else None
        return None


def _uid(pid: int) -> int | None:
    try:
        return (_PROC / str(pid)).stat().st_uid
    except OSError:
        return None
