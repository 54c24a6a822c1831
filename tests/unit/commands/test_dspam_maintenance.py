"""dspam_maintenance: one run does it all, quietly, and never two at a time."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from dspamd.commands import dspam_clean, dspam_maintenance
from dspamd.commands.dspam_maintenance import USAGE, parse
from dspamd.config.config import Config
from dspamd.engine.model import Totals
from dspamd.errors import UsageError
from dspamd.maintenance.maintenance import Lock
from dspamd.maintenance.purge import Ages, Unused
from tests.support.site import Site

Output = pytest.CaptureFixture[str]
DAY_S = 86_400


@pytest.fixture(params=["libsqlite3_drv.so", "libhash_drv.so"])
def site(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    site = Site(tmp_path, monkeypatch, request.param)
    site.teach("bob", Totals(20, 20), {1: (1, 0), 2: (40, 0)}, "6b000a80122151437417508")
    return site


@pytest.fixture
def logs(site: Site) -> list[Path]:
    """Logs with an old and a new line: that of the system, and that of a user."""
    now = int(time.time())
    logs = [site.folder / "system.log", site.folder / "data/bob/bob.log"]
    for log in logs:
        log.write_text(f"{now - 40 * DAY_S}\tI\told\n{now - 20 * DAY_S}\tI\tnew\n")
    return logs


def test_a_run_is_silent_and_does_both(site: Site, logs: list[Path], capsys: Output) -> None:
    daemon = site.folder / "log/dspamd.log"
    daemon.parent.mkdir()
    daemon.write_text("event=started\n")
    assert dspam_maintenance.main(["--signatures=0", "--unused=0", "--hapaxes=0"]) == 0
    assert capsys.readouterr() == ("", "")
    assert [log.read_text().split("\t")[-1] for log in logs] == ["new\n", "new\n"]
    assert site.known("bob") == {}
    assert daemon.read_text() == "event=started\n"


def test_what_is_young_stays(site: Site, logs: list[Path], capsys: Output) -> None:
    assert dspam_maintenance.main(["--logdays=60", "--verbose"]) == 0
    assert [log.read_text().count("\n") for log in logs] == [2, 2]
    assert set(site.known("bob")) == {1, 2}
    out, _ = capsys.readouterr()
    assert f"{logs[0]}: removed 0 lines\n" in out
    assert "signatures=14 neutral=90 unused=90,30,15,15\n" in out
    assert out.endswith("1 users: removed 0 tokens, 2 left; 0 signatures, 1 left\n")


def test_a_second_run_ends_at_once(site: Site, logs: list[Path], capsys: Output) -> None:
    lock = Lock(site.folder / "purge.lock", 0)
    assert lock.take()
    assert dspam_maintenance.main(["--logdays=0", "--signatures=0"]) == 0
    assert capsys.readouterr() == ("", "")
    assert logs[0].read_text().count("\n") == 2
    lock.release()
    assert dspam_maintenance.main(["--logdays=0"]) == 0
    assert logs[0].read_text() == ""


def test_a_log_in_trouble_does_not_keep_the_others_waiting(
    site: Site, logs: list[Path], capsys: Output
) -> None:
    logs[0].unlink()
    logs[0].mkdir()
    assert dspam_maintenance.main(["--unused=0", "--hapaxes=0"]) == 1
    assert capsys.readouterr().err.startswith("dspam_maintenance: ")
    assert logs[1].read_text().count("\n") == 1
    assert site.known("bob") == {}


@pytest.mark.parametrize(
    ("words", "settings", "wanted"),
    [
        ("", "", Ages(14, 90, Unused(90, 30, 15, 15))),
        ("--neutral=5 --hits1i=1", "PurgeSignatures off", Ages(None, 5, Unused(90, 30, 15, 1))),
        ("", "PurgeNeutral 7\nPurgeHapaxes 8\nPurgeUnused off", Ages(14, 7, Unused(None, 8, 15, 15))),
        ("--signatures=3", "PurgeSignatures off\nPurgeNeutral off", Ages(3, None, Unused(90, 30, 15, 15))),
    ],
)
def test_ages(words: str, settings: str, wanted: Ages) -> None:
    config = Config.from_text(f"Home /x\n{settings}\n")
    assert dspam_clean.purge_ages(config, parse(words.split()).purge(config)) == wanted


def test_words_of_the_script_that_have_no_effect() -> None:
    words = ["--with-all-drivers", "--without-sql-purge", "--purgescriptdir=/usr/share/dspam", "--profile=P"]
    assert parse([*words, "--with-sql-optimization"]) == parse(["--profile=P"])


@pytest.mark.parametrize(
    "word", ["--logdays", "--logdays=x", "--logs=3", "bob", "-v", "verbose", "--unused=off"]
)
def test_unknown_parameters(word: str, capsys: Output) -> None:
    with pytest.raises(UsageError):
        parse([word])
    assert dspam_maintenance.main([word]) == 1
    assert capsys.readouterr() == ("", f"unknown parameter '{word}'\n{USAGE}")


def test_help(capsys: Output) -> None:
    assert dspam_maintenance.main(["--help"]) == 0
    assert capsys.readouterr() == (USAGE, "")
