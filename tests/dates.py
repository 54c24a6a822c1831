"""The tests on other days, in other time zones and locales.

    python -m tests.dates [--moment WORD] [PART ...]

Each run is a whole run of pytest with the wall clock of all Python programs set (tests/support/clock.c).
Servers, the file system and the monotonic clock stay as they are: so they belong to another host, whose
clock goes wrong.  The library of the package faketime would take them along, but with it some sleeps and
timeouts of Python fail, or never end, and so do those of MariaDB.

Parts of pure arithmetic are left out: they cannot know what day it is (pyproject.toml, "The core is pure").
So are those that build packages, or measure, and do nothing else.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from tests.support.clock import Clock

PARTS = ("unit", "golden", "dialogue", "contract", "e2e")
PURE = (
    "unit/engine", "unit/mail", "golden/test_classify.py", "golden/test_reference.py", "golden/test_tokens.py"
)  # fmt: skip
NO_CLOCK = ("e2e/test_debian.py", "e2e/test_distribution.py", "e2e/test_make.py", "e2e/test_bench.py")
TESTS = Path(__file__).parent
TURKISH = "tr_TR.UTF-8"  # lower case of I is not i, and days have other names
BERLIN = "Europe/Berlin"
_YEAR_S = 365 * 86_400


class Moment(NamedTuple):
    """Where and when tests are run."""

    name: str
    start: datetime | None  # None: a year ahead
    zone: str
    locale: str


MOMENTS = {
    "ahead": Moment("a year ahead, where the day begins first", None, "Pacific/Kiritimati", "C"),
    "leap": Moment("29 February", datetime(2028, 2, 29, 12, tzinfo=UTC), "America/St_Johns", TURKISH),
    "summer": Moment("just before summer time", datetime(2027, 3, 28, 0, 59, tzinfo=UTC), BERLIN, TURKISH),
    "winter": Moment("just before winter time", datetime(2027, 10, 31, 0, 59, tzinfo=UTC), BERLIN, "C.UTF-8"),
    "new-year": Moment("just before a new year", datetime(2027, 12, 31, 23, 59, tzinfo=UTC), "UTC", "POSIX"),
}


def run(moment: Moment, arguments: Sequence[str], folder: Path) -> int:
    """Run pytest at a moment; its exit status.  `folder` takes the files of clock, locale and tests.

    Pytest would keep the files of tests in a place that all its runs share, and take those of runs that are
    not over for forgotten ones: with this clock, they began long ago.
    """
    clock = Clock(folder)
    now = folder.stat().st_mtime  # the clock may be a false one: we may be within such a run
    clock.set(_YEAR_S if moment.start is None else int(moment.start.timestamp() - now))
    surroundings = {"TZ": moment.zone, "LC_ALL": moment.locale, "LOCPATH": str(folder), **clock.environment}
    if moment.locale == TURKISH:
        compiled = folder / TURKISH
        subprocess.run(["localedef", "-i", "tr_TR", "-f", "UTF-8", compiled], check=True, timeout=60)
    return subprocess.run(
        [sys.executable, "-m", "pytest", *arguments], env=os.environ | surroundings
    ).returncode


def main(arguments: Sequence[str]) -> int:
    """Run parts of the tests at all moments, or at one; 1 if any test failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.dates", allow_abbrev=False)
    parser.add_argument("--moment", choices=MOMENTS, help="at this one only")
    parser.add_argument("parts", nargs="*", metavar="PART", default=PARTS)
    chosen = parser.parse_args(arguments)
    paths = [str(TESTS / part) for part in chosen.parts]
    paths += [f"--ignore={TESTS / left_out}" for left_out in (*PURE, *NO_CLOCK)]
    failed = []
    for moment in [MOMENTS[chosen.moment]] if chosen.moment else MOMENTS.values():
        print(f"== {moment.name}: TZ={moment.zone} LC_ALL={moment.locale}", flush=True)
        with tempfile.TemporaryDirectory(prefix="dspamd-dates-") as folder:
            if run(moment, ["-q", *paths], Path(folder)):
                failed.append(moment.name)
    print("failed: " + ("; ".join(failed) or "none"))
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
