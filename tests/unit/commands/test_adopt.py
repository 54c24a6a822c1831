"""dspam_admin adopt: sites that cannot be adopted (tests/contract/test_adoption.py: those that can)."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from dspamd.adoption.differences import differences
from dspamd.adoption.scoring import Comparison, Scored, compared
from dspamd.adoption.steps import back, forward
from dspamd.commands import adopt, dspam_admin
from dspamd.config.config import Config
from dspamd.engine.model import Totals
from dspamd.engine.tokenizer import crc64
from tests.support.site import Site

Output = pytest.CaptureFixture[str]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    site = Site(tmp_path, monkeypatch)
    site.teach("bob", Totals(1, 1), {1: (1, 0)}, "6b000a80122151437417508")
    return site


def test_a_configuration_with_errors_is_reported_as_a_whole(tmp_path: Path, capsys: Output) -> None:
    file = tmp_path / "dspam.conf"
    file.write_text("Home /nonexistent\nStorageDriver sqlite\nTrainingMode tuft\nOpt inn\n")
    assert dspam_admin.main(["adopt", str(file)]) == 1
    out, err = capsys.readouterr()
    assert err == ""
    assert f"{file}:3: TrainingMode tuft" in out
    assert f"{file}:4: Opt inn" in out
    assert "1. Mend the errors" in out
    assert dspam_admin.main(["adopt", str(file), "--json"]) == 1
    assert [each["line"] for each in json.loads(capsys.readouterr().out)["errors"]] == [3, 4]
    assert dspam_admin.main(["adopt", str(tmp_path / "none")]) == 1
    assert "1. Mend" in capsys.readouterr().out


def test_a_store_that_cannot_be_read(site: Site, capsys: Output) -> None:
    site.folder.joinpath("data/bob/bob.sdb").write_bytes(b"no database" * 100)
    assert dspam_admin.main(["adopt", str(site.folder / "dspam.conf")]) == 0
    assert "cannot be read: bob: Storage is not available" in capsys.readouterr().out


def test_a_database_with_a_log_gets_no_files(site: Site, capsys: Output) -> None:
    folder = site.folder / "data/bob"
    before = sorted(folder.iterdir())
    assert dspam_admin.main(["adopt", str(site.folder / "dspam.conf")]) == 0
    assert "1 tokens; 1 signatures" in capsys.readouterr().out
    assert sorted(folder.iterdir()) == before


def test_recent_mail_is_scored_by_what_the_user_knows(site: Site, tmp_path: Path, capsys: Output) -> None:
    mail = tmp_path / "mail"
    mail.mkdir()
    site.teach("bob", Totals(60, 60), {crc64(b"pills"): (40, 0), crc64(b"minutes"): (0, 40)})
    for name, text in (("spam", "pills " * 3), ("ham", "minutes " * 3)):
        head = f"X-DSPAM-Result: Spam\nX-DSPAM-Factors: 27,\n\tpills, 0.99\nSubject: {name}\n\n"
        mail.joinpath(name).write_text(head + text)
    site.configure("Tokenizer word")
    words = ["adopt", str(site.folder / "dspam.conf"), "--maildir", str(mail), "--json"]
    assert dspam_admin.main(words) == 0
    found = json.loads(capsys.readouterr().out)["comparison"]
    assert found == {
        "user": "bob", "messages": 2, "spam": 1, "innocent": 1, "only_strict_spam": 0, "only_ours_spam": 0,
        "then": 2, "then_as_strict": 1, "different": [],
    }  # fmt: skip
    assert dspam_admin.main([*words, "--messages", "1"]) == 0
    assert json.loads(capsys.readouterr().out)["comparison"]["messages"] == 1


def test_messages_with_another_verdict_are_listed() -> None:
    scored = [Scored("a", "Spam", "Spam", 0.9, "Innocent", 0.1), Scored("b", "", "Spam", 1.0, "Spam", 1.0)]
    found = compared("bob", scored)
    assert found == Comparison("bob", 2, 1, 0, 1, 0, 1, 1, (scored[0],))


def test_mail_that_cannot_be_scored(site: Site, capsys: Output) -> None:
    file = str(site.folder / "dspam.conf")
    assert dspam_admin.main(["adopt", file, "--maildir", str(site.folder / "none")]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    site.teach("ann", Totals(1, 1))
    assert dspam_admin.main(["adopt", file, "--maildir", str(site.folder)]) == 1
    assert capsys.readouterr().err == "adopt: --maildir needs --user, because the site has several\n"


@pytest.mark.parametrize("words", [[], ["a", "b"], ["a", "--x"], ["a", "--messages", "0"]])
def test_wrong_usage(words: list[str], capsys: Output) -> None:
    assert dspam_admin.main(["adopt", *words]) == 1
    assert capsys.readouterr().out == ""


def test_help(capsys: Output) -> None:
    assert dspam_admin.main(["adopt", "--help"]) == os.EX_OK
    assert capsys.readouterr().out == adopt.USAGE


@pytest.mark.parametrize(
    ("lines", "groups", "quirks"),
    [
        ("StorageDriver hash_drv\nAlgorithm naive", "", {"Q-N1", "Q-T8"}),
        ("StorageDriver mysql_drv\nAlgorithm graham", "x:inoculation:a,b", {"Q-T9", "Q-T11"}),
        (
            "StorageDriver sqlite\nTokenizer sbph\nTrainingMode toe",
            "g:merged:*",
            {"Q-P7", "Q-S1", "Q-T4", "Q-G4"},
        ),
    ],
)
def test_differences_are_those_of_the_site(lines: str, groups: str, quirks: set[str]) -> None:
    config = Config.from_text(f"Home /nonexistent\n{lines}\n")
    assert {each.quirk for each in differences(config, groups)} - {""} == quirks | {"Q-T2", "Q-M17"}


def test_steps_are_those_of_the_site() -> None:
    daemon = Config.from_text(
        "Home /h\nStorageDriver mysql_drv\nMySQLDb spam\nServerMode auto\nServerPort 24\n"
    )
    commands = [command for step in forward(daemon, usable=True) for command in step.commands]
    assert "mysqldump --single-transaction spam >dspam.sql" in commands
    assert not any("master.cf" in command for command in commands)
    agent = Config.from_text("Home /h h\nStorageDriver hash_drv\n")
    commands = [command for step in forward(agent, usable=False) for command in step.commands]
    assert any("master.cf" in command for command in commands)
    assert any("converted" in step.what for step in back(agent))
