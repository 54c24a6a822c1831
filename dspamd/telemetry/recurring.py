"""Trouble that would be told with every message: told once, then counted.

A full disk, or a file that may not be written, lasts for thousands of messages.  The
first one is told with its reason; after that one line each ten minutes says how many
more there were, and one line, when all has been well for a minute, how many in all.

Trouble with the disk is the same whatever file it is met at; other trouble is that of
its file.
"""

from __future__ import annotations

import errno
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
_APART = 1000  # files that are told of one by one


@dataclass(slots=True)
class _Trouble:
    lost: int  # in all
    untold: int  # of them
    told: float
    last: float


class Recurring:
    """The lines about one kind of work that fails.  Threads may share it; `clock` gives seconds.

    `event` tells of a failure, `over` of its end.
    """

    def __init__(self, event: str, over: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._event, self._over, self._clock = event, over, clock
        self._troubles: dict[tuple[object, str], _Trouble] = {}
        self._turn = threading.Lock()

    def tell(self, error: Exception, file: str, lost: int = 1) -> None:
        """Something failed with a file, and so many things were lost by it."""
        with self._turn:
            now, kind = self._clock(), self._kind(error, file)
            trouble = self._troubles.setdefault(kind, _Trouble(0, 0, now - AGAIN_S, now))
            trouble.lost, trouble.untold, trouble.last = trouble.lost + lost, trouble.untold + lost, now
            if now >= trouble.told + AGAIN_S:
                log.get().warning(self._event, file=file, lost=trouble.untold, reason=explained(error, file))
                trouble.untold, trouble.told = 0, now

    def well(self) -> None:
        """Something succeeded."""
        if not self._troubles:
            return
        with self._turn:
            now = self._clock()
            for kind in [kind for kind, each in self._troubles.items() if now >= each.last + WELL_S]:
                log.get().warning(self._over, lost=self._troubles.pop(kind).lost)

    def close(self) -> None:
        """Tell what was counted and not told."""
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
