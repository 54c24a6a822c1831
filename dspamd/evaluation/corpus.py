"""Corpora: labelled messages in the order in which they came.

A corpus is an index (`ham|spam path` a line, paths relative to it), or folders, maildirs, mboxes and single
messages of ham and of spam.  A message is read when its turn comes, so a corpus may exceed the memory.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import NamedTuple

from dspamd.engine.model import Label
from dspamd.errors import UsageError
from dspamd.file_errors import explained
from dspamd.mail import headers

LABELS = {"spam": Label.SPAM, "ham": Label.INNOCENT, "nonspam": Label.INNOCENT}
ORDERS = ("date", "name")
_HEAD = 65_536  # bytes of a message that are searched for its date
_DATE = 200  # bytes of a field that are read as one


class UnusableCorpus(UsageError):
    """A place of mail that cannot be read, or that holds no message of a class."""

    exit_status = 2  # that of dspam_train


class Message(NamedTuple):
    """The bytes from `start` to `end` of a file; `end` None: all of it."""

    path: str
    start: int = 0
    end: int | None = None

    def read(self) -> bytes:
        """Raises OSError."""
        with open(self.path, "rb") as file:  # noqa: PTH123  a path that is no object takes half of the memory
            file.seek(self.start)
            return file.read() if self.end is None else file.read(self.end - self.start)


class Item(NamedTuple):
    """A message of a corpus: its true label, its name, and its user."""

    label: Label
    name: str
    message: Message
    user: str = ""

    def read(self) -> bytes:
        """The message.  Raises OSError."""
        return self.message.read()


def messages(path: Path) -> list[tuple[str, Message]]:
    """Names and places of the messages of a folder, a maildir or an mbox, by their names.

    A file that is no mbox is a message.

    Raises OSError, and `UnusableCorpus` for anything else.
    """
    if path.is_dir():
        folders = [path / "cur", path / "new"] if (path / "cur").is_dir() else [path]
        files = [file for folder in folders for file in sorted(folder.iterdir()) if file.name[0] != "."]
        return [(str(file), Message(str(file))) for file in files if file.is_file()]
    if not path.is_file():
        raise UnusableCorpus(f'Corpus "{path}" must be either a MBOX file or a maildir directory.')
    with path.open("rb") as file:
        mbox = file.read(5) == b"From "
    if not mbox:
        return [(str(path), Message(str(path)))]
    return [(f"{path}:{number}", place) for number, place in enumerate(_mbox(path))]


def _mbox(path: Path) -> Iterator[Message]:
    """The messages of an mbox: each follows a line that begins with "From ", and ends before an empty one."""
    start, at, blank = None, 0, False
    with path.open("rb") as file:
        for line in file:
            if line.startswith(b"From "):
                if start is not None:
                    yield Message(str(path), start, at - blank)
                start = at + len(line)
            at += len(line)
            blank = line == b"\n"
    if start is not None:
        yield Message(str(path), start, at - blank)


def index_lines(path: Path) -> Iterator[tuple[int, str, str]]:
    """Number, label and path of each line of an index.  Raises `UnusableCorpus` if it cannot be read."""
    try:
        lines = path.read_text("utf-8", "surrogateescape").splitlines()
    except OSError as error:
        raise UnusableCorpus(f'Failed to open index file "{path}": {error.strerror}') from error
    for number, line in enumerate(lines, 1):
        label, _, name = line.strip().partition(" ")
        if label:
            yield number, label, name.strip()


def from_index(path: Path) -> list[Item]:
    """The corpus of an index, in its order.

    Raises `UnusableCorpus`, with file and line for a line that says nothing, or whose file cannot be read.
    """
    items = []
    for number, label, name in index_lines(path):
        if label not in LABELS:
            raise UnusableCorpus(f"{path}:{number}: '{label}' is neither spam nor ham")
        if not name:
            raise UnusableCorpus(f"{path}:{number}: there is no path after '{label}'")
        message = Message(str(path.parent / name))
        if trouble := _trouble(message.path):
            raise UnusableCorpus(f"{path}:{number}: {trouble}")
        items.append(Item(LABELS[label], name, message))
    return complete(items, str(path))


def _trouble(path: str) -> str:
    """Why a file cannot be read; empty if it can."""
    if os.access(path, os.R_OK) and Path(path).is_file():
        return ""
    try:
        Message(path).read()
    except OSError as error:
        return explained(error, path)
    return f"{path}: it is no file"


def from_folders(ham: Iterable[Path], spam: Iterable[Path], order: str) -> list[Item]:
    """The corpus of folders, maildirs and mboxes, by `date` or by `name`.  Raises `UnusableCorpus`."""
    items = []
    for label, paths in ((Label.INNOCENT, ham), (Label.SPAM, spam)):
        for path in paths:
            try:
                items += [Item(label, name, message) for name, message in messages(path)]
            except OSError as error:
                raise UnusableCorpus(explained(error, path)) from error
    if order == "date":
        try:
            items.sort(key=lambda item: (_arrival(item.message), item.name))
        except OSError as error:
            raise UnusableCorpus(explained(error)) from error
    else:
        items.sort(key=lambda item: (Path(item.message.path).name, item.name))
    return complete(items, "the corpus")


def _arrival(message: Message) -> float:
    """When a message came, in seconds of the epoch.

    It is the time of our own mail server, in the first Received field; else that of Date, else
    that of the file.
    """
    with open(message.path, "rb") as file:  # noqa: PTH123
        file.seek(message.start)
        size = _HEAD if message.end is None else min(_HEAD, message.end - message.start)
        head = file.read(size)
        modified = os.fstat(file.fileno()).st_mtime
    head = head[: headers.block_end(head)]
    received = [value.rpartition(b";")[2] for value in headers.values(head, b"received")[:1]]
    for value in (*received, *headers.values(head, b"date")[:1]):
        if (seconds := time_of(value)) is not None:
            return seconds
    return modified


def time_of(field: bytes) -> float | None:
    """The time that a field tells, in seconds of the epoch; None if it tells none since then."""
    try:
        date = parsedate_to_datetime(field[:_DATE].decode("ascii", "replace").strip())
        seconds = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
    return seconds if seconds >= 0 else None


@dataclass(frozen=True, slots=True)
class Users:
    """Whose mail a message is.

    `by_folder`: the first folder of its name.  `named`: the user of its path, or of the longest beginning
    of it.  Otherwise there is one user.
    """

    by_folder: bool = False
    named: Mapping[str, str] | None = None
    file: str = ""

    @classmethod
    def read(cls, path: Path) -> Users:
        """The users that a file names, `path user` a line.  Raises `UnusableCorpus`."""
        try:
            lines = path.read_text("utf-8", "surrogateescape").splitlines()
        except OSError as error:
            raise UnusableCorpus(explained(error, path)) from error
        named = {}
        for number, line in enumerate(lines, 1):
            place, _, user = line.strip().rpartition(" ")
            if bool(place) != bool(user):
                raise UnusableCorpus(f"{path}:{number}: not a path and a user")
            if user:
                named[place.strip().rstrip("/")] = user
        return cls(named=named, file=str(path))

    def of(self, items: Sequence[Item]) -> list[Item]:
        """The items with their users.  Raises `UnusableCorpus` for a message without one."""
        return [item._replace(user=self._user(item.name)) for item in items]

    def _user(self, name: str) -> str:
        if self.named is not None:
            place = name
            while place and place not in self.named:
                place = place.rpartition("/")[0]
            if not place:
                raise UnusableCorpus(f"{self.file}: it names no user for {name}")
            return self.named[place]
        first, folder, _ = name.partition("/")
        if self.by_folder and not (folder and first):
            raise UnusableCorpus(f"{name}: it lies in no folder that could be that of a user")
        return first if self.by_folder else "user"


def complete(items: list[Item], name: str) -> list[Item]:
    """The items.  Raises `UnusableCorpus` if one of the classes has no message."""
    for word, label in (("ham", Label.INNOCENT), ("spam", Label.SPAM)):
        if not any(item.label is label for item in items):
            raise UnusableCorpus(f"{name}: there is no {word}")
    return items
