"""A signature has the day of its store's clock, whatever the clock of the file system says."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from dspamd.engine.model import Label, Learned
from dspamd.home.home import Home
from dspamd.maintenance.conformance.steps import learning
from dspamd.storage.contract import Change, Correct, Signature
from tests.support.drivers import driver

DAY_S = 86_400


@pytest.mark.parametrize("away", [-400, -1, 0, 1, 400])
async def test_files_of_signatures_are_put_into_the_day_of_the_store(tmp_path: Path, away: int) -> None:
    """As near as may be to the time of the file system, for scripts that count ages in hours."""
    (tmp_path / "now").touch()
    now = (tmp_path / "now").stat().st_mtime
    day = datetime.fromtimestamp(now, UTC).date() + timedelta(away)
    number = (day - date(1970, 1, 1)).days
    storage = driver("hash", tmp_path, today=lambda: day)
    await storage.open()
    await storage.apply("bob", Change(Learned.nothing(), Signature("s", b"")))  # makes the directory
    await storage.apply("bob", Change(Learned.nothing(), Signature("t", b"")))
    await storage.apply("bob", Change(learning([1], 1), correct=Correct("t", None, Label.SPAM)))
    assert sorted(await storage.signatures("bob")) == [("s", number), ("t", number)]
    await storage.close()
    files = list(Home(tmp_path).file("bob", "sig").iterdir())
    assert len(files) == 3
    nearest = min(max(now, number * DAY_S), (number + 1) * DAY_S - 1)
    for file in files:
        assert file.stat().st_mtime == pytest.approx(nearest, abs=60), file.name
