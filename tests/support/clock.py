"""The wall clock of a program, which a test can set.

A small library, preloaded, changes the time of day of one process tree and nothing
else (clock.c): the real program runs, as it does when somebody sets the clock of a
machine.  The monotonic clock goes on.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

SOURCE = Path(__file__).with_name("clock.c")


class Clock:
    """A clock whose files are in `folder`; `environment` puts it into a new process."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        library = folder / "clock.so"
        self.set(0)
        subprocess.run(["gcc", "-O1", "-shared", "-fPIC", "-o", library, SOURCE], check=True, timeout=60)
        self.environment: Mapping[str, str] = {"LD_PRELOAD": str(library), "TEST_CLOCK": str(self._file)}

    def set(self, ahead_s: int) -> None:
        """Set it so many seconds ahead of the true time; negative is back.  At once, for all processes."""
        # Written in place: the processes have mapped this very file.
        with self._file.open("r+b" if self._file.exists() else "wb") as file:
            file.write(ahead_s.to_bytes(8, "little", signed=True))
