"""The common frame of the administrator's commands: start and end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from dspamd import __version__
from dspamd.app import Parts
from dspamd.commands import tool
from dspamd.errors import TempFail, UsageError
from tests.support.site import Site

Output = pytest.CaptureFixture[str]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site(tmp_path, monkeypatch)


PLAIN = tool.Command("plain", "syntax: plain\n")
LIKE_DSPAM = tool.Command(
    "plain", "syntax\n", ("-h",), "{called}: {error}\n{usage}", complains_on_stdout=True, wrong_usage=255
)


@pytest.mark.parametrize(
    ("command", "words", "expected"),
    [
        (PLAIN, ["--help"], (0, "syntax: plain\n", "")),
        (PLAIN, ["-h", "more"], (0, "syntax: plain\n", "")),
        (PLAIN, ["--profile=big", "--help"], (0, "syntax: plain\n", "")),
        (PLAIN, ["--version"], (0, f"plain (dspamd) {__version__}\n", "")),
        (PLAIN, ["bob", "--help"], (1, "", "no {such} word\nsyntax: plain\n")),
        (PLAIN, [], (1, "", "syntax: plain\n")),
        (LIKE_DSPAM, ["-h"], (0, "", "syntax\n")),
        (LIKE_DSPAM, ["--help"], (0, "syntax\n", "")),
        (LIKE_DSPAM, ["bob"], (255, "/bin/plain: no {such} word\nsyntax\n", "")),
        (LIKE_DSPAM, [], (255, "syntax\n", "")),
        (PLAIN, ["work"], (7, "", "")),
    ],
)
def test_the_frame(
    command: tool.Command,
    words: list[str],
    expected: tuple[int, str, str],
    capsys: Output,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def work(words: list[str]) -> int:
        if words == ["work"]:
            return 7
        raise UsageError("no {such} word") if words else UsageError

    monkeypatch.setattr(sys, "argv", ["/bin/plain", *words])
    assert (tool.command(command, work), *capsys.readouterr()) == expected
    assert tool.command(command, work, words) == expected[0]


def test_every_command_uses_the_frame() -> None:
    """dspam and dspamc share one command line of their own, dspamd has argparse.

    completion is no command of a site: it writes files for its shells when a package is built.
    """
    folder = Path(tool.__file__).parent
    commands = {file for file in folder.glob("*.py") if "\nif __name__" in file.read_text()}
    without = {file.stem for file in commands if "tool.command(" not in file.read_text()}
    assert without == {"completion", "dspam", "dspamc", "dspamd"}


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_ends_when_told(number: signal.Signals, status: int, site: Site, capsys: Output) -> None:
    async def work(parts: Parts) -> int:
        os.kill(os.getpid(), number)
        await asyncio.Event().wait()
        return 1

    assert tool.run(work) == status
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
        (OSError(28, "No space left on device", "/data/x"), "/data/x: No space left on device\n"),
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
