"""The background writer: small jobs with files, one after the other.

Mail never waits for a job and never fails with it: a job that fails leaves a warning in the
log.  Jobs write what may be lost without harm (copies, marks).  The number of waiting bytes
is limited; above the limit the writer drops jobs, with a warning.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from dspamd.telemetry import log
from dspamd.telemetry.recurring import Recurring

WAITING_BYTES = 64 << 20
_JOB_BYTES = 1024  # the weight of a job itself


class _Late(Exception):
    """More jobs wait than the writer may keep."""


class BackgroundWriter:
    """Does jobs in a thread, in their order."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[Callable[[], None], int]] = deque()
        self._bytes = 0
        self._runner: asyncio.Task[None] | None = None
        self._failed = Recurring("errand_failed", "errands_done_again")
        self._left_out = Recurring("errand_left_out", "errands_taken_again")

    def add(self, work: Callable[[], None], size: int = 0) -> None:
        """Do `work` soon; it keeps `size` bytes in memory until then, and may raise OSError."""
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
        """Wait until all jobs are done."""
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
