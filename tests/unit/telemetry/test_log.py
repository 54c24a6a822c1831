"""The lines of the log: their form, and that nothing in mail can forge one."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspamd.config.config import Config
from dspamd.telemetry import log
from dspamd.telemetry.log_target import File, Stderr, Syslog
from tests.support.logged import Logged

BUDGET_S = 15e-6
SLACK = 4  # for a slow or busy machine


def line_of(form: str = "logfmt", **fields: object) -> str:
    target = Logged()
    log.logger("info", form, target).info("message", **fields)
    ((level, line),) = target.lines
    assert level == "info"
    return line


def test_a_line_begins_with_time_level_and_event() -> None:
    time_, level, event, *rest = line_of(user="bob", size=12, spam=True, share=0.5).split()
    assert time_.startswith("timestamp=20")
    assert [level, event, *rest] == [
        "level=info",
        "event=message",
        "user=bob",
        "size=12",
        "spam=True",
        "share=0.5",
    ]


def test_what_is_not_known_is_left_out() -> None:
    assert line_of(user="bob", source=None).endswith(" event=message user=bob")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("", '""'),
        ("two words", '"two words"'),
        ('a "quote"', r'"a \"quote\""'),
        ("a\\b", r'"a\\b"'),
        ("x\nlevel=error", r'"x\nlevel=error"'),
        ("\x1b[2J\0", r'"\x1b[2J\x00"'),
        ("next\x85line", r'"next\x85line"'),
        ("ünïcode", "ünïcode"),
    ],
)
def test_values_whose_end_could_not_be_seen_are_quoted(value: str, shown: str) -> None:
    assert line_of(value=value).endswith(f" value={shown}")


@given(st.text())
def test_no_value_ends_its_line_or_adds_a_field(value: str) -> None:
    line = line_of(value=value, last=1)
    assert line.isprintable() or not any(
        character < " " or "\x7f" <= character < "\xa0" for character in line
    )
    shown = line.split(" value=", 1)[1].removesuffix(" last=1")
    quoted = shown.startswith('"') and shown.endswith('"') and len(shown) > 1
    assert quoted or not any(character.isspace() or character in '="' for character in shown)


def test_json_has_the_same_fields() -> None:
    fields = json.loads(line_of("json", user="bob", text="x\ny"))
    del fields["timestamp"]
    assert fields == {"level": "info", "event": "message", "user": "bob", "text": "x\ny"}


def test_a_bug_is_told_with_its_traceback_in_one_line() -> None:
    target = Logged()
    try:
        raise ValueError("why")
    except ValueError:
        log.logger("info", "logfmt", target).exception("bug")
    ((level, line),) = target.lines
    assert level == "error"
    assert "ValueError: why" in line
    assert "\n" not in line


def test_a_level_hides_what_is_below_it() -> None:
    target = Logged()
    logger = log.logger("warning", "logfmt", target)
    logger.info("no")
    logger.debug("no")
    logger.warning("yes")
    logger.error("yes")
    assert [level for level, _ in target.lines] == ["warning", "error"]


def test_configure_is_what_get_uses() -> None:
    target, other, usual = Logged(), Logged(), log.get()
    with log.diverted(other):
        log.get().info("there")
        log.configure("info", "logfmt", target)
        log.get().info("here")
    assert "event=here" in target.lines[0][1]
    assert "event=there" in other.take()
    assert log.get() is usual


def test_log_target_says_where_lines_go(tmp_path: Path) -> None:
    def target(*lines: str) -> object:
        return log.target(Config.from_text("\n".join([f"Home {tmp_path}", *lines])))

    assert isinstance(target(), Stderr)
    assert isinstance(target("LogTarget syslog"), Syslog)
    for lines, path in (
        (["LogTarget mail.log"], tmp_path / "log/mail.log"),
        (["LogTarget mail.log", f"LogDirectory {tmp_path}/other"], tmp_path / "other/mail.log"),
        ([f"LogTarget {tmp_path}/absolute.log"], tmp_path / "absolute.log"),
    ):
        file = target(*lines)
        assert isinstance(file, File)
        file.write("info", "line")
        assert path.read_text() == "line\n"


@pytest.mark.no_cover  # tracing would add to the times measured here
def test_a_line_costs_little(tmp_path: Path) -> None:
    logger = log.logger("info", "logfmt", File(tmp_path / "log"))
    fields = {f"field{number}": "value" for number in range(12)} | {f"ms{number}": 1.5 for number in range(8)}

    def seconds() -> float:
        started = time.process_time()
        for _ in range(500):
            logger.info("message", **fields)
        return (time.process_time() - started) / 500

    assert min(seconds() for _ in range(5)) < SLACK * BUDGET_S


def test_targets_get_one_line_at_a_time_whichever_threads_tell() -> None:
    class Busy:
        def __init__(self) -> None:
            self.lines = 0
            self._free = threading.Lock()

        def open(self) -> None:
            """It is there."""

        def write(self, level: str, line: str) -> None:
            assert self._free.acquire(blocking=False), "two at a time"
            time.sleep(0.0001)  # let another thread run
            self.lines += 1
            self._free.release()

        def close(self) -> None:
            """Nothing was opened."""

    target = Busy()
    logger = log.logger("info", "logfmt", target)
    with ThreadPoolExecutor(4) as threads:
        for told in [threads.submit(logger.info, "message") for _ in range(200)]:
            told.result()
    assert target.lines == 200
