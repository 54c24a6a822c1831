"""The stores that the contract is tested against, by a name that another process can open too."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from dspamd.home import Home
from dspamd.storage.contract import Storage

DRIVERS = ("sqlite", "hash")
TODAY = date(2026, 11, 20)


def driver(name: str, folder: Path) -> Storage:
    """A store of the driver `name` whose data are below `folder`, not opened yet."""
    if name == "sqlite":
        from dspamd.storage.sqlite import SQLite

        return SQLite(Home(folder), today=lambda: TODAY)
    if name == "hash":
        from dspamd.storage.hash import HashFiles
        from dspamd.storage.hash_file import Shape

        return HashFiles(Home(folder), Shape(seek=10, percent=10), today=lambda: TODAY)
    raise ValueError(name)
