"""The daemon purges by itself when it is due: one of its workers does, once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dspamd.engine.model import Totals
from tests.e2e.daemon import Daemon
from tests.e2e.postfix import free_port
from tests.e2e.wait import until
from tests.unit.commands.site import Site

SETTINGS = "PurgeInterval 24\nPurgeNeutral 0\nServerWorkers 2\n"


def test_purge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(tmp_path, monkeypatch)
    site.teach("bob", Totals(50, 50), {1: (1, 0), 2: (0, 9)})
    stamp = tmp_path / "purge.lock"
    stamp.touch()
    os.utime(stamp, (0, 0))
    daemon = Daemon(tmp_path, free_port(), settings=SETTINGS)
    with daemon:
        until(lambda: stamp.stat().st_mtime > 0, lambda: "a purge; it said:\n" + daemon.output)
    assert site.known("bob") == {2: (0, 9)}
    assert daemon.output.count("event=purge_done ") == 1
