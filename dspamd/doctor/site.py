"""The site that is examined: its configuration, its files, the account of its daemon."""

from __future__ import annotations

import contextlib
import pwd
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dspamd.app import account_of, home_of, workers_of
from dspamd.config.config import Config
from dspamd.daemon.account import Account
from dspamd.doctor.process import Daemon
from dspamd.home.home import Home


@dataclass(frozen=True, slots=True)
class Site:
    config: Config
    home: Home
    account: Account | None  # of the daemon's workers; None: unknown
    daemon: Daemon | None  # None: it does not run

    @classmethod
    def of(cls, config: Config) -> Site:
        """The site of a configuration.  Blocks; raises `ConfigError`, `LookupError`."""
        daemon = Daemon.running(Path(config.ServerPID))
        return cls(config, home_of(config), _account(config, daemon), daemon)

    @property
    def workers(self) -> int:
        """How many workers the daemon has, or will have."""
        return workers_of(self.config)

    @property
    def owner(self) -> str:
        """The daemon's account and its group, as chown(1) wants them."""
        return f"{self.account.uid}:{self.account.gid}" if self.account else "dspam:dspam"

    @contextlib.contextmanager
    def rights_of_daemon(self) -> Iterator[None]:
        """See in the body what the daemon sees, if we are root."""
        with self.account.borrowed() if self.account else contextlib.nullcontext():
            yield


def _account(config: Config, daemon: Daemon | None) -> Account | None:
    """That of `ServerUser`; else of the daemon that runs; else of the owner of Home."""
    if account := account_of(config):
        return account
    uid = daemon.uid if daemon else _owner(Path(config.Home))
    with contextlib.suppress(KeyError, TypeError):
        entry = pwd.getpwuid(uid)  # type: ignore[arg-type]
        return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
    return None


def _owner(path: Path) -> int | None:
    try:
        return path.stat().st_uid
    except OSError:
        return None
