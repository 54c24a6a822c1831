"""The texts of the administrator; a missing one is a warning, once."""

from __future__ import annotations

from pathlib import Path

from dspamd.config.config import Config
from dspamd.home.templates import NAMES, Texts, lacking
from tests.support.logged import Logged


def test_texts_are_what_is_in_the_files(tmp_path: Path) -> None:
    (tmp_path / "msgtag.spam").write_bytes(b"spam!\xff\n")
    assert Texts(tmp_path).text("msgtag.spam") == b"spam!\xff\n"


def test_a_missing_text_is_told_when_it_is_wanted(tmp_path: Path, logged: Logged) -> None:
    texts = Texts(tmp_path)
    assert logged.take() == ""
    assert texts.text("firstrun.txt") == b""
    assert texts.text("firstrun.txt") == b""
    assert logged.take().count(str(tmp_path / "firstrun.txt")) == 1


def test_what_the_configuration_asks_for_is_looked_for(tmp_path: Path) -> None:
    (tmp_path / "firstspam.txt").touch()
    (tmp_path / "msgtag.spam").mkdir()
    lines = f"Home {tmp_path}", f"TxtDirectory {tmp_path}", "Notifications on", 'Preference "tagSpam=on"'
    problems = lacking(Config.from_text("\n".join(lines)), tmp_path)
    assert [str(each).partition(";")[0] for each in problems] == [
        f"dspam.conf:2: {tmp_path}/firstrun.txt: No such file or directory",
        f"dspam.conf:2: {tmp_path}/quarantinefull.txt: No such file or directory",
        f"dspam.conf:2: {tmp_path}/msgtag.spam: Is a directory",
    ]
    assert lacking(Config.from_text("\n".join(lines[:2])), tmp_path) == []


def test_the_shipped_texts_are_complete() -> None:
    shipped = Path(__file__).parents[3] / "etc/txt"
    assert {file.name for file in shipped.iterdir()} == {*NAMES, "README"}
    for name in NAMES:
        text = Texts(shipped).text(name).decode("ascii")
        assert text.endswith("\n")
        if name.endswith(".txt"):
            head, _, body = text.partition("\n\n")
            fields = [line.partition(":")[0] for line in head.splitlines()]
            assert {"From", "To", "Subject", "Auto-Submitted"} <= set(fields)
            assert "Date" not in fields
            assert "$u" in body or name == "quarantinefull.txt"
