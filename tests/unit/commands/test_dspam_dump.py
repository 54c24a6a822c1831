"""dspam_dump: one token, SQL, and who may see what (tests/golden/test_cli_tools.py has the rest)."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from datetime import date
from pathlib import Path
from types import ModuleType

import pytest

from dspamd.commands import dspam_2sql, dspam_crc, dspam_dump, dspam_merge
from dspamd.engine.model import Totals
from dspamd.engine.tokenizer import crc64
from tests.support.site import Site

Output = pytest.CaptureFixture[str]
HITS = {crc64(b"zebra"): (9, 1), 2**64 - 1: (0, 3)}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    site = Site(tmp_path, monkeypatch)
    site.teach("bob", Totals(20, 20), HITS)
    return site


def test_one_token(site: Site, capsys: Output) -> None:
    assert dspam_dump.main(["bob", "zebra"]) == 0
    assert capsys.readouterr().out == f"{crc64(b'zebra'):<20} S: 00009  I: 00001  P: 0.9000\n"
    assert dspam_dump.main(["bob", "unseen"]) == 1
    assert capsys.readouterr() == ("", "token not found\n")


def test_sql(today: date, site: Site, capsys: Output) -> None:
    assert dspam_dump.main(["-d", "sqlite_drv", "bob"]) == 0
    copy = sqlite3.connect(":memory:")
    copy.executescript(
        "CREATE TABLE dspam_token_data (token, spam_hits, innocent_hits, last_hit);"
        f"CREATE TABLE dspam_stats (dspam_stat_id, {', '.join(Totals._fields)});" + capsys.readouterr().out
    )
    rows = copy.execute("SELECT token, spam_hits, innocent_hits, last_hit FROM dspam_token_data").fetchall()
    assert sorted(rows) == sorted((str(token), *pair, today.isoformat()) for token, pair in HITS.items())
    assert copy.execute("SELECT * FROM dspam_stats").fetchall() == [(0, 20, 20, 0, 0, 0, 0, 0, 0)]
    copy.close()


def test_json(today: date, site: Site, capsys: Output) -> None:
    """Tokens have the same form everywhere, and no reader loses their last digits."""
    zebra = f"{crc64(b'zebra'):016x}"
    assert dspam_dump.main(["bob", "--json"]) == 0
    first, last = map(json.loads, capsys.readouterr().out.splitlines())
    hits = {"spam": 9, "innocent": 1, "last_hit": today.isoformat()}
    assert first == {"token": zebra, **hits, "probability": 0.9}
    assert (last["token"], last["spam"], last["innocent"]) == ("f" * 16, 0, 3)
    assert dspam_dump.main(["--json", "bob", "zebra"]) == 0
    assert json.loads(capsys.readouterr().out) == first | {"last_hit": None}
    assert dspam_2sql.main(["--json"]) == 0
    owner, *tokens = map(json.loads, capsys.readouterr().out.splitlines())
    assert owner == {"user": "bob", "uid": 1, "totals": Totals(20, 20)._asdict()}
    assert tokens[0] == {"user": "bob", "token": zebra, **hits}
    assert dspam_crc.main(["zebra", "--json"]) == 0
    found = {"text": "zebra", "token": zebra, "crc": str(crc64(b"zebra"))}
    assert json.loads(capsys.readouterr().out) == found


@pytest.mark.parametrize("command", [dspam_dump, dspam_2sql], ids=lambda module: module.__name__)
def test_one_form_at_a_time(command: ModuleType, capsys: Output) -> None:
    option = {dspam_dump: "sqlite_drv", dspam_2sql: "pgsql_drv"}[command]
    assert command.main(["--json", "-d", option, "bob"]) == 1
    assert capsys.readouterr() == ("", "-d and --json exclude each other\n")


def test_strangers_see_nothing(site: Site, monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    for function in ("getuid", "geteuid"):
        monkeypatch.setattr(os, function, lambda: 65534)
    assert dspam_dump.main(["bob"]) == 1
    assert capsys.readouterr().err.startswith("Program mode requires special privileges")
    assert dspam_dump.main(["nobody"]) == 0


def test_whoever_reads_may_stop(site: Site) -> None:
    site.teach("bob", Totals(), dict.fromkeys(range(1, 20_001), (1, 0)))
    dump = subprocess.Popen(
        [sys.executable, "-m", "dspamd.commands.dspam_dump", "bob"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert dump.stdout is not None
    assert dump.stderr is not None
    with dump, dump.stdout, dump.stderr:
        assert dump.stdout.readline().startswith("1 ")
        dump.stdout.close()
        assert dump.stderr.read() == ""
        assert dump.wait(30) == 0


def test_merging_adds(site: Site) -> None:
    site.teach("ann", Totals(1, 2, 3, 4, 5, 6), {2**64 - 1: (4, 4)})
    assert dspam_merge.main(["bob", "ann", "-o", "both"]) == 0
    assert site.known("both") == {crc64(b"zebra"): (9, 1), 2**64 - 1: (4, 7)}
    assert site.totals("both") == Totals(21, 22)
    assert dspam_merge.main(["bob", "-o", "ann"]) == 0
    assert site.totals("ann") == Totals(21, 22, 3, 4, 5, 6)


def test_nobody_is_merged_into_himself(site: Site, capsys: Output) -> None:
    assert dspam_merge.main(["ann", "bob", "-o", "bob"]) == 1
    assert capsys.readouterr().out == "bob cannot be merged into themselves\n"
    assert site.known("bob") == HITS
