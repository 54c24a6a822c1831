"""The refusals of a database that has no place for blocks: when they are logged, and when to look again.

Without that place all mail waits, so the first refusal is an error in the log; the others are counted
(telemetry/recurring.py).  The administrator helps in the database alone: the driver looks again now and
then, and mail flows without a restart.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from dspamd.storage.block import NoBlocks
from dspamd.telemetry import log
from dspamd.telemetry.recurring import Recurring

LOOK_AGAIN_S = 5.0
"""Seconds from one look to the next: each may be a statement that the server refuses, and logs."""


class Refusals:
    """Those of one store; `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._lines = Recurring("blocks_refused", "blocks_kept_again", clock)
        self._clock, self._looked = clock, clock()

    def look_again(self) -> bool:
        """Whether it is time for the next look, which the caller then takes."""
        now = self._clock()
        due = now >= self._looked + LOOK_AGAIN_S
        if due:
            self._looked = now
        return due

    def refused(self, reason: str) -> NoBlocks:
        """The failure to raise, noted in the log."""
        failure = NoBlocks(reason)
        if refused := self._lines.due(failure, "dspamd_block"):
            log.get().error("blocks_refused", refused=refused, reason=failure.detail)
        return failure

    def kept(self) -> None:
        """Note that there is a place."""
        self._lines.well()
