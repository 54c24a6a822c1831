"""The day it is, as all stores reckon it: by universal time, whatever the time zone of a host."""

from __future__ import annotations

from datetime import UTC, date, datetime


def utc_day() -> date:
    return datetime.now(UTC).date()
