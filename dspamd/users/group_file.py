"""The file of groups, which is read again when it has changed.

Administrators edit it while the daemon runs.  At most once a second a thread checks whether the file has
changed.  A new version with an error does not count: the groups stay as they were, and the log names
the wrong line.  The first version counts as far as its lines are valid, since otherwise the mail of the whole
site would wait.

Without a file there are no groups.  If the file cannot be read, users stay in their groups: their mail
would be learned in the wrong dictionary otherwise.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

from dspamd.errors import TempFail
from dspamd.file_errors import explained
from dspamd.telemetry import log
from dspamd.users.groups import Groups

INTERVAL_S = 1.0
"""The longest time until a change applies."""

DEADLINE_S = 5.0
"""For reading the file, which may be on a server that does not answer."""

Stamp = tuple[int, int, int] | None  # differs between two versions of the file; None: there is no file


class GroupFile:
    """Gives the groups of a site; several tasks may ask at once."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._clock = path, clock
        self._groups: Groups | None = None
        self._stamp: Stamp = None
        self._due = float("-inf")
        self._look: asyncio.Task[None] | None = None

    async def groups(self) -> Groups:
        """The groups in force, the same object until they change.

        Raises `TempFail` if the file cannot be read and never was.
        """
        if self._clock() >= self._due:
            if self._look is None:
                self._look = asyncio.create_task(self._refresh())
            _, late = await asyncio.wait((self._look,), timeout=DEADLINE_S)
            if late:  # no other task waits for it before the next look is due
                self._due = self._clock() + INTERVAL_S
        if self._groups is None:
            raise TempFail("Groups unknown at present", detail=f"{self._path} cannot be read")
        return self._groups

    async def _refresh(self) -> None:
        try:
            version = await asyncio.to_thread(self._read)
        except OSError as error:
            log.get().error("groups_unreadable", file=str(self._path), reason=explained(error, self._path))
        else:
            if version is not None:
                self._take(*version)
        finally:
            self._due, self._look = self._clock() + INTERVAL_S, None

    def _read(self) -> tuple[Stamp, str] | None:
        """The file with its stamp, None if it has not changed.  Blocks; raises OSError."""
        try:
            with self._path.open("rb") as file:
                status = os.fstat(file.fileno())
                stamp = (status.st_ino, status.st_mtime_ns, status.st_size)
                if stamp == self._stamp:
                    return None
                return stamp, file.read().decode("utf-8", "surrogateescape")
        except FileNotFoundError:
            return None if self._stamp is None and self._groups is not None else (None, "")

    def _take(self, stamp: Stamp, text: str) -> None:
        groups, problems = Groups.parse(text, str(self._path))
        for problem in problems:
            log.get().error("group_refused", file=problem.file, line=problem.line, text=problem.text)
        if self._groups is None or not problems:
            self._groups = groups
        else:
            log.get().error("groups_kept", file=str(self._path), reason="of what is wrong in the new file")
        self._stamp = stamp
