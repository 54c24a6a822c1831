"""What is remembered of the mail in a user's maildir, so that each label is learned once.

`USER.maildir` below Home has a line for each message: its key, the name of its file, the last place that said
something, and the class that it has for us.  A line is added before its message is taught, or after a
correction, which the store takes once; the last line of a key counts.  The end of a run rewrites the file.

The functions block: call them in a thread.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from dspamd.engine.model import Label
from dspamd.evaluation.maildirs import Place
from dspamd.files import atomic_replace

ENDING = "maildir"
GONE_DAYS = 90
"""Days for which a message that is gone is remembered: it may come back from a backup."""

_MODE = 0o660
_LETTERS = {None: "-", Label.SPAM: "s", Label.INNOCENT: "i"}
_LABELS = {letter: label for label, letter in _LETTERS.items()}


@dataclass(frozen=True, slots=True)
class Remembered:
    """A message: the base of its file, its place, its class for us, the day when it was missed (0: never).

    `signature`: ours, which it bears; empty if none.
    """

    key: str
    base: str
    place: Place
    label: Label | None
    gone: int = 0

    @property
    def signature(self) -> str:
        return self.key[1:] if self.key.startswith("s") else ""

    @property
    def line(self) -> bytes:
        words = (self.key, self.base, self.place.value, _LETTERS[self.label], str(self.gone))
        return "\t".join(words).encode("utf-8", "surrogateescape") + b"\n"


class Memory:
    """The messages that are remembered, by key."""

    def __init__(self, path: Path) -> None:
        """Raises OSError."""
        self._path = path
        self.messages: dict[str, Remembered] = {}
        self._old, self._noted = b"", False
        with suppress(FileNotFoundError):
            self._old = path.read_bytes()
        for line in self._old.splitlines():
            match line.decode("utf-8", "surrogateescape").split("\t"):
                case [key, base, ("j" | "k" | "n") as place, ("-" | "s" | "i") as letter, gone] if (
                    gone.isdecimal()
                ):
                    self.messages[key] = Remembered(key, base, Place(place), _LABELS[letter], int(gone))

    def note(self, message: Remembered) -> None:
        """Add a line at once, before its message is taught.  Raises OSError."""
        file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _MODE)
        try:
            os.write(file, message.line)
        finally:
            os.close(file)
        self.messages[message.key] = message
        self._noted = True

    def save(self, present: set[str], today: int) -> None:
        """Rewrite the file, if anything changed.  `today` is in days since 1970-01-01.  Raises OSError."""
        kept = []
        for message in self.messages.values():
            if message.key in present:
                kept.append(replace(message, gone=0))
            elif today - (message.gone or today) < GONE_DAYS:
                kept.append(replace(message, gone=message.gone or today))
        content = b"".join(message.line for message in kept)
        if content != self._old or self._noted:
            atomic_replace(self._path, content, mode=_MODE)
