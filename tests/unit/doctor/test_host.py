"""The doctor examines disks, clocks and limits."""

from __future__ import annotations

from pathlib import Path

import pytest

from dspamd.diagnosis import Severity
from dspamd.doctor.host import Clock, Space, judged_clock, judged_open_files, judged_space

HOME = Path("/var/lib/dspam")
MB, GB, DAY = 10**6, 10**9, 86400


@pytest.mark.parametrize(
    ("space", "severity", "said"),
    [
        (Space(HOME, 50 * GB, 100 * GB, 10**6), Severity.FINE, "50.0 GB of 100.0 GB are free"),
        (
            Space(HOME, 9 * GB, 100 * GB, None),
            Severity.FINE,
            "9.0 GB of",
        ),  # a tenth of much is enough
        (Space(HOME, 300 * MB, 2 * GB, 10**6), Severity.FINE, "0.3 GB of 2.0 GB"),
        (Space(HOME, 900 * MB, 100 * GB, 10**6), Severity.ADVICE, "0.9 GB of"),
        (Space(HOME, 150 * MB, 2 * GB, 10**6), Severity.ADVICE, "0.1 GB of"),
        (Space(HOME, 90 * MB, 100 * GB, 10**6), Severity.PROBLEM, "0.1 GB of"),
        (Space(HOME, 50 * GB, 100 * GB, 999), Severity.PROBLEM, "only 999 more files"),
        (Space(HOME, 50 * GB, 100 * GB, 10**6, read_only=True), Severity.PROBLEM, "read-only"),
    ],
)
def test_space(space: Space, severity: Severity, said: str) -> None:
    diagnosis = judged_space(space)
    assert diagnosis.severity is severity
    assert said in diagnosis.what
    assert diagnosis.what.startswith("/var/lib/dspam")


@pytest.mark.parametrize(
    ("clock", "severity", "said"),
    [
        (Clock(100 * DAY, 90 * DAY, True), Severity.FINE, "a time server sets the clock"),
        (Clock(100 * DAY, 90 * DAY, None), Severity.FINE, "may be right"),
        (Clock(100 * DAY, 90 * DAY, False), Severity.ADVICE, "no time server"),
        (Clock(90 * DAY, 100 * DAY, True), Severity.PROBLEM, "10 days before the day"),
    ],
)
def test_clock(clock: Clock, severity: Severity, said: str) -> None:
    diagnosis = judged_clock(clock)
    assert diagnosis.severity is severity
    assert said in diagnosis.what


def test_open_files() -> None:
    assert judged_open_files(200, 200, "the daemon").severity is Severity.FINE
    few = judged_open_files(200, 128, "the daemon")
    assert few.severity is Severity.PROBLEM
    assert "128 sessions only" in few.what
    assert "LimitNOFILE" in few.cure
