"""The process of a server that a test starts, and ends as it likes."""

from __future__ import annotations

import atexit
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

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


def server_folder(name: str) -> Path:
    """A new folder for a server, short since the path of a socket has 107 bytes.  It goes when we end.

    Not with the server: on a busy machine its hundreds of databases take minutes to remove, and the last
    test that had one would pay with its own time.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"dspamd-{name}-"))
    atexit.register(shutil.rmtree, folder)
    return folder
