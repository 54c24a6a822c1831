"""Every installed command answers --help, -h and --version, with any configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from dspamd import __version__
from tests.support.scripts import SCRIPTS, run

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
    assert run(command, [word], Nobody(), monkeypatch) == 0
    out, err = capfd.readouterr()
    told, other = (err, out) if (command, word) in RECORDED_ON_STDERR else (out, err)
    assert other == ""
    assert (__version__ if word == "--version" else command.removesuffix("c")[:5]) in told
    assert told.endswith("\n")
