"""dspam_logrotate: removed and remaining lines, and that no writer loses a line."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from pathlib import Path

import pytest

from dspamd.commands import dspam_logrotate
from dspamd.commands.dspam_logrotate import Options, parse, rotate
from tests.support.wait import until


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("-a 30 -l a b", Options(30, False, [Path("a"), Path("b")])),
        ("-v -a 30 -l a", Options(30, True, [Path("a")])),
        ("-a 30 -l a -v", Options(30, True, [Path("a")])),
        ("-l a -a 30", None),
        ("-a x -l a", None),
        ("-a 30 -l", None),
        ("", None),
    ],
)
def test_command_line(words: str, wanted: Options | None) -> None:
    assert parse(words.split()) == wanted


def test_logs_below_a_folder(tmp_path: Path) -> None:
    for name in ("system.log", "data/bob/bob.log", "data/bob/bob.mbox"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"1\told\n\n")
    assert dspam_logrotate.main(["-a", "1", "-d", str(tmp_path)]) == 0
    left = {path.name: path.stat().st_size for path in tmp_path.rglob("*.*")}
    assert left == {"system.log": 0, "bob.log": 0, "bob.mbox": 7}


def test_lines_without_a_time_go(tmp_path: Path) -> None:
    log = tmp_path / "bob.log"
    log.write_bytes(b"100\tI\ta\n\nno time\n99\tS\tb\n\n200\tS\t\xff\n\n300 none\n100\tlast")
    assert rotate(log, 100) == 6
    assert log.read_bytes() == b"100\tI\ta\n200\tS\t\xff\n100\tlast"


def test_long_logs_keep_their_order(tmp_path: Path) -> None:
    log = tmp_path / "system.log"
    lines = [b"%d\t%s\n" % (number, b"x" * 100) for number in range(30_000)]
    log.write_bytes(b"".join(lines))
    before = log.stat().st_ino
    assert rotate(log, 10_000) == 10_000
    assert log.read_bytes() == b"".join(lines[10_000:])
    assert rotate(log, 10_000) == 0
    assert log.read_bytes() == b"".join(lines[10_000:])
    assert log.stat().st_ino == before


def test_waits_for_who_is_writing(tmp_path: Path) -> None:
    log = tmp_path / "system.log"
    log.write_bytes(b"1\told\n")
    with log.open("ab", buffering=0) as writer:
        fcntl.lockf(writer, fcntl.LOCK_EX)
        waiting = subprocess.Popen(
            [sys.executable, "-m", "dspamd.commands.dspam_logrotate", "-a", "1", "-l", str(log)]
        )
        try:
            until(lambda: "FLOCK" in _locks(waiting.pid) or "POSIX" in _locks(waiting.pid), "the lock")
            writer.write(b"99999999999\tnew\n")
            fcntl.lockf(writer, fcntl.LOCK_UN)
            assert waiting.wait(30) == 0
        finally:
            waiting.kill()
            waiting.wait()
    assert log.read_bytes() == b"99999999999\tnew\n"


def _locks(pid: int) -> str:
    """The locks that a process holds or waits for: /proc/locks, proc(5)."""
    lines = Path("/proc/locks").read_text().splitlines()
    return "\n".join(line for line in lines if str(pid) in line.split())


def test_a_missing_log_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dspam_logrotate.main(["-a", "1", "-l", str(tmp_path / "none.log")]) == 1
    assert "none.log" in capsys.readouterr().err
