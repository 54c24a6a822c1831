"""The file of a block: its contents after a cut, a tear or damage at any byte."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dspamd.storage.block import NO_BLOCK
from dspamd.storage.files import block_file

CHANGES = (b"one", b"", b"three")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with a folded base and changes."""
    path = tmp_path / "bob.block" / "weights"
    for data in (b"0", *CHANGES):
        block_file.append(path, block_file.length(path), data)
    base = block_file.read(path, 0).base_version + 1
    assert block_file.fold(path, base, b"base")
    return path


def test_files_are_for_the_group(path: Path) -> None:
    old = os.umask(0o077)
    try:
        block_file.append(path.with_name("new"), 0, b"")
    finally:
        os.umask(old)
    assert {file.stat().st_mode & 0o777 for file in path.parent.iterdir()} == {0o660}


def test_nothing_is_left_of_a_fold_but_the_file(path: Path) -> None:
    assert [file.name for file in path.parent.iterdir()] == ["weights"]
    path.with_name("weights.new").write_bytes(b"of a fold that a crash ended")
    assert block_file.names(path.parent) == ["weights"]
    assert block_file.fold(path, block_file.read(path, 0).version, b"next")
    assert [file.name for file in path.parent.iterdir()] == ["weights"]


def test_a_tail_torn_at_any_byte_is_cut(path: Path) -> None:
    sound, before = block_file.length(path), block_file.read(path, 0)
    block_file.append(path, sound, b"torn")
    whole = path.read_bytes()
    for end in range(sound, len(whole)):
        path.write_bytes(whole[:end])
        assert block_file.length(path) == sound
        assert block_file.read(path, 0) == before
        assert block_file.read(path, before.version).changes == ()
        block_file.append(path, sound, b"next")
        after = block_file.read(path, 0)
        assert (after.version, after.changes) == (before.version + 1, (*CHANGES, b"next"))


def test_a_tail_of_zeros_is_cut(path: Path) -> None:
    """Some file systems know the length before the bytes."""
    before = block_file.read(path, 0)
    with path.open("ab") as file:
        file.write(bytes(100))
    assert block_file.read(path, 0) == before
    assert block_file.names(path.parent) == ["weights"]


def test_damage_in_the_last_record_is_found_at_any_bit(path: Path) -> None:
    whole, before = path.read_bytes(), block_file.read(path, 0)
    shorter = (before.version - 1, CHANGES[:-1])
    last = len(whole) - 24 - len(CHANGES[-1]) - 4
    for at in range(last, len(whole)):
        damaged = bytearray(whole)
        damaged[at] ^= 1
        path.write_bytes(damaged)
        found = block_file.read(path, 0)
        assert (found.version, found.changes) == shorter


def test_damage_before_is_an_error_not_another_block(path: Path) -> None:
    damaged = bytearray(path.read_bytes())
    damaged[24] ^= 1  # in the base
    path.write_bytes(damaged)
    with pytest.raises(OSError, match="damaged"):
        block_file.read(path, 0)
    with pytest.raises(OSError, match="damaged"):
        block_file.fold(path, 2**63, b"")


def test_an_append_is_taken_back(path: Path) -> None:
    end, before = block_file.length(path), path.read_bytes()
    block_file.append(path, end, b"next")
    block_file.cut(path, end)
    assert path.read_bytes() == before
    new = path.with_name("new")
    block_file.append(new, 0, b"first")
    block_file.cut(new, 0)
    block_file.cut(new, 0)
    assert not new.exists()
    assert block_file.read(new, 0) == NO_BLOCK
