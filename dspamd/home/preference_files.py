"""Preferences in flat files: `USER.prefs` and `default.prefs`.

One `name=value` on a line, LF or CR LF; a line that starts with `#` is a comment;
the value is everything after the first `=` (reference/config.md 5.3), without a
comment after it (`preferences.meant`).  The web pages of DSPAM read and write the
same files.

A writer replaces the file as a whole, under a lock, so a reader finds the old preferences
or the new ones.  Without a last preference the file is removed.  Their number is not limited.

These functions block: call them in a thread.  The directory must exist.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dspamd.config.preferences import doubt, meant
from dspamd.errors import Problem, TempFail, UsageError
from dspamd.file_errors import explained
from dspamd.files import atomic_replace

_FILE_MODE = 0o660
_LOCK_TIMEOUT = 10.0  # seconds; the lock is held for one short write
_LOCK_PAUSE = 0.01


def read(path: Path) -> dict[str, str]:
    """The preferences in a file, none without a file; the first of a repeated name counts.

    Raises `TempFail` if the file cannot be read.
    """
    preferences: dict[str, str] = {}
    for line in _lines(path):
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            preferences.setdefault(name, meant(name, value))
    return preferences


def doubts(path: Path) -> list[Problem]:
    """Lines that mean something else than in DSPAM, or that have no effect.  Raises `TempFail`."""
    found = []
    for number, line in enumerate(_text(path).split("\n"), 1):
        name, equals, written = line.removesuffix("\r").partition("=")
        if not equals or line.startswith("#"):
            continue
        value = meant(name, written)
        if value != written:
            comment = written[len(value) :].strip()
            text = f'{name} is "{value}"; "{comment}" is a comment, for DSPAM it was part of the value'
            found.append(Problem(str(path), number, text))
        if trouble := doubt(name, value):
            found.append(Problem(str(path), number, f"{name}: {trouble}"))
    return found


def write(path: Path, name: str, value: str | None) -> None:
    """Set one preference, or remove it if `value` is None.

    Raises `UsageError` for a name or value that a line cannot hold, `TempFail` if
    the file cannot be written.
    """
    if not name or name.startswith("#") or any(c in name + (value or "") for c in "\r\n\0"):
        raise UsageError(f"A preference cannot be called or hold that: {name!r}")
    if value is not None and meant(name, value) != value:
        raise UsageError(f"{name}={value} would be read as {name}={meant(name, value)} and a comment")
    try:
        with _locked(path):
            start = f"{name}=".lower()  # names are compared in any case, so one line may hold a name
            lines = [line for line in _lines(path) if not line.lower().startswith(start)]
            if value is not None:
                lines.append(f"{name}={value}")
            _replace(path, lines)
    except OSError as error:
        raise TempFail("Preferences unavailable", detail=explained(error, path)) from error


def _lines(path: Path) -> list[str]:
    return [line.removesuffix("\r") for line in _text(path).split("\n") if line.strip("\r")]


def _text(path: Path) -> str:
    """The text of a file; empty without a file.  Raises `TempFail` if it cannot be read."""
    try:
        return path.read_bytes().decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise TempFail("Preferences unavailable", detail=explained(error, path)) from error


def _replace(path: Path, lines: list[str]) -> None:
    if not lines:
        path.unlink(missing_ok=True)
        return
    content = "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")
    atomic_replace(path, content, mode=_FILE_MODE, durable=True)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file.  The lock is a file of its own, because writers replace the preferences."""
    deadline = time.monotonic() + _LOCK_TIMEOUT
    with path.with_name(path.name + ".lock").open("ab") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise TempFail("Preferences are locked", detail=str(path)) from None
                time.sleep(_LOCK_PAUSE)
        yield
