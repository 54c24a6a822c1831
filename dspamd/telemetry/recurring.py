"""Trouble that would fill the log with every message: one line at first, then counts.

A full disk, or a file without the right to write, lasts for thousands of messages.  The first
failure is logged with its reason.  After that one line each ten minutes has the number of
further failures, and one line, when all has been well for a minute, their total.

Trouble with the disk is the same for all files; other trouble counts for each file.
"""

from __future__ import annotations

import errno
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from dspamd.file_errors import explained
from dspamd.telemetry import log

AGAIN_S = 600.0
"""Seconds from one line about some trouble to the next."""

WELL_S = 60.0
"""Seconds without trouble after which it is over: on a full disk some small things still fit."""

_EVERYWHERE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EMFILE, errno.ENFILE}
_APART = 1000  # files with lines of their own


@dataclass(slots=True)
class _Trouble:
    lost: int  # in all
    untold: int  # of them
    told: float
    last: float


class Recurring:
    """The lines about one kind of work that fails.  Threads may share it; `clock` gives seconds.

    `event` is the event of a failure, `over` that of its end.
    """

    def __init__(self, event: str, over: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._event, self._over, self._clock = event, over, clock
        self._troubles: dict[tuple[object, str], _Trouble] = {}
        self._turn = threading.Lock()

    def tell(self, error: Exception, file: str, lost: int = 1) -> None:
        """Note a failure with a file, and the number of things that it lost."""
        if untold := self.due(error, file, lost):
            log.get().warning(self._event, file=file, lost=untold, reason=explained(error, file))

    def due(self, error: Exception, file: str, lost: int = 1) -> int:
        """Note a failure for a caller who writes the line; returns the number to tell there, 0 for none.

        `file` may be any word for what fails.
        """
        with self._turn:
            now, kind = self._clock(), self._kind(error, file)
            trouble = self._troubles.setdefault(kind, _Trouble(0, 0, -math.inf, now))
            trouble.lost, trouble.untold, trouble.last = trouble.lost + lost, trouble.untold + lost, now
            if now < trouble.told + AGAIN_S:
                return 0
            untold, trouble.untold, trouble.told = trouble.untold, 0, now
            return untold

    def well(self) -> None:
        """Note a success."""
        if not self._troubles:
            return
        with self._turn:
            now = self._clock()
            for kind in [kind for kind, each in self._troubles.items() if now >= each.last + WELL_S]:
                log.get().warning(self._over, lost=self._troubles.pop(kind).lost)

    def close(self) -> None:
        """Log the counts that are not logged yet."""
        with self._turn:
            untold = sum(trouble.untold for trouble in self._troubles.values())
            self._troubles.clear()
        if untold:
            log.get().warning(self._event, lost=untold, reason="as before")

    def _kind(self, error: Exception, file: str) -> tuple[object, str]:
        number = error.errno if isinstance(error, OSError) else type(error)
        if number in _EVERYWHERE or len(self._troubles) >= _APART:
            return number, ""
        return number, file
