"""The mail of a user in their maildir, and the label that its folder gives it.

A user labels mail by what they do with it: they move it to Junk, or out of there, or read it and keep it.
Mail in Trash says nothing, nor does what they wrote themselves.

A maildir comes from its owner, so nothing in it is trusted: symbolic links and special files are passed over.
These functions block: call them in a thread.
"""

from __future__ import annotations

import enum
import os
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from dspamd.engine.model import Label
from dspamd.mail import headers, signature

JUNK = ("Junk", "Spam", "Junk E-mail", "Bulk Mail")
"""Names of folders for spam, in any case, with all folders below them."""

SILENT = (
    "Trash", "Deleted Items", "Deleted Messages", "Sent", "Sent Items", "Sent Messages", "Drafts", "Outbox",
    "Templates",
)  # fmt: skip
"""Names of folders that say nothing."""

_HEAD = 65_536  # bytes of a message that are searched for its names
_INNOCENT = (b"Innocent", b"Whitelisted")
_PLACEHOLDER = re.compile(r"%[und]|\*")


class Place(enum.Enum):
    """The kind of folder that holds a message."""

    JUNK = "j"
    KEPT = "k"
    SILENT = "n"


class Entry(NamedTuple):
    """A file with a message.

    `base` is its inode and its name without the flags: what both name needs no other look.  `seen`: it was
    read, and is not about to be deleted.
    """

    path: str
    base: str
    place: Place
    seen: bool
    arrived: float  # seconds of the epoch; moving keeps it


class Names(NamedTuple):
    """The names of folders, in small letters."""

    junk: frozenset[str]
    silent: frozenset[str]

    @classmethod
    def of(cls, junk: Sequence[str], silent: Sequence[str]) -> Names:
        return cls(frozenset(map(str.lower, junk)), frozenset(map(str.lower, silent)))

    def place(self, folder: str) -> Place:
        """The kind of a folder, by its name and those of the folders above it."""
        parts = set(re.split(r"[/.]", folder.lower()))
        return Place.SILENT if parts & self.silent else Place.JUNK if parts & self.junk else Place.KEPT


def users(pattern: str) -> list[tuple[str, Path]]:
    """The users whose maildirs a pattern finds, by name.

    `%u` in it stands for a user, `%n` and `%d` for the two parts of an address; without them the first `*`
    is the user.
    """
    named = pattern if "%" in pattern else pattern.replace("*", "%u", 1)
    shape = "".join(_shape(part) for part in re.split(r"(%[und]|\*)", named))
    found = []
    for path in Path("/").glob(_PLACEHOLDER.sub("*", named).strip("/")):
        match = re.fullmatch(shape, str(path))
        if match and path.is_dir() and not path.is_symlink():
            parts = match.groupdict()
            name = parts.get("u") or parts.get("n", "")
            found.append((f"{name}@{parts['d']}" if "d" in parts and "n" in parts else name, path))
    return sorted((name, path) for name, path in found if name)


def _shape(part: str) -> str:
    if part in ("%u", "%n", "%d"):
        return f"(?P<{part[1]}>[^/]+)"
    return "[^/]*" if part == "*" else re.escape(part)


def entries(maildir: Path, names: Names) -> Iterator[Entry]:
    """All messages of a maildir, with its folders as Dovecot and Courier lay them out (`.A.B`, or `A/B`).

    Raises OSError.
    """
    waiting = [("", maildir)]
    while waiting:
        folder, path = waiting.pop()
        place = names.place(folder)
        with os.scandir(path) as found:
            below = [entry.name for entry in found if entry.is_dir(follow_symlinks=False)]
        for name in below:
            if name in ("cur", "new"):
                yield from _messages(path / name, place)
            elif name != "tmp" and (path / name / "cur").is_dir():
                waiting.append((f"{folder}/{name}", path / name))


def _messages(path: Path, place: Place) -> Iterator[Entry]:
    with os.scandir(path) as files:
        for entry in files:
            if entry.name.startswith("."):
                continue
            with suppress(FileNotFoundError):  # a mail program is moving it
                if entry.is_file(follow_symlinks=False) and entry.name.isprintable():
                    base, _, flags = entry.name.partition(":2,")
                    found = entry.stat(follow_symlinks=False)
                    seen = "S" in flags and "T" not in flags
                    yield Entry(entry.path, f"{found.st_ino}/{base}", place, seen, found.st_mtime)


class Known(NamedTuple):
    """The facts in a message: its permanent name, our signature, and our class for it."""

    key: str
    signature: str
    label: Label | None


def look(path: str) -> Known:
    """Look at the head of a message.  Raises OSError."""
    head = read(path, _HEAD)
    block = head[: headers.block_end(head)]
    ids = [
        value for value in headers.values(block, signature.HEADER) if signature.valid(value.decode("latin-1"))
    ]
    if ids:
        id_ = ids[-1].decode()
        return Known(f"s{id_}", id_, _label(block))
    named = headers.values(block, b"message-id")[:1]
    content = named[0] if named and named[0].strip() else read(path, None)
    return Known(f"m{blake2b(content.strip(), digest_size=16).hexdigest()}", "", _label(block))


def _label(block: bytes) -> Label | None:
    """The class that our headers name: a correction, or else the verdict."""
    for field in (b"x-dspam-reclassified", b"x-dspam-result"):
        if found := headers.values(block, field):
            return Label.INNOCENT if found[-1].strip() in _INNOCENT else Label.SPAM
    return None


def read(path: str, most: int | None) -> bytes:
    """Up to `most` bytes of a message.  Raises OSError, also for what is no plain file any more."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(f"{path}: it is no file")
        return file.read() if most is None else file.read(most)
