"""Files that are replaced as a whole (`dspamd.files`)."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from dspamd.files import atomic_replace, is_still, replacement


def test_a_reader_keeps_the_old_content_and_the_next_one_finds_the_new(tmp_path: Path) -> None:
    path = tmp_path / "bob.prefs"
    path.write_bytes(b"old")
    with path.open("rb") as reader:
        atomic_replace(path, b"new", durable=True)
        assert reader.read() == b"old"
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", [b"", b"a" * 100_000, b"\xff\r\n\0"])
def test_a_file_that_was_not_there_is_made(tmp_path: Path, content: bytes) -> None:
    atomic_replace(tmp_path / "file", content)
    assert (tmp_path / "file").read_bytes() == content


@pytest.mark.parametrize(("mode", "found"), [(0o660, 0o660), (None, 0o600)])
def test_a_mode_holds_whatever_the_umask_is(tmp_path: Path, mode: int | None, found: int) -> None:
    before = os.umask(0o077)
    try:
        atomic_replace(tmp_path / "file", b"", mode=mode)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == found


def test_a_body_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(OSError, match="full"), replacement(path, "7") as fresh:
        assert fresh == tmp_path / "file.7"
        fresh.write_bytes(b"a part")
        raise OSError("full")
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == {"file": b"old"}


def test_a_target_that_cannot_be_replaced_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError):
        atomic_replace(tmp_path / "folder", b"content")
    assert [each.name for each in tmp_path.iterdir()] == ["folder"]


def test_an_open_file_is_still_the_one_of_its_name_until_it_is_replaced_or_removed(tmp_path: Path) -> None:
    path = tmp_path / "mbox"
    path.write_bytes(b"")
    with path.open("rb") as file:
        assert is_still(path, file.fileno())
        atomic_replace(path, b"")
        assert not is_still(path, file.fileno())
        path.unlink()
        assert not is_still(path, file.fileno())
