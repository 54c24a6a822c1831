"""The files of users: which they are, how they are joined, and what a repetition adds."""

from __future__ import annotations

from pathlib import Path

import pytest

from dspamd.home import system_log, user_files
from dspamd.home.home import Home, Layout
from dspamd.home.user_files import Growing

LINE = b"1\tS\tfrom\tid\tsubject\t0.1\t%b\tstatus\tmid\n"


@pytest.mark.parametrize("layout", Layout)
def test_files_of_users_whose_names_begin_alike_are_kept_apart(tmp_path: Path, layout: Layout) -> None:
    home = Home(tmp_path, layout)
    for name in ("b", "b.c", "bb", "b@example.org", "bc@example.org"):
        home.prepare(home.file(name, "log")).write_text(name)
    for name in ("b", "b.c", "b@example.org"):
        (path,) = user_files.owned(home, name).values()
        assert path.read_text() == name
    user_files.remove(home, "b")
    assert not home.file("b", "log").exists()
    assert all(home.file(name, "log").exists() for name in ("b.c", "bb", "b@example.org"))


def test_lines_are_added_once(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"one\n\ntorn")
    growing = Growing.lines(path)
    assert growing.add([b"one", b"two", b"two"]) == 1
    with path.open("ab") as file:
        file.write(b"three\n")
    assert growing.add([b"three", b"four"]) == 1
    assert Growing.lines(path).add([b"four", b"torn"]) == 0
    assert path.read_bytes() == b"one\n\ntorn\ntwo\nthree\nfour\n"


def test_messages_are_added_once(tmp_path: Path) -> None:
    first, second = b"From a\nSubject: x\n\nFroma\n>From b\n\n\n", b"From b\n\nno end"
    path = tmp_path / "mbox"
    path.write_bytes(first)
    assert Growing.mailbox(path).add([second, first]) == 1
    assert list(user_files.messages(path)) == [first, second]
    assert Growing.mailbox(path).add([second, first]) == 0


def test_files_are_joined_as_often_as_one_likes(tmp_path: Path) -> None:
    home = Home(tmp_path)
    for name in ("ann", "bob"):
        home.prepare(home.file(name, "blocklist")).write_text(f"both.example\n{name}.example\n")
        home.file(name, "stats").write_text(name)
        home.file(name, "mbox").write_text(f"From {name}\n\n")
        user_files.add_file(home.file(name, "corpus") / f"spam/{name}", b"")
    home.file("bob", "css").write_text("dictionary")
    home.file("bob", "firstrun").touch()
    home.prepare(home.opt_out("bob")).touch()
    user_files.join(home, "bob", "ann")
    assert [path.name for path in home.directory("bob").iterdir()] == ["bob.css"]
    for _ in range(2):
        user_files.join(home, "bob", "ann")
        assert home.file("ann", "blocklist").read_text() == "both.example\nann.example\nbob.example\n"
        assert home.file("ann", "mbox").read_text() == "From ann\n\nFrom bob\n\n"
        assert home.file("ann", "stats").read_text() == "ann"
        assert {path.name for path in home.file("ann", "corpus").rglob("spam/*")} == {"ann", "bob"}
        assert home.file("ann", "firstrun").exists()
        assert list(user_files.opted(home, "ann")) == ["out"]


@pytest.mark.parametrize("new", ["b", "bob@a.rather.long.name.example.org", None])
def test_lines_of_the_system_log_are_rewritten(
    tmp_path: Path, new: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system_log, "WRITTEN_AT_ONCE", 7)
    log = tmp_path / "system.log"
    names = (b"bob", b"ann", b"bob", b"bobby")
    log.write_bytes(b"".join(LINE % name for name in names) + b"bob\n")
    assert list(system_log.lines_of(log, "bob")) == [LINE.rstrip(b"\n") % b"bob"] * 2
    assert system_log.rewrite(log, "bob", new) == 2
    kept = [name for name in names if new or name != b"bob"]
    wanted = [LINE % ((new or "").encode() if name == b"bob" else name) for name in kept]
    assert log.read_bytes() == b"".join(wanted) + b"bob\n"
    assert system_log.rewrite(log, "bob", new) == 0
    assert system_log.rewrite(tmp_path / "none", "bob", new) == 0
