"""USER.prefs: the format of the original, and writers that meet."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspamd.errors import TempFail, UsageError
from dspamd.home.preference_files import doubts, read, write

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


DSPAM_S_OWN = b"""\
# Default preferences
trainingMode=TEFT\t\t# { TOE | TUM | TEFT | NOTRAIN } -> default:teft
spamAction=tag #and not deliver\r
spamSubject=[SPAM #1]\t# { string } -> default:[SPAM]
localStore=\t\t#
statisticalSedation=11 # too much
note=a # b
"""


def test_a_comment_behind_a_value_is_none_of_it(file: Path) -> None:
    file.write_bytes(DSPAM_S_OWN)
    assert read(file) == {
        "trainingMode": "TEFT",
        "spamAction": "tag",
        "spamSubject": "[SPAM #1]",
        "localStore": "",
        "statisticalSedation": "11",
        "note": "a # b",
    }
    told = [str(problem).removeprefix(f"{file}:") for problem in doubts(file)]
    assert told[:4] == [
        '2: trainingMode is "TEFT"; "# { TOE | TUM | TEFT | NOTRAIN } -> default:teft" is a comment, '
        "for DSPAM it was part of the value",
        '3: spamAction is "tag"; "#and not deliver" is a comment, for DSPAM it was part of the value',
        '4: spamSubject is "[SPAM #1]"; "# { string } -> default:[SPAM]" is a comment, '
        "for DSPAM it was part of the value",
        '5: localStore is ""; "#" is a comment, for DSPAM it was part of the value',
    ]
    assert [line.partition(" ")[0] for line in told[4:]] == ["6:", "6:", "7:"]


def test_a_comment_stays_when_another_preference_is_set(file: Path) -> None:
    file.write_bytes(b"tagSpam=on # always\n")
    write(file, "spamAction", "tag")
    assert file.read_bytes() == b"tagSpam=on # always\nspamAction=tag\n"


def test_what_would_be_read_as_a_comment_is_refused(file: Path) -> None:
    with pytest.raises(UsageError, match="would be read as spamSubject=a and a comment"):
        write(file, "spamSubject", "a # b")
    assert not file.exists()


@given(value=LINE.filter(lambda value: " #" not in value and "\t#" not in value))
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
