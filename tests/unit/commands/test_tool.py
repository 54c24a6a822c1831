"""What the commands of an administrator share: how they begin and end."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from dspamd.app import Parts
from dspamd.commands import tool
from dspamd.errors import TempFail
from tests.support.site import Site

Output = pytest.CaptureFixture[str]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site(tmp_path, monkeypatch)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ends_when_told(number: signal.Signals, site: Site, capsys: Output) -> None:
    async def work(parts: Parts) -> int:
        os.kill(os.getpid(), number)
        await asyncio.Event().wait()
        return 1

    assert tool.run(work) == 0
    assert capsys.readouterr() == ("", "terminated.\n")


@pytest.mark.parametrize(("account", "changes"), [(0, 1), (1000, 0)])
def test_what_root_writes_belongs_to_the_group_of_home(
    account: int, changes: int, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []
    for function in ("getuid", "geteuid"):
        monkeypatch.setattr(os, function, lambda: account)
    monkeypatch.setattr(os, "setegid", taken.append)

    async def work(parts: Parts) -> int:
        return 0

    assert tool.run(work, anybody=True) == 0
    assert taken == [site.folder.stat().st_gid] * changes


@pytest.mark.parametrize(
    ("trouble", "told"),
    [
        (TempFail("Storage is busy", detail="three seconds"), "Storage is busy: three seconds\n"),
        (OSError(28, "No space left on device"), "[Errno 28] No space left on device\n"),
    ],
)
def test_failures_are_told(trouble: Exception, told: str, site: Site, capsys: Output) -> None:
    async def work(parts: Parts) -> int:
        raise trouble

    assert tool.run(work) == 75
    assert capsys.readouterr().err == told


def test_profiles(site: Site, capsys: Output) -> None:
    site.configure("Profile big", "HashRecMax.big 7")

    async def work(parts: Parts) -> int:
        return parts.config.HashRecMax

    assert tool.run(work, "big") == 7
    assert tool.run(work, "none") == 1
    assert capsys.readouterr().err == "No such profile 'none'\n"


def test_bad_configuration(site: Site, capsys: Output) -> None:
    site.configure("ServerPort none")

    async def work(parts: Parts) -> int:
        return 0

    assert tool.run(work) == 78
    assert "ServerPort" in capsys.readouterr().err
