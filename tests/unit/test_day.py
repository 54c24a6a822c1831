"""Tests can be run on any day, and until the next (dates.py, day.py).

Fixed days stay out of tests that ask real clocks; and no test asks what day it is: that may change meanwhile.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.dates import Moment, run

TESTS = Path(__file__).parents[1]
BY_DESIGN = {"support/day.py", "dates.py", "unit/test_day.py", "conftest.py"}
FIRST_NEAR = 2020  # a year; older dates were past when the first test was written
EPOCHS = range(1_577_836_800, 2_100_000_000)  # 2020 to 2036, in seconds
MOST_OF_A_DAY = {"date", "datetime", "mktime", "timegm", "struct_time"}  # calls whose arguments are a day
REAL_CLOCKS = {"time.time", "time.time_ns", "datetime.now", "datetime.today", "date.today", "utc_day"}
REAL_DAYS = {"date.today", "datetime.today", "time.gmtime", "time.localtime", "clock.utc_day"}
REAL_STAMPS = {"st_mtime", "st_mtime_ns", "st_ctime", "st_ctime_ns", "st_atime", "st_atime_ns"}


def near_days(tree: ast.AST) -> Iterator[int]:
    """The lines in which a near day is written out as a value (texts are data: mail may be of any day)."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name), args=[first, *_]):
                year = first.elts[0] if isinstance(first, ast.Tuple) and first.elts else first
                if name in MOST_OF_A_DAY and _number(year) >= FIRST_NEAR:
                    yield node.lineno
            case ast.Constant() if int(_number(node)) in EPOCHS:
                yield node.lineno


def _number(node: ast.AST) -> float:
    """The value of a number, 0 for anything else."""
    value = node.value if isinstance(node, ast.Constant) else 0
    return value if isinstance(value, int | float) else 0


def real_clocks(tree: ast.AST) -> Iterator[int]:
    """The lines in which the clock of the system, or that of a file system, is asked."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id=module), attr=name) if f"{module}.{name}" in REAL_CLOCKS:
                yield node.lineno
            case ast.Attribute(attr=name) if name in REAL_STAMPS:
                yield node.lineno
            case ast.Name(id=name) if name in REAL_CLOCKS:
                yield node.lineno


def real_days(tree: ast.AST) -> Iterator[int]:
    """The lines in which a test asks what day it is."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id="utc_day")):
                yield node.lineno
            case ast.Call(func=ast.Attribute(value=ast.Name(id=module), attr=name), args=[]):
                if f"{module}.{name}" in REAL_DAYS:
                    yield node.lineno


def knows_the_fixed_day(tree: ast.AST) -> bool:
    return any(
        isinstance(node, ast.ImportFrom) and node.module == "tests.support.day" for node in ast.walk(tree)
    )


def complaints(name: str, source: str) -> list[str]:
    tree = ast.parse(source)
    found = [f"{name}:{line}: take the day from tests/support/day.py" for line in near_days(tree)]
    found += [f"{name}:{line}: the day may end: take the fixture `today`" for line in real_days(tree)]
    if knows_the_fixed_day(tree):
        found += [f"{name}:{line}: asks a real clock beside the fixed day" for line in real_clocks(tree)]
    return found


def test_fixed_days_and_real_clocks_are_kept_apart() -> None:
    found = []
    for path in sorted(TESTS.rglob("*.py")):
        name = str(path.relative_to(TESTS))
        if name not in BY_DESIGN:
            found += complaints(name, path.read_text())
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        "TODAY = date(2026, 11, 20)",
        "storage = SQLite(home, today=lambda: datetime.date(2031, 1, 1))",
        "now = datetime(2027, 3, 28, tzinfo=UTC)",
        "now = time.mktime((2026, 11, 6, 8, 56, 5, 0, 0, -1))",
        "clock = lambda: 1795166169.5",
        "from tests.support.day import TODAY\nassert entry.when == time.time()",
        "from tests.support.day import NOW\nage = NOW_S - path.stat().st_mtime",
        "rows = taught()\nassert rows == [(1, utc_day())]",
        "today = time.strftime('%Y-%m-%d', time.gmtime())",
        "def test() -> None:\n    from tests.support.day import TODAY\n    assert utc_day() == TODAY",
    ],
)
def test_a_doctored_test_is_found(source: str) -> None:
    assert complaints("test_x.py", source) != []


@pytest.mark.parametrize(
    "source",
    [
        "epoch = date(1970, 1, 1)",
        "mail = 'Date: Fri, 20 Nov 2026 08:00:00 +0000'",
        "from tests.support.day import TODAY\nlater = TODAY + timedelta(30)\nbegun = time.monotonic()",
        "def test(today: date) -> None:\n    assert last_hit() == today",
        "assert notice.when == pytest.approx(time.time(), abs=60)",
    ],
)
def test_a_sound_test_is_not(source: str) -> None:
    assert complaints("test_x.py", source) == []


TOLD = """\
import datetime, os, time

def test_the_day() -> None:
    now = datetime.datetime.now()
    assert (now.month, now.day, now.hour) == (2, 29, 8)  # half past eight in Newfoundland
    assert time.time() - os.stat(__file__).st_mtime > 86_400

def test_a_fixed_day() -> None:
    assert datetime.date.today() < datetime.date(2028, 2, 29)
"""


def test_a_run_on_another_day_is_one(tmp_path: Path) -> None:
    """It fails if a test does, because it starts pytest."""
    (tmp_path / "test_told.py").write_text(TOLD)
    moment = Moment("29 February", datetime(2028, 2, 29, 12, tzinfo=UTC), "America/St_Johns", "C")
    common = ["-q", f"--rootdir={tmp_path}", "-p", "no:cacheprovider", str(tmp_path / "test_told.py")]
    assert run(moment, [*common, "-k", "the_day"], tmp_path) == 0
    assert run(moment, [*common, "-k", "fixed"], tmp_path) == 1
