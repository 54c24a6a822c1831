"""dspam_clean removes what the original removed: every recorded run, once by the rules, once for real.

The recordings have one set of tokens of all kinds and ages, and signatures of all ages,
with the Purge settings in dspam.conf.  The three SQL drivers agreed, so did the purge
scripts except SQLite's, which counts the day itself as older; it is not replayed.
"""

from __future__ import annotations

import sqlite3
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from dspamd.commands import dspam_clean
from dspamd.config.config import Config
from dspamd.engine.model import ScoreOptions, Totals
from dspamd.maintenance.purge import stale
from dspamd.storage.contract import TokenRow
from tests.golden.data import rows
from tests.support.account import TRUST

TOKENS, SIGNATURES, *ROWS = rows("clean.jsonl")
RUNS = [row for row in ROWS if row["id"] == "dspam_clean"]
SETTINGS = """\
TrainingMode teft
Tokenizer osb
PurgeSignatures 14
PurgeNeutral 90
PurgeUnused 90
PurgeHapaxes 30
PurgeHits1S 15
PurgeHits1I 15
"""
TAUGHT = Totals(spam_learned=100, innocent_learned=150)
DAY = 1_000_000


def _name(row: dict[str, Any]) -> str:
    return f"{row['driver']} {' '.join(row['args'])}"


@pytest.mark.parametrize("row", [row for row in RUNS if "nouser" not in row["args"]], ids=_name)
def test_rules(row: dict[str, Any]) -> None:
    ages = dspam_clean.purge_ages(
        Config.from_text("Home /x\n" + SETTINGS), dspam_clean.parse(list(row["args"]))
    )
    known = [TokenRow(token, spam, innocent, DAY - age) for token, spam, innocent, age in TOKENS["rows"]]
    assert sorted(stale(known, DAY, ages, TAUGHT, ScoreOptions())) == row["tokens_removed"]


@pytest.fixture
def database(today: date, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """bob's database, as the original keeps it, with everything in it that was recorded."""
    config = tmp_path / "dspam.conf"
    config.write_text(f"Home {tmp_path}\nStorageDriver libsqlite3_drv.so\n{TRUST}\n{SETTINGS}")
    monkeypatch.setenv("DSPAM_CONF", str(config))
    path = tmp_path / "data/bob/bob.sdb"
    path.parent.mkdir(parents=True)
    with sqlite3.connect(path) as connection:
        connection.executescript(
            "CREATE TABLE dspam_token_data (token CHAR(20) PRIMARY KEY, spam_hits INT, innocent_hits INT,"
            " last_hit DATE);"
            "CREATE TABLE dspam_signature_data (signature CHAR(128) PRIMARY KEY, data BLOB, created_on DATE);"
            f"CREATE TABLE dspam_stats (dspam_stat_id INT PRIMARY KEY, {', '.join(Totals._fields)});"
        )
        connection.execute(f"INSERT INTO dspam_stats VALUES (0{', ?' * len(TAUGHT)})", TAUGHT)
        connection.executemany(
            "INSERT INTO dspam_token_data VALUES (?, ?, ?, ?)",
            [
                (str(token), spam, innocent, _date(today, age))
                for token, spam, innocent, age in TOKENS["rows"]
            ],
        )
        connection.executemany(
            "INSERT INTO dspam_signature_data VALUES (?, ?, ?)",
            [(name, b"", _date(today, age)) for name, age in SIGNATURES["rows"]],
        )
    connection.close()
    return path


def _date(today: date, age: int) -> str:
    return (today - timedelta(age)).isoformat()


@pytest.mark.parametrize("row", [row for row in RUNS if row["driver"] == "sqlite3"], ids=_name)
def test_command(row: dict[str, Any], database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dspam_clean.main(row["args"]) == row["exit"]
    assert capsys.readouterr() == ("", "")
    connection = sqlite3.connect(database)
    tokens = {int(token) for (token,) in connection.execute("SELECT token FROM dspam_token_data")}
    signatures = {name for (name,) in connection.execute("SELECT signature FROM dspam_signature_data")}
    connection.close()
    assert sorted({token for token, *_ in TOKENS["rows"]} - tokens) == row["tokens_removed"]
    assert sorted({name for name, _ in SIGNATURES["rows"]} - signatures) == sorted(row["signatures_removed"])
    assert not (database.parent.parent / "nouser").exists()


def test_progress(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dspam_clean.main(["--verbose"]) == 0
    assert capsys.readouterr().out == (
        "dspam_clean starting: signatures=14 neutral=90 unused=90,30,15,15\n"
        "bob: removed 123 tokens, 453 left; 3 signatures, 4 left\n"
        "1 users: removed 123 tokens, 453 left; 3 signatures, 4 left\n"
    )


@pytest.mark.parametrize("mode", ["toe", "notrain"])
def test_what_mail_does_not_touch_is_not_unused(mode: str, database: Path) -> None:
    """The original looked at stored preferences only, and emptied the dictionaries of such users."""
    config = database.parents[2] / "dspam.conf"
    config.write_text(config.read_text().replace("teft", mode).replace("Neutral 90", "Neutral off"))
    assert dspam_clean.main(["-u"]) == 0
    connection = sqlite3.connect(database)
    left = connection.execute(
        "SELECT count(*) FROM dspam_token_data WHERE 2 * innocent_hits + spam_hits >= 5"
    ).fetchone()[0]
    connection.close()
    assert left == sum(2 * innocent + spam >= 5 for _, spam, innocent, _ in TOKENS["rows"])
