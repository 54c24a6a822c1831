"""Measurements that were interrupted, and go on: a file for each configuration and order.

A file holds a replay as it was after some message, or what was observed in the end.  Its name has a
fingerprint of all that the digits depend on: the program, the messages, the settings, the order, the
feedback.  So a file is used by the same measurement alone.  Files are pickles, in a folder of their owner
that no other account may enter: whoever can write there can run code as that user.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import dspamd
from dspamd.evaluation.corpus import Item
from dspamd.evaluation.counted import Written
from dspamd.evaluation.replay import Record, Replay
from dspamd.files import atomic_replace
from dspamd.storage.memory import Size


class Observed(NamedTuple):
    """The results of a complete replay."""

    record: Record
    written: Written
    size: Size


def default_folder() -> Path:
    """The folder of a user for measurements without a name."""
    caches = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(caches) if caches else Path.home() / ".cache") / "dspam_eval"


def save(path: Path, state: Replay | Observed) -> None:
    """Keep a measurement.  Raises OSError."""
    atomic_replace(path, pickle.dumps(state, pickle.HIGHEST_PROTOCOL), mode=0o600)


def load(path: Path) -> Replay | Observed | None:
    """A saved measurement; None if there is none, or only a broken file."""
    try:
        state = pickle.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except Exception:  # pickle raises whatever broken bytes lead it to
        return None
    return state if isinstance(state, (Replay, Observed)) else None


def discard(path: Path) -> None:
    """Remove what was kept."""
    path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # others may lie there
        path.parent.rmdir()


def fingerprint(items: Iterable[Item], *others: object) -> str:
    """A number for the messages and whatever else counts, as a short text.

    Files of messages count with their names, sizes and times.
    """
    state = hashlib.blake2b(repr((_program(), others)).encode("utf-8", "surrogateescape"), digest_size=10)
    files: dict[str, tuple[int, int]] = {}
    for label, name, message, user in items:
        if message.path not in files:
            found = Path(message.path).stat()
            files[message.path] = found.st_size, found.st_mtime_ns
        seen = label.value, name, message, user, files[message.path]
        state.update(repr(seen).encode("utf-8", "surrogateescape"))
    return state.hexdigest()


def _program() -> list[tuple[str, int, int]]:
    """The files of the program: another version may give other digits."""
    folder = Path(dspamd.__file__).parent
    files = sorted(file for file in folder.rglob("*") if file.suffix in (".py", ".so"))
    return [(str(file), (found := file.stat()).st_size, found.st_mtime_ns) for file in files]
