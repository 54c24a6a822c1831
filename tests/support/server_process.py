"""The process of a server that a test starts, and ends as it likes."""

from __future__ import annotations

import signal
import subprocess

WITHIN_S = 60
"""Seconds within which a server starts, answers and ends."""


class ServerProcess:
    """The process, while it runs."""

    _process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process that was started, the parent of all others."""
        assert self._process is not None
        return self._process.pid

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._signal(number)
            self._process.wait(WITHIN_S)
            self._process = None
