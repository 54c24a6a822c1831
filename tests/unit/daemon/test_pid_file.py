"""The pid file: one living daemon, however many dead ones."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dspamd.daemon.pid_file import holder, pid_file

KEEP = """
import sys; from pathlib import Path; from dspamd.daemon.pid_file import pid_file
with pid_file(Path(sys.argv[1])):
    print("kept", flush=True)
    sys.stdin.read()
"""


def test_it_names_the_process_and_goes_with_it(tmp_path: Path) -> None:
    path = tmp_path / "dspam.pid"
    with pid_file(path):
        assert path.read_text() == f"{os.getpid()}\n"
    assert not path.exists()
    assert holder(path) is None


def test_whoever_looks_after_the_daemon_may_read_it(tmp_path: Path) -> None:
    umask = os.umask(0o077)
    try:
        with pid_file(tmp_path / "dspam.pid"):
            assert (tmp_path / "dspam.pid").stat().st_mode & 0o777 == 0o644
    finally:
        os.umask(umask)


def test_that_of_a_living_daemon_is_respected(tmp_path: Path) -> None:
    path = tmp_path / "dspam.pid"
    with subprocess.Popen(
        [sys.executable, "-c", KEEP, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "kept\n"
        with (
            pytest.raises(FileExistsError, match=f"another daemon runs as process {other.pid}"),
            pid_file(path),
        ):
            raise AssertionError("two daemons have the same file")
        assert path.read_text() == f"{other.pid}\n"
        assert holder(path) == other.pid
        other.kill()
        other.wait(5)
    assert holder(path) is None
    with pid_file(path):  # its leftover file does not count any more
        assert path.read_text() == f"{os.getpid()}\n"


@pytest.mark.parametrize("left", ["1\n", f"{os.getpid()}\n", "12345678901234567890\n", "", "what?"])
def test_what_a_dead_daemon_left_is_replaced(tmp_path: Path, left: str) -> None:
    path = tmp_path / "dspam.pid"
    path.write_text(left)
    with pid_file(path):
        assert path.read_text() == f"{os.getpid()}\n"


def test_a_place_where_it_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), pid_file(tmp_path / "none" / "dspam.pid"):
        raise AssertionError("there is no such directory")
