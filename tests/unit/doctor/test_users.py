"""The doctor examines quarantines, and folders without an owner."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from dspamd.config.config import Config
from dspamd.doctor.site import Site
from dspamd.doctor.users import folders, judged_quarantines, quarantines
from dspamd.engine.model import Totals
from tests.support.site import Site as Stores

MB = 10**6


def test_quarantines() -> None:
    assert judged_quarantines({}, 2 * MB, notified=False).severity == "fine"
    assert judged_quarantines({"ann": MB, "bob": MB}, 2 * MB, notified=False).severity == "fine"
    sizes = {f"user{number}": (3 if number < 4 else 1.7) * MB for number in range(8)}
    found = judged_quarantines({name: int(size) for name, size in sizes.items()}, 2 * MB, notified=True)
    assert found.severity == "advice"
    assert found.what.startswith("4 quarantines are full, 4 nearly (QuarantineWarnSize): user0 (3.0 MB), ")
    assert found.what.endswith(" and 3 more")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    stores = Stores(tmp_path, monkeypatch)
    stores.configure("QuarantineWarnSize 1k", f"ServerPID {tmp_path}/pid")
    stores.teach("bob", Totals(spam_learned=1))
    return Site.of(Config.load(tmp_path / "dspam.conf"))


def test_a_full_quarantine(site: Site) -> None:
    site.home.file("bob", "mbox").write_bytes(bytes(2000))
    (full,) = quarantines(site)
    assert full.what.startswith("1 quarantines are full, 0 nearly (QuarantineWarnSize): bob (0.0 MB)")


async def test_a_folder_of_nobody(site: Site) -> None:
    """A user of whom nothing was learned looks alike, so the folder must have been quiet for long."""
    for name, seen in ("new", time.time()), ("gone", 0):
        file = site.home.prepare(site.home.file(name, "log"))
        file.touch()
        os.utime(file, (seen, seen))
    (lost,) = await folders(site)
    folder = site.home.path / "data/gone"
    assert (lost.severity, lost.cure.endswith(f"rm -r {folder}")) == ("advice", True)
    assert lost.what == f"1 folders belong to users whom the store does not know: {folder}"
    (folder / "gone.log").unlink()
    assert [each.severity for each in await folders(site)] == ["fine"]
