"""The promises that let the daemon build its parts before it forks."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from dspamd import app
from dspamd.app import Parts, Profiles
from dspamd.config.config import Config
from dspamd.errors import ConfigError

DRIVERS = ("libsqlite3_drv.so", "libhash_drv.so", "libpgsql_drv.so", "libmysql_drv.so")


@pytest.mark.parametrize("driver", DRIVERS)
def test_parts_are_built_without_loop_thread_or_trace(driver: str, tmp_path: Path) -> None:
    """A thread would not survive the fork, and a file would belong to root, the account that forks."""
    before = set(threading.enumerate())
    databases = "MySQLDb dspam\nPgSQLDb dspam\n"
    lines = f"Home {tmp_path}/home\nStorageDriver {driver}\nNotifications on\nWebStats on\n{databases}"
    Parts(Config.from_text(lines))
    assert set(threading.enumerate()) <= before  # threads of earlier tests may end at any time
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ("", "dspam.conf: StorageDriver is required: one of hash_drv, mysql_drv, pgsql_drv, sqlite3_drv"),
        ("StorageDriver", "dspam.conf: StorageDriver is required"),
        ("StorageDrive hash_drv", "dspam.conf: StorageDriver is required"),
        ("StorageDriver pgsql_drv", "dspam.conf:2: PgSQLDb is required"),
        ("StorageDriver pgsql_drv\nPgSQLServer /run/postgresql", "dspam.conf:3: PgSQLDb is required"),
        ("StorageDriver mysql_drv\nMySQLDB.x dspam\nMySQLServer db", "dspam.conf:4: MySQLDb is required"),
    ],
)
def test_a_store_that_nobody_named_is_not_opened(lines: str, complaint: str, tmp_path: Path) -> None:
    config = Config.from_text(f"Home {tmp_path}\n{lines}\n")
    with pytest.raises(ConfigError) as caught:
        Parts(config)
    assert str(caught.value).startswith(complaint)


@pytest.mark.parametrize(
    ("driver", "default", "wanted"),
    [
        ("libhash_drv.so", "", [""]),  # a home has one store of files, whatever their format
        ("libpgsql_drv.so", "", ["", "Two", "Four"]),
        ("libpgsql_drv.so", "two", ["two", "One", "Four"]),
    ],
)
def test_each_store_is_named_once(driver: str, default: str, wanted: list[str], tmp_path: Path) -> None:
    lines = (
        f"Home {tmp_path}",
        f"StorageDriver {driver}",
        *(f"Profile {name}" for name in ("One", "Two", "Three", "Four")),
        f"DefaultProfile {default}" if default else "",
        "PgSQLServer here\nPgSQLServer.One here\nPgSQLServer.Two there\nPgSQLServer.Three here",
        "PgSQLServer.Four there\nPgSQLDb.Four other\nPgSQLDb dspam",
        "HashRecMax.Two 1000",
    )
    assert Profiles(Parts(Config.from_text("\n".join(lines) + "\n"))).stores() == wanted


@pytest.mark.parametrize(("files", "workers", "wanted"), [(20_000, 1, 300), (400, 1, 200), (400, 2, 300)])
def test_sessions_leave_files_to_serve_them(
    files: int, workers: int, wanted: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "raise_open_files", lambda: files)
    config = Config.from_text(f"Home {tmp_path}\nServerMaxConnections 300\n")
    assert app.connection_limit(config, workers) == wanted
