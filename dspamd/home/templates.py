"""The texts of the administrator: notices to users, and tags under their mail.

They are files in `TxtDirectory`; the daemon reads them once at the start, and again at a
reload.  A missing text is a mistake in the configuration: it leads to a line in the log, and
mail goes on without the text (reference/protocols.md 9.3, 11).  The start looks for the texts that
dspam.conf asks for (`lacking`); those of a user's preferences are looked for at their first use.
"""

from __future__ import annotations

from pathlib import Path

from dspamd.config.config import Config, contains
from dspamd.errors import Problem
from dspamd.telemetry import log

NOTICES = ("firstrun.txt", "firstspam.txt", "quarantinefull.txt")
NAMES = (*NOTICES, "quarantinesummary.txt", "msgtag.spam", "msgtag.nonspam")


class Texts:
    """The texts in a directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._texts = {name: _read(directory / name) for name in NAMES}  # or the reason why there is none
        self._missed: set[str] = set()

    def text(self, name: str) -> bytes:
        """One of `NAMES`; empty if there is none."""
        text = self._texts[name]
        if isinstance(text, bytes):
            return text
        if name not in self._missed:
            self._missed.add(name)
            log.get().warning("text_missing", file=str(self._directory / name), reason=text.strerror)
        return b""


def lacking(config: Config, directory: Path) -> list[Problem]:
    """The texts that dspam.conf asks for, for all users, and that `directory` lacks."""
    wanted: tuple[str, ...] = NOTICES if config.Notifications else ()
    for preference, name in ("tagSpam=on", "msgtag.spam"), ("tagNonspam=on", "msgtag.nonspam"):
        wanted += (name,) * contains(config.Preference, preference)
    found = [(name, _read(directory / name)) for name in wanted]
    return [
        config.problem("TxtDirectory", f"{directory / name}: {text.strerror}; mail goes without it")
        for name, text in found
        if isinstance(text, OSError)
    ]


def _read(file: Path) -> bytes | OSError:
    try:
        return file.read_bytes()
    except OSError as error:
        return error
