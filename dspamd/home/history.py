"""The history files of DSPAM: system.log, user logs, statistics.

Scripts, graphs and the old web pages read them, so their formats stay
(reference/storage.md 7).  `History` writes a record only after the next hop took the message.
It gathers records, and one thread at a time appends them: mail never waits for them.
Trouble with them is logged and never stops mail.
"""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from dspamd.engine.model import Label, Lesson, Source, Totals
from dspamd.errors import Failure
from dspamd.files import atomic_replace
from dspamd.home.home import Home
from dspamd.mail.message import Message
from dspamd.telemetry.recurring import Recurring

_NONE = "<None Specified>"
_FIELD_BYTES = 255
_GATHER_S = 0.05  # under load one write has many records
_UTF8 = codecs.getincrementaldecoder("utf-8")  # leaves out a character whose end was cut off
_BLANKS = dict.fromkeys(range(ord(" ")), " ")  # in place of control characters
_LETTERS = {
    "Whitelisted": "W",
    "Virus": "V",
    "Blacklisted": "A",
    "Blocklisted": "O",
    "Spam": "S",
    "Innocent": "I",
}


def letter(name: str, lesson: Lesson | None, *, failed: bool = False) -> str:
    """The class letter of a record: that of a failed delivery, else of a lesson, else of the verdict."""
    if failed:
        return "E"
    if lesson is None:
        return _LETTERS.get(name, "U")
    if lesson.source is Source.ERROR:
        return "M" if lesson.label is Label.SPAM else "F"
    return "N" if lesson.source is Source.INOCULATION else "C"


@dataclass(frozen=True, slots=True)
class Record:
    """One message for one user, as the logs show it."""

    user: str  # the name in system.log
    file_user: str  # the owner of the log file (localStore)
    letter: str
    signature: str
    status: str
    seconds: float
    statistics: str  # the owner of the statistics file (shared group)
    totals: Totals | None  # after the message; None if unknown
    merged: str | None  # the group whose counters `totals` includes
    fields: Fields

    def user_line(self, when: int) -> str:
        sender, subject, message_id = self.fields
        seen = f"{when}\t{self.letter}\t{sender}\t{self.signature}\t{subject}"
        return f"{seen}\t{self.status}\t{message_id}\n\n"

    def system_line(self, when: int) -> str:
        sender, subject, message_id = self.fields
        seen = f"{when}\t{self.letter}\t{sender}\t{self.signature}\t{subject}"
        return f"{seen}\t{self.seconds:f}\t{self.user}\t{self.status}\t{message_id}\n"

    def statistics_lines(self, totals: Totals) -> str:
        """The content of the statistics file; readers subtract the counters of the merged group."""
        line = ",".join(map(str, counters(totals))) + "\n"
        return line if self.merged is None else f"{line}{self.merged}\n"


class Fields(NamedTuple):
    """Parts of the header of a message, each fit for one field of a tab-separated line."""

    sender: str
    subject: str
    message_id: str

    @classmethod
    def of(cls, message: Message) -> Fields:
        return cls(
            _field(message.first("From"), absent=_NONE),
            _field(message.first("Subject"), absent=_NONE),
            _field(message.first("Message-ID"), absent=""),
        )


def _field(value: bytes | None, absent: str) -> str:
    if value is None:
        return absent
    value = value.strip()
    if len(value) <= _FIELD_BYTES:
        text = value.decode("utf-8", "replace")
    else:
        text = _UTF8("replace").decode(value[:_FIELD_BYTES])
    return text if text.isprintable() else text.translate(_BLANKS)


def counters(totals: Totals) -> tuple[int, int, int, int, int, int]:
    """TP, TN, FN, FP, SC, NC: the counters that users see (engine.md 10), in file order."""
    t = totals
    return (
        max(0, t.spam_learned + t.spam_classified - t.spam_misclassified - t.spam_corpusfed),
        max(0, t.innocent_learned + t.innocent_classified - t.innocent_misclassified - t.innocent_corpusfed),
        t.spam_misclassified,
        t.innocent_misclassified,
        t.spam_corpusfed,
        t.innocent_corpusfed,
    )


class History:
    """Writes records in the background."""

    def __init__(
        self, home: Home, *, system: bool, user: bool, stats: bool, clock: Callable[[], float] = time.time
    ) -> None:
        self._home, self._system, self._user, self._stats = home, system, user, stats
        self._clock = clock
        self._waiting: list[tuple[int, Record]] = []
        self._writer: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()
        self._trouble = Recurring("history_not_written", "history_written_again")

    def add(self, record: Record) -> None:
        """Write a record soon."""
        if not (self._system or self._user or self._stats):
            return
        self._waiting.append((int(self._clock()), record))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._drain())

    async def close(self) -> None:
        """Wait until all records are written."""
        self._closing.set()
        if self._writer is not None:
            await self._writer
        self._trouble.close()

    async def _drain(self) -> None:
        while self._waiting:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), _GATHER_S)
            batch, self._waiting = self._waiting, []
            await asyncio.to_thread(self._write, batch)

    def _write(self, batch: list[tuple[int, Record]]) -> None:
        texts: dict[Path, list[str]] = {}
        stats: dict[Path, str] = {}
        for when, record in batch:
            if self._system:
                texts.setdefault(self._home.system_log, []).append(record.system_line(when))
            with self._told(record.user):
                if self._user:
                    path = self._home.file(record.file_user, "log")
                    texts.setdefault(path, []).append(record.user_line(when))
                if self._stats and record.totals is not None:
                    path = self._home.file(record.statistics, "stats")
                    stats[path] = record.statistics_lines(record.totals)
        for path, lines in texts.items():
            with self._told(path, len(lines)):
                _append(self._home.prepare(path), "".join(lines))
        for path, text in stats.items():
            with self._told(path):
                content = text.encode("utf-8", "surrogateescape")
                atomic_replace(self._home.prepare(path), content, ending=str(os.getpid()))
        self._trouble.well()

    @contextlib.contextmanager
    def _told(self, whose: Path | str, lost: int = 1) -> Iterator[None]:
        """Log trouble with a file, or with a name that cannot have one, and go on."""
        try:
            yield
        except (OSError, Failure) as error:
            self._trouble.tell(error, str(whose), lost)


def _append(path: Path, text: str) -> None:
    """Append whole lines, or none, because readers split them at tabs."""
    content = text.encode("utf-8", "surrogateescape")
    with path.open("ab", buffering=0) as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        size = os.fstat(file.fileno()).st_size
        if file.write(content) < len(content):
            file.truncate(size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
