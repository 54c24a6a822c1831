"""Small jobs with files, done behind the back of the mail, one after the other.

Mail never waits for them and never fails with them: what goes wrong is a warning in
the log.  They are for what may be lost without harm (copies, marks); the number of
bytes that wait is bounded, and what is above is left out, with a warning.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from dspamd.telemetry import log
from dspamd.telemetry.recurring import Recurring

WAITING_BYTES = 64 << 20
_JOB_BYTES = 1024  # what a job weighs by itself


class _Late(Exception):
    """There is more to do than can be kept."""


class BackgroundWriter:
    """Does jobs in the order in which they came, in a thread."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[Callable[[], None], int]] = deque()
        self._bytes = 0
        self._runner: asyncio.Task[None] | None = None
        self._failed = Recurring("errand_failed", "errands_done_again")
        self._left_out = Recurring("errand_left_out", "errands_taken_again")

    def add(self, work: Callable[[], None], size: int = 0) -> None:
        """Have `work` done soon, which keeps `size` bytes in memory; it may raise OSError."""
        size += _JOB_BYTES
        if self._bytes and self._bytes + size > WAITING_BYTES:
            self._left_out.tell(_Late(f"{len(self._waiting)} are not done yet, with {self._bytes} bytes"), "")
            return
        self._left_out.well()
        self._bytes += size
        self._waiting.append((work, size))
        if self._runner is None or self._runner.done():
            self._runner = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Wait until everything is done."""
        if self._runner is not None:
            await self._runner
        self._failed.close()
        self._left_out.close()

    async def _run(self) -> None:
        while self._waiting:
            work, size = self._waiting.popleft()
            try:
                await asyncio.to_thread(work)
                self._failed.well()
            except OSError as error:
                self._failed.tell(error, str(error.filename or ""))
            except Exception:
                log.get().exception("bug")
            finally:
                self._bytes -= size
