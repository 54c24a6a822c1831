"""Trouble with every message: one line, then counts, then its end."""

from __future__ import annotations

import errno
import os

from dspamd.telemetry.recurring import AGAIN_S, WELL_S, Recurring
from tests.support.logged import Logged


def failure(number: int, file: str = "") -> OSError:
    return OSError(number, os.strerror(number), file or None)


class Clock:
    def __init__(self) -> None:
        self.now = 5.0

    def __call__(self) -> float:
        return self.now


def test_a_full_disk_is_told_once_then_counted_then_over(logged: Logged) -> None:
    clock = Clock()
    trouble = Recurring("not_written", "written_again", clock)
    for number in range(1000):
        trouble.tell(failure(errno.ENOSPC), f"/home/user{number}.log", lost=2)
        trouble.well()  # a small write still succeeded
    (line,) = logged.take().splitlines()
    assert 'event=not_written file=/home/user0.log lost=2 reason="/home/user0.log: No space left' in line

    clock.now += AGAIN_S
    trouble.tell(failure(errno.ENOSPC), "/home/late.log")
    (line,) = logged.take().splitlines()
    assert "lost=1999" in line

    clock.now += WELL_S
    trouble.well()
    trouble.well()
    (line,) = logged.take().splitlines()
    assert "event=written_again lost=2001" in line

    trouble.tell(failure(errno.ENOSPC), "/home/again.log")
    assert "file=/home/again.log lost=1" in logged.take()


def test_what_is_wrong_with_one_file_hides_nothing_of_another(logged: Logged) -> None:
    trouble = Recurring("not_written", "written_again", Clock())
    for _ in range(3):
        trouble.tell(failure(errno.EISDIR), "a")
        trouble.tell(failure(errno.ENOSPC), "b")
        trouble.tell(failure(errno.EISDIR), "c")
        trouble.tell(ValueError("no name"), "d")
    lines = logged.take().splitlines()
    assert [line.split("file=")[1][0] for line in lines] == ["a", "b", "c", "d"]
    trouble.close()
    trouble.close()
    (line,) = logged.take().splitlines()
    assert 'event=not_written lost=8 reason="as before"' in line


def test_no_trouble_is_not_told(logged: Logged) -> None:
    trouble = Recurring("not_written", "written_again", Clock())
    trouble.well()
    trouble.close()
    assert logged.take() == ""


def test_the_first_failure_is_told_at_any_time(logged: Logged) -> None:
    """Also where a difference of floats and its sum are not the same number again."""
    clock = Clock()
    for number in range(1000):
        clock.now = number * 0.123456789
        assert Recurring("not_written", "written_again", clock).due(failure(errno.ENOSPC), "a file") == 1
