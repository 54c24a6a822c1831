"""An account that has no more rights than the modes of files give it, and a folder of its own."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

_NOBODY = 65534


@contextlib.contextmanager
def stranger() -> Iterator[None]:
    """Root becomes nobody; all others have no privileges to lose."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(_NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@contextlib.contextmanager
def folder_of_stranger() -> Iterator[Path]:
    """A new folder that the stranger may enter, unlike those that root has for tests."""
    with tempfile.TemporaryDirectory(prefix="dspamd-") as name:
        folder = Path(name)
        give(folder)
        yield folder


def give(path: Path) -> None:
    """Make the stranger the owner of a file."""
    if os.geteuid() == 0:
        os.chown(path, _NOBODY, _NOBODY)
