"""The commands for hash files do with recorded files what the originals did.

Differences on purpose: cssclean ages tokens by days, so a new file has none to
remove; it makes one extent, which the recorded one did not always; and it works on full files,
where the original hung or failed.  cssstat counts the extents.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from dspamd.commands import css as commands
from dspamd.storage.contract import TokenRow
from dspamd.storage.files import css
from tests.golden.data import rows
from tests.support.site import Site

FILES = rows("css_files.jsonl")
MAIN: dict[str, Callable[[], int]] = {
    "cssstat": commands.stat,
    "csscompress": commands.compress,
    "cssclean": commands.clean,
    "cssconvert": commands.convert,
}
USAGE = [
    row
    for row in rows("cli_tools.jsonl")
    if row.get("argv", [""])[0] in MAIN and row["id"].endswith(("noargs", "nofile"))
]
THEIRS = "/usr/local/dspam/var/dspam/data/bob/bob.css"


def run(patch: pytest.MonkeyPatch, *words: str) -> int:
    patch.setattr(sys, "argv", list(words))
    return MAIN[words[0]]()


@pytest.fixture(params=FILES, ids=lambda row: "-".join(row["config"].values()))
def row(request: pytest.FixtureRequest) -> dict[str, Any]:
    recorded: dict[str, Any] = request.param
    return recorded


@pytest.fixture
def file(row: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The recorded file, at a site with the configuration that it was recorded with."""
    site = Site(tmp_path, monkeypatch, "libhash_drv.so")
    site.configure(*(f"{name} {value}" for name, value in row["config"].items()))
    path = tmp_path / "data" / "bob" / "bob.css"
    path.parent.mkdir(parents=True)
    path.write_bytes(bytes.fromhex(row["css_hex"]))
    return path


def dumped(row: dict[str, Any]) -> dict[int, tuple[int, int]]:
    fields = (line.split() for line in row["dump"].splitlines())
    return {int(field[0]): (int(field[2]), int(field[4])) for field in fields}


def known(path: Path) -> dict[int, tuple[int, int]]:
    """All records of a file with one extent: spam and innocent hits."""
    content = path.read_bytes()
    words = memoryview(content)[css.HEADER.size :].cast("Q")
    return {words[i]: (words[i + 2], words[i + 1]) for i in range(0, len(words), 3) if words[i]}


@pytest.mark.parametrize("row", USAGE, ids=lambda row: row["id"])
def test_usage(
    row: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, *row["argv"]) == row["exit"]
    assert capsys.readouterr() == (row["stdout"], row["stderr"])


def test_cssstat(
    row: dict[str, Any], file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = file.read_bytes()
    assert run(monkeypatch, "cssstat", str(file)) == 0
    *wanted, extents = row["steps"][-1]["cssstat"].replace(THEIRS, str(file)).splitlines()
    assert extents == "total extents               0"
    count = sum(line.startswith("extent ") for line in wanted)
    assert capsys.readouterr().out.splitlines() == [*wanted, f"total extents               {count}"]
    assert file.read_bytes() == before


def test_csscompress(
    row: dict[str, Any], file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before, recorded = file.read_bytes(), row["csscompress"]
    assert run(monkeypatch, "csscompress", str(file)) == recorded["exit"]
    assert capsys.readouterr() == (recorded["stdout"], recorded["stderr"])
    compressed = file.read_bytes()
    assert css.totals(compressed) == css.totals(before)
    assert known(file) == dumped(row)
    theirs = bytes.fromhex(recorded["css_hex"])
    if len(css.extents(theirs)) == 1:  # with a short HashMaxSeek the original extended its file at once
        assert css.extents(compressed) == css.extents(theirs)


def test_cssclean_keeps_what_is_new(row: dict[str, Any], file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = file.read_bytes()
    assert run(monkeypatch, "cssclean", str(file)) == 0
    assert known(file) == dumped(row)
    assert css.totals(file.read_bytes()) == css.totals(before)


def test_cssclean_drops_what_is_old(
    today: date, row: dict[str, Any], file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = bytearray(file.read_bytes())
    css.set_day(content, (today - timedelta(16)).toordinal() - 719_163)
    file.write_bytes(content)
    assert run(monkeypatch, "cssclean", str(file)) == 0
    assert known(file) == {token: hits for token, hits in dumped(row).items() if sum(hits) > 1}


def test_cssclean_heavy(row: dict[str, Any], file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, "cssclean", str(file), "heavy") == 0
    assert known(file) == {token: hits for token, hits in dumped(row).items() if sum(hits) > 1}


@pytest.mark.parametrize(
    ("hits", "days", "dropped"),
    [
        ((1, 0), 15, False), ((1, 0), 16, True), ((0, 1), 16, True), ((2, 0), 16, False),
        ((4, 0), 60, False), ((4, 0), 61, True), ((0, 2), 61, True), ((5, 0), 61, False), ((0, 3), 61, False),
        ((40, 59), 16, True), ((40, 60), 16, False), ((40, 59), 15, False),
        ((99, 0), 120, False), ((99, 0), 121, True), ((0, 0), 16, True),
    ],
)  # fmt: skip
def test_rules_of_cssclean(hits: tuple[int, int], days: int, dropped: bool) -> None:
    """Reference/storage.md 6.5."""
    assert commands.worthless(TokenRow(1, *hits, 20_000 - days), 20_000) is dropped


def test_cssconvert_leaves_our_own_files_alone(
    row: dict[str, Any], file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = file.read_bytes()
    assert run(monkeypatch, "cssconvert", str(file)) == 0
    assert file.read_bytes() == before


@pytest.mark.parametrize("name", MAIN)
def test_what_is_no_hash_file_stays(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Site(tmp_path, monkeypatch, "libhash_drv.so")
    file = tmp_path / "letter.css"
    file.write_bytes(b"\0" * 99)
    assert run(monkeypatch, name, str(file)) == 75
    assert capsys.readouterr().err.endswith("letter.css is no hash file\n")
    assert file.read_bytes() == b"\0" * 99


@pytest.mark.parametrize("name", MAIN)
def test_what_could_only_become_a_hash_file_stays_what_it_is(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Site(tmp_path, monkeypatch, "libhash_drv.so")
    empty, pipe = tmp_path / "empty.css", tmp_path / "pipe.css"
    empty.touch()
    os.mkfifo(pipe)
    for path, fault in ((empty, "empty"), (pipe, "no regular file"), (tmp_path, "no regular file")):
        assert run(monkeypatch, name, str(path)) == 1
        assert capsys.readouterr().err == f"{name}: {path} is {fault}, no hash file\n"
    assert empty.stat().st_size == 0
    assert pipe.is_fifo()
    assert not (tmp_path / "empty.lock").exists()
