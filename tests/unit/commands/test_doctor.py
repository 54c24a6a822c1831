"""dspam_admin doctor: its exit status, its output, its way with a configuration that cannot be used."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dspamd.commands import dspam_admin
from tests.support.account import TRUST

Output = pytest.CaptureFixture[str]


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "dspam.conf"
    monkeypatch.setenv("DSPAM_CONF", str(path))
    path.write_text(
        f"Home {tmp_path}\nStorageDriver sqlite3_drv\n{TRUST}\nServerPID {tmp_path}/pid\n"
        f"ServerDomainSocketPath {tmp_path}/socket\nTrustedDeliveryAgent /bin/cat\n"
    )
    return path


def test_the_daemon_does_not_run(config: Path, capsys: Output) -> None:
    assert dspam_admin.main(["doctor"]) == 1
    out, err = capsys.readouterr()
    assert err == ""
    words = " ".join(out.split())  # lines are wrapped by the length of our path
    assert f"problem daemon: no daemon answers at {config.parent}/socket: No such file" in words
    assert "do: systemctl start dspamd" in words


def test_json(config: Path, capsys: Output) -> None:
    assert dspam_admin.main(["doctor", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert not told["healthy"]
    subjects = {each["subject"] for each in told["findings"]}
    assert subjects >= {"configuration", "disk", "clock", "open files", "versions", "daemon", "database"}


@pytest.mark.parametrize(
    ("lines", "what"),
    [
        ("ServerPort many\n", "dspam.conf:1: ServerPort many: "),
        ("Home /nonexistent\nServerUser nobody-of-that-name\n", "there is no user nobody-of-that-name"),
    ],
)
def test_a_configuration_that_cannot_be_used_is_all_that_is_told(
    config: Path, capsys: Output, lines: str, what: str
) -> None:
    config.write_text(lines)
    assert dspam_admin.main(["doctor", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert {each["subject"] for each in told["findings"]} == {"configuration"}
    assert any(what in each["what"] for each in told["findings"])


def test_wrong_usage_and_help(config: Path, capsys: Output) -> None:
    assert dspam_admin.main(["doctor", "--fxi"]) == 1
    assert "doctor: unrecognized arguments: --fxi" in capsys.readouterr().err
    assert dspam_admin.main(["doctor", "--profile=nowhere"]) == 1
    assert capsys.readouterr().err == "No such profile 'nowhere'\n"
    config.unlink()
    assert dspam_admin.main(["doctor", "--help"]) == 0
    assert "Exit status: 0 no problem" in capsys.readouterr().out


def test_what_is_safe_is_fixed(config: Path, capsys: Output) -> None:
    folder = config.parent / "run"
    config.write_text(config.read_text().replace(f"{config.parent}/pid", f"{folder}/pid"))
    assert dspam_admin.main(["doctor", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    missing = {"subject": "files", "what": f"the folder {folder} is missing", "fixable": True}
    assert [each for each in told["findings"] if missing.items() <= each.items()]
    assert dspam_admin.main(["doctor", "--fix"]) == 1  # the daemon does not run
    assert capsys.readouterr().out.startswith(f"fixed    files: made the folder {folder}\n")
    assert folder.is_dir()
