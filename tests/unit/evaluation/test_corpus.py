"""Readers of corpora: order, users, and what is wrong with them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dspamd.engine.model import Label
from dspamd.evaluation.corpus import UnusableCorpus, Users, from_folders, from_index

HAM, SPAM = Label.INNOCENT, Label.SPAM


def _mail(path: Path, date: str = "", received: str = "", modified: float = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    head = (f"Received: from a by b; {received}\n" if received else "") + (f"Date: {date}\n" if date else "")
    path.write_text(f"{head}Subject: {path.name}\n\nDate: Mon, 1 Jan 1990 00:00:00 +0000\n")
    os.utime(path, (modified, modified))
    return path


def test_an_index_gives_the_order(tmp_path: Path) -> None:
    for name in ("b", "a c"):
        _mail(tmp_path / name)
    index = tmp_path / "index"
    index.write_text("spam b\n\n ham a c\n")
    items = from_index(index)
    assert [(item.label, item.name) for item in items] == [(SPAM, "b"), (HAM, "a c")]
    assert items[1].read() == (tmp_path / "a c").read_bytes()


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ("ham a\nspan a\n", "index:2: 'span' is neither spam nor ham"),
        ("ham a\nspam\n", "index:2: there is no path after 'spam'"),
        ("ham a\n\nspam b\n", "index:3: {folder}/b: No such file or directory"),
        ("spam .\nham a\n", "index:1: {folder}: Is a directory"),
        ("ham a\n", "index: there is no spam"),
        ("spam a\n", "index: there is no ham"),
        ("", "index: there is no ham"),
    ],
)
def test_an_index_with_faults(tmp_path: Path, lines: str, complaint: str) -> None:
    _mail(tmp_path / "a")
    (tmp_path / "index").write_text(lines)
    with pytest.raises(UnusableCorpus) as caught:
        from_index(tmp_path / "index")
    assert str(caught.value) == f"{tmp_path}/{complaint.format(folder=tmp_path)}"


def test_an_index_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(UnusableCorpus, match=r"Failed to open index file .*: No such file"):
        from_index(tmp_path / "none")


def test_places_by_date(tmp_path: Path) -> None:
    """Our own mail server's time comes first, then the sender's, then that of the file."""
    third = _mail(tmp_path / "ham/cur/1", date="Tue, 3 Jan 2002 00:00:00 +0000")
    first = _mail(
        tmp_path / "ham/new/2", date="Fri, 3 Jan 2010 00:00:00 +0000", received="Sun, 1 Jan 2002 00:00:00 GMT"
    )
    second = _mail(tmp_path / "spam/3", date="Never", modified=1009929600.0)  # 2002-01-02
    box = tmp_path / "box"
    box.write_bytes(b"From x\nDate: Wed, 4 Jan 2002 00:00:00 -0000\n\ntext\n\n\nFrom y\nSubject: a\n\nFrom\n")
    os.utime(box, (1100000000, 1100000000))
    items = from_folders([tmp_path / "ham"], [tmp_path / "spam", box], "date")
    assert [item.name for item in items] == [*map(str, (first, second, third)), f"{box}:0", f"{box}:1"]
    assert [item.label for item in items] == [HAM, SPAM, HAM, SPAM, SPAM]
    assert items[3].read() == b"Date: Wed, 4 Jan 2002 00:00:00 -0000\n\ntext\n\n"
    assert items[4].read() == b"Subject: a\n\nFrom\n"


def test_places_by_name(tmp_path: Path) -> None:
    for name in ("ham/2", "spam/1", "ham/3"):
        _mail(tmp_path / name)
    items = from_folders([tmp_path / "ham"], [tmp_path / "spam"], "name")
    assert [Path(item.name).name for item in items] == ["1", "2", "3"]


def test_places_with_faults(tmp_path: Path) -> None:
    _mail(tmp_path / "ham/1")
    (tmp_path / "none").mkdir()
    with pytest.raises(UnusableCorpus, match="there is no spam"):
        from_folders([tmp_path / "ham"], [tmp_path / "none"], "date")
    with pytest.raises(UnusableCorpus, match="must be either a MBOX file or a maildir"):
        from_folders([tmp_path / "ham"], [tmp_path / "nothing"], "date")


def test_users(tmp_path: Path) -> None:
    for name in ("bob/ham/1", "bob/spam/1", "ann/x/2", "ann/y/3"):
        _mail(tmp_path / name)
    index = tmp_path / "index"
    index.write_text("ham bob/ham/1\nspam bob/spam/1\nspam ann/x/2\nham ann/y/3\n")
    items = from_index(index)
    assert [item.user for item in Users().of(items)] == ["user"] * 4
    assert [item.user for item in Users(by_folder=True).of(items)] == ["bob", "bob", "ann", "ann"]
    mapping = tmp_path / "users"
    mapping.write_text("bob robert\n\nann/x/2 ann\nann zoe\n")
    assert [item.user for item in Users.read(mapping).of(items)] == ["robert", "robert", "ann", "zoe"]


def test_users_with_faults(tmp_path: Path) -> None:
    _mail(tmp_path / "a")
    _mail(tmp_path / "b")
    (tmp_path / "index").write_text("ham a\nspam b\n")
    items = from_index(tmp_path / "index")
    with pytest.raises(UnusableCorpus, match="a: it lies in no folder"):
        Users(by_folder=True).of(items)
    mapping = tmp_path / "users"
    mapping.write_text("a ann\n")
    with pytest.raises(UnusableCorpus, match="users: it names no user for b"):
        Users.read(mapping).of(items)
    mapping.write_text("a ann\nb\n")
    with pytest.raises(UnusableCorpus, match="users:2: not a path and a user"):
        Users.read(mapping)
