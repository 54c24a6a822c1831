"""The day, and its number.  All stores use universal time, whatever the time zone of a host."""

from __future__ import annotations

from datetime import UTC, date, datetime

_EPOCH = date(1970, 1, 1).toordinal()


def utc_day() -> date:
    """Today."""
    return datetime.now(UTC).date()


def day_number(day: date | None) -> int:
    """Days since 1970-01-01, as tokens and signatures carry them; 0 if there is no date."""
    return 0 if day is None else day.toordinal() - _EPOCH


def day_of(number: int) -> date:
    """The day with a number.  Raises ValueError or OverflowError if no calendar has it."""
    return date.fromordinal(_EPOCH + number)
