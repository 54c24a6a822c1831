"""Stores for dictionaries, signatures and preferences, one module per driver.

`open_storage` chooses the driver that `StorageDriver` names.  Drivers are imported
when they are chosen: nobody needs the libraries of the others.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING

from dspamd.errors import ConfigError, Problem

if TYPE_CHECKING:  # who needs the contract alone must not pay for these
    from dspamd.config import Config
    from dspamd.home import Home
    from dspamd.storage.contract import Storage


def open_storage(config: Config, home: Home) -> Storage:
    """The store that `StorageDriver` names, not opened yet.

    Only the last part of the path counts, so that a file written for DSPAM names
    the driver by the path of its library.  Raises `ConfigError` for an unknown one.
    """
    driver = PurePath(config.text("StorageDriver")).name.lower()
    if "sqlite" in driver:
        from dspamd.storage.sqlite import SQLite

        return SQLite(home, config.all("SQLitePragma") or None)
    if "hash" in driver:
        from dspamd.storage.hash import HashFiles, shape

        return HashFiles(home, shape(config))
    if "mysql" in driver or "mariadb" in driver:
        from dspamd.storage.mysql import MySQL

        return MySQL.from_config(config, home)
    problem = f"Unable to initialize storage driver {driver!r}"
    raise ConfigError([Problem(config.file, 0, problem)])
