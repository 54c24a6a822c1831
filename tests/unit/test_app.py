"""What the daemon may rely on when it builds its parts before it forks."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from dspamd import app
from dspamd.app import Parts, Profiles
from dspamd.config import Config

DRIVERS = ("libsqlite3_drv.so", "libhash_drv.so", "libpgsql_drv.so", "libmysql_drv.so")


@pytest.mark.parametrize("driver", DRIVERS)
def test_parts_are_built_without_loop_thread_or_trace(driver: str, tmp_path: Path) -> None:
    """A thread would not survive the fork; a file would belong to root, who forks."""
    before = set(threading.enumerate())
    Parts(Config.from_text(f"Home {tmp_path}/home\nStorageDriver {driver}\nNotifications on\nWebStats on\n"))
    assert set(threading.enumerate()) <= before  # those of earlier tests may end meanwhile
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("driver", "default", "wanted"),
    [
        ("libhash_drv.so", "", [""]),  # a home has one store of files, however they are made
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
        "PgSQLServer.Four there\nPgSQLDb.Four other",
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
