"""dspam_stats: what the recordings do not show (tests/golden/test_cli_tools.py replays those)."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from dspamd.commands import dspam_stats
from dspamd.commands.dspam_stats import Figures, Options, parse
from dspamd.engine.model import Totals
from tests.support.ports import free_port
from tests.support.site import Site

Output = pytest.CaptureFixture[str]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site(tmp_path, monkeypatch)


def test_command_line() -> None:
    wanted = Options("sSH", ("ann", "bob"), "big")
    assert parse(["-sS", "ann", "--profile=big", "-H", "bob"]) == wanted


def test_short_form(site: Site, capsys: Output) -> None:
    """Where user names are short, each has one line (cli.md 8)."""
    site.configure("LongUsernames off")
    site.teach("michel-rene", Totals(innocent_learned=1))
    assert dspam_stats.main(["-S", "michel-rene"]) == 0
    assert capsys.readouterr().out == (
        "michel-rene       TP:     0 TN:     1 FP:     0 FN:     0 SC:     0 NC:     0\n"
        "                  SHR:  100.00%       HSR:    0.00%       OCA:  100.00%\n"
    )


def test_since_the_last_snapshot(site: Site, capsys: Output) -> None:
    site.teach("bob", Totals(spam_learned=3, innocent_learned=5))
    assert dspam_stats.main(["-r", "bob"]) == 0
    assert (site.folder / "data/bob/bob.rstats").read_text() == "3,5,0,0,0,0\n"
    site.teach("bob", Totals(spam_learned=2, spam_misclassified=1))
    capsys.readouterr()
    assert dspam_stats.main(["-s", "bob"]) == 0
    assert "TP:     1 TN:     0 FP:     0 FN:     1" in capsys.readouterr().out


def test_one_damaged_dictionary_hides_no_other(site: Site, capsys: Output) -> None:
    for user in ("ann", "bob", "carol"):
        site.teach(user, Totals(innocent_learned=1))
    for file in (site.folder / "data/bob").glob("bob.sdb*"):
        file.write_bytes(b"junk" * 1_000)
    assert dspam_stats.main(["-t"]) == os.EX_TEMPFAIL
    output = capsys.readouterr()
    assert [line for line in output.out.splitlines() if not line.startswith(" ")] == ["ann", "carol", "TOTAL"]
    assert output.err.startswith("dspam_stats: bob: Storage is not available")


@pytest.mark.parametrize("content", ["3,5,1,0", "3,5,1,0\n", "3,5,1,0,x,\n", "3,5,1,0,0,0\ngroup\n"])
def test_snapshots_of_web_pages_may_be_shorter(content: str, tmp_path: Path) -> None:
    (tmp_path / "rstats").write_text(content)
    assert dspam_stats.read_snapshot(tmp_path / "rstats") == Figures(3, 5, 1)


def test_everybody_may_see_his_own(site: Site, monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    for function in ("getuid", "geteuid"):
        monkeypatch.setattr(os, function, lambda: 65534)
    assert dspam_stats.main([pwd.getpwuid(65534).pw_name]) == 0
    assert capsys.readouterr().out.startswith("nobody\n")
    assert dspam_stats.main(["nobody", "bob"]) == 1
    assert capsys.readouterr().out == ""


def test_a_database_that_is_down_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    port = free_port()
    site = Site(tmp_path, monkeypatch, "pgsql_drv")
    site.configure("PgSQLServer 127.0.0.1", f"PgSQLPort {port}", "PgSQLUser dspam", "PgSQLDb dspam")
    assert dspam_stats.main(["bob"]) == 75
    assert f"PgSQLServer 127.0.0.1, port {port}: " in capsys.readouterr().err
