"""Where lines of the log go, and that no trouble there is trouble for mail."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from dspamd.telemetry.log_target import File, Stderr, Syslog
from tests.support.full_disk import full_beyond


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        with contextlib.suppress(OSError):  # the test may have closed it
            os.close(end)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


# --- stderr ------------------------------------------------------------------------------------


def test_lines_reach_the_reader_of_a_pipe(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    target = Stderr(writer)
    target.write("info", "ünï")
    target.write("info", "x" * 10_000)
    assert os.read(reader, 20_000) == "ünï\n".encode() + b"x" * 10_000 + b"\n"


def test_a_reader_that_does_not_keep_up_costs_lines_not_time(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    target = Stderr(writer)
    for _ in range(200):  # a pipe holds 64 kB
        target.write("info", "x" * 999)
    os.set_blocking(reader, False)
    got = os.read(reader, 1 << 20)
    assert len(got) < 200_000
    assert set(got.split(b"\n")) == {b"x" * 999, b""}
    target.write("info", "again")
    assert os.read(reader, 1 << 20).endswith(b"again\n")


def test_a_closed_pipe_is_no_trouble(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    os.close(reader)
    Stderr(writer).write("info", "nobody reads this")
    assert os.get_blocking(writer), "what others use as well is left as it was"


# --- syslog ------------------------------------------------------------------------------------


@pytest.fixture
def syslog(tmp_path: Path) -> Iterator[Syslog]:
    target = Syslog("dspamd", str(tmp_path / "log"))
    yield target
    target.close()


def listening(path: Path) -> socket.socket:
    log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    log.bind(str(path))
    log.setblocking(False)
    return log


def test_syslog_hears_facility_severity_ident_and_pid(tmp_path: Path, syslog: Syslog) -> None:
    with listening(tmp_path / "log") as log:
        syslog.write("info", "one")
        syslog.write("error", "two")
        assert log.recv(1000) == b"<22>dspamd[%d]: one" % os.getpid()
        assert log.recv(1000) == b"<19>dspamd[%d]: two" % os.getpid()


def test_without_syslog_lines_are_dropped_until_there_is_one(tmp_path: Path, syslog: Syslog) -> None:
    path = tmp_path / "log"
    syslog.write("info", "lost")
    with listening(path) as log:
        syslog.write("info", "heard")
        assert log.recv(1000).endswith(b": heard")
    path.unlink()
    syslog.write("info", "lost")
    with listening(path) as log:  # it was restarted
        syslog.write("info", "heard again")
        assert log.recv(1000).endswith(b": heard again")


def test_a_syslog_that_does_not_read_costs_lines_not_time(tmp_path: Path, syslog: Syslog) -> None:
    with listening(tmp_path / "log") as log:
        for number in range(5000):
            syslog.write("info", str(number))
        heard = 0
        with pytest.raises(BlockingIOError):
            while log.recv(1000):
                heard += 1
        assert 0 < heard < 5000
        syslog.write("info", "again")
        assert log.recv(1000).endswith(b": again")


# --- files -------------------------------------------------------------------------------------


def test_a_file_is_made_with_its_directory_for_its_group_to_read(tmp_path: Path) -> None:
    path = tmp_path / "log/mail.log"
    target = File(path)
    assert not path.exists()
    target.write("info", "one")
    target.write("info", "two")
    assert path.read_text() == "one\ntwo\n"
    assert path.stat().st_mode & 0o007 == 0


def test_what_root_makes_belongs_to_the_owner_of_its_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[Path, int, int]] = []
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "chown", lambda path, uid, gid: given.append((path, uid, gid)))
    owner = tmp_path.stat()
    path = tmp_path / "log/mail.log"
    for _ in range(2):
        target = File(path)
        target.open()
        target.close()
    assert given == [(made, owner.st_uid, owner.st_gid) for made in (path.parent, path)]


def test_a_file_that_was_moved_away_is_opened_anew(tmp_path: Path) -> None:
    path, clock = tmp_path / "mail.log", Clock()
    target = File(path, clock)
    target.write("info", "one")
    path.rename(tmp_path / "mail.log.1")
    target.write("info", "still there")
    clock.now += 1
    target.write("info", "two")
    assert (tmp_path / "mail.log.1").read_text() == "one\nstill there\n"
    assert path.read_text() == "two\n"


def test_lines_go_on_into_the_moved_file_if_there_can_be_no_new_one(tmp_path: Path) -> None:
    path, clock = tmp_path / "log/mail.log", Clock()
    target = File(path, clock)
    target.write("info", "one")
    path.parent.rename(tmp_path / "moved")
    path.parent.write_text("no directory any more")
    clock.now += 1
    target.write("info", "dropped, with the error")
    target.write("info", "two")
    assert (tmp_path / "moved/mail.log").read_text() == "one\ntwo\n"


def test_a_full_disk_costs_lines_only(tmp_path: Path) -> None:
    File(Path("/dev/full")).write("info", "lost")
    target = File(tmp_path / "mail.log")
    target.write("info", "one")
    with full_beyond(4):
        target.write("info", "lost")
    target.write("info", "two")
    assert (tmp_path / "mail.log").read_text() == "one\ntwo\n"


def test_a_line_that_a_full_disk_cut_off_spoils_no_other(tmp_path: Path) -> None:
    target = File(tmp_path / "mail.log")
    with full_beyond(6):
        for line in ("one", "torn", "lost"):
            target.write("info", line)
    for line in ("two", "three"):
        target.write("info", line)
    assert (tmp_path / "mail.log").read_text() == "one\nto\ntwo\nthree\n"
