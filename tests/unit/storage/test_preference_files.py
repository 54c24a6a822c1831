"""USER.prefs: the format of the original, and writers that meet."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspamd.errors import TempFail, UsageError
from dspamd.storage.preference_files import read, write

LINE = st.text(st.characters(blacklist_characters="\r\n\0", blacklist_categories=["Cs"]), max_size=300)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "bob.prefs"


def test_what_a_file_says(file: Path) -> None:
    file.write_bytes(
        b"# comment=1\r\nspamAction=tag\r\nspamSubject=[A = B] \nno line\n\nspamAction=deliver\n"
    )
    assert read(file) == {"spamAction": "tag", "spamSubject": "[A = B] "}


def test_no_file_no_preferences(file: Path) -> None:
    assert read(file) == {}


def test_setting_replaces_and_removing_the_last_takes_the_file_along(file: Path) -> None:
    write(file, "spamAction", "tag")
    write(file, "tagSpam", "on")
    write(file, "SPAMACTION", "deliver")
    assert file.read_bytes() == b"tagSpam=on\nSPAMACTION=deliver\n"
    assert file.stat().st_mode & 0o777 == 0o660
    write(file, "tagSpam", None)
    write(file, "unheard", None)
    assert read(file) == {"SPAMACTION": "deliver"}
    write(file, "spamAction", None)
    assert not file.exists()


def test_comments_stay(file: Path) -> None:
    file.write_text("# by hand\na=1\n")
    write(file, "b", "2")
    assert file.read_text() == "# by hand\na=1\nb=2\n"


def test_more_than_31_preferences(file: Path) -> None:
    for number in range(40):
        write(file, f"name{number}", str(number))
    assert len(read(file)) == 40


@given(value=LINE)
def test_any_line_comes_back(value: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("prefs") / "bob.prefs"
    write(file, "spamSubject", value)
    assert read(file) == {"spamSubject": value}


@pytest.mark.parametrize(
    ("name", "value"), [("", "x"), ("#a", "x"), ("a", "x\ny"), ("a\r", "x"), ("a\0", "x")]
)
def test_what_a_line_cannot_hold_is_refused(file: Path, name: str, value: str) -> None:
    with pytest.raises(UsageError):
        write(file, name, value)
    assert not file.exists()


def test_writers_at_the_same_time_lose_nothing(file: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: write(file, f"name{number}", "on"), range(40)))
    assert len(read(file)) == 40


def test_trouble_with_the_file_is_temporary(file: Path) -> None:
    with pytest.raises(TempFail):
        write(file.parent / "missing" / "bob.prefs", "a", "b")
    file.mkdir()
    with pytest.raises(TempFail):
        read(file)
