"""Every installed command answers --help, -h and --version, with any configuration."""

from __future__ import annotations

import importlib
import sys
import tomllib
from pathlib import Path

import pytest

from dspamd import __version__

ROOT = Path(__file__).parents[3]
SCRIPTS: dict[str, str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]

RECORDED_ON_STDERR = {
    ("dspam", "--help"),
    ("dspamc", "--help"),
    ("dspam_clean", "-h"),
    ("dspam_stats", "-h"),  # with exit status 1, which was an error
}


class Nobody:
    """Standard input that is not to be read."""

    def __getattr__(self, name: str) -> object:
        raise AssertionError("it waits for a mail")


def run(command: str, word: str, patch: pytest.MonkeyPatch) -> int:
    module, _, function = SCRIPTS[command].partition(":")
    patch.setattr(sys, "argv", [command, word])
    patch.setattr(sys, "stdin", Nobody())
    try:
        return int(getattr(importlib.import_module(module), function)())
    except SystemExit as end:  # so does argparse
        return int(end.code or 0)


@pytest.mark.parametrize("settings", [None, "ServerPort many\n", "Home /nowhere\n"])
@pytest.mark.parametrize("word", ["--help", "-h", "--version"])
@pytest.mark.parametrize("command", SCRIPTS)
def test_asked(
    command: str,
    word: str,
    settings: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    config = tmp_path / "dspam.conf"
    if settings is not None:
        config.write_text(settings)
    monkeypatch.setenv("DSPAM_CONF", str(config))
    assert run(command, word, monkeypatch) == 0
    out, err = capfd.readouterr()
    told, other = (err, out) if (command, word) in RECORDED_ON_STDERR else (out, err)
    assert other == ""
    assert (__version__ if word == "--version" else command.removesuffix("c")[:5]) in told
    assert told.endswith("\n")
