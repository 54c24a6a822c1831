"""The day it is, and its number (`storage.clock`)."""

from __future__ import annotations

from datetime import date

import pytest

from dspamd.storage.clock import day_number, day_of


def test_days_are_counted_from_1970() -> None:
    assert [day_number(day) for day in (None, date(1970, 1, 1), date(2000, 2, 29))] == [0, 0, 11016]


@pytest.mark.parametrize("day", [date(1969, 12, 31), date(1970, 1, 1), date(2000, 2, 29), date.max])
def test_a_number_leads_back_to_its_day(day: date) -> None:
    assert day_of(day_number(day)) == day
