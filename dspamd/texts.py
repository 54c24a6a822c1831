"""The texts of the administrator: notices to users, and tags under their mail.

They are files in `TxtDirectory`, read once at the start (a reload reads them
again).  A text that is wanted and not there is a mistake in the configuration: it
is told in the log once, and whatever wanted it goes on without (reference/protocols.md
9.3, 11).
"""

from __future__ import annotations

from pathlib import Path

from dspamd import log

NAMES = (
    "firstrun.txt",
    "firstspam.txt",
    "quarantinefull.txt",
    "quarantinesummary.txt",
    "msgtag.spam",
    "msgtag.nonspam",
)


class Texts:
    """The texts in a directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._texts = {name: _read(directory / name) for name in NAMES}
        self._missed: set[str] = set()

    def text(self, name: str) -> bytes:
        """One of `NAMES`; empty if there is none."""
        text = self._texts[name]
        if text is None and name not in self._missed:
            self._missed.add(name)
            log.get().warning("text_missing", file=str(self._directory / name))
        return text or b""


def _read(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except OSError:
        return None
