"""The day in tests: for a store, a notice, a header that takes the time as an argument.

A day that was near when a test was written goes by.  While it lies ahead, whatever asks a real clock in the
same test may agree with it; afterwards, it cannot.  So near days stand here alone, and where they are used
no real clock is asked: tests/unit/test_day.py sees to it.  Other days are reckoned from these, or long past.

A real day may end while a test runs.  A test that asks what day it is takes the fixture `today`, with which
it stays one.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, tzinfo

TODAY = date(2026, 11, 20)
NUMBER = (TODAY - date(1970, 1, 1)).days
NOW = datetime(2026, 11, 20, 9, 16, 9)  # Friday; local time, whatever the time zone is
NOW_S = NOW.replace(tzinfo=UTC).timestamp()  # the same by universal time
EARLIER = datetime(2026, 11, 5, 9, 16, 1)  # Thursday; a day of one digit
LAST_OF_A_MONTH = date(2026, 1, 31)


class Held(datetime):
    """A `datetime` whose clock stands still."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        return NOW.replace(tzinfo=tz)
