"""Maintenance: whose dictionaries are purged, by which ages, and when the daemon does it."""

from __future__ import annotations

import asyncio
import os
from array import array
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from dspamd.config.config import Config
from dspamd.engine.model import Hits, Learned, TokenChange, Totals
from dspamd.errors import TempFail
from dspamd.home.home import Home
from dspamd.maintenance.maintenance import Lock, Maintenance, ages, purging
from dspamd.maintenance.purge import Ages, Purged, Unused
from dspamd.storage.contract import Change, Uid
from dspamd.storage.files.sqlite import SQLite
from dspamd.users.users import Users
from tests.support.logged import Logged
from tests.support.wait import until

HOURS = 3600


@pytest.mark.parametrize(
    ("lines", "wanted"),
    [
        ("", Ages()),
        ("PurgeSignatures 14\nPurgeNeutral 90", Ages(14, 90)),
        ("PurgeUnused 60", Ages(unused=Unused(60, 30, 15, 15))),
        ("PurgeUnused 60\nPurgeHapaxes off", Ages()),
        ("PurgeUnused off\nPurgeHapaxes 30", Ages()),
        ("PurgeUnused 0", Ages()),
        ("PurgeSignatures 0", Ages(signatures=0)),
    ],
)
def test_ages(lines: str, wanted: Ages) -> None:
    found = ages(Config.from_text(f"Home /x\n{lines}\n"))
    assert found == wanted
    assert bool(found) == (wanted != Ages())


class PurgedSite:
    """A store of SQLite files with three owners, each with one token that may go."""

    def __init__(self, folder: Path, lines: str) -> None:
        self.config = Config.from_text(f"Home {folder}\nTrainingMode teft\nPurgeNeutral 0\n{lines}\n")
        self.home = Home(folder)
        self.storage = SQLite(self.home)
        self.users = Users(self.config, self.storage, self.home)
        self.maintenance = Maintenance(self.users, self.storage, ages(self.config), patience_s=())

    async def taught(self) -> PurgedSite:
        await self.storage.open()
        one = TokenChange(array("Q", [7]), array("i", [1]), array("i", [0]))
        for owner in ("ann", "bob", "carol"):
            uid = await self.storage.uid(owner, create=True)
            assert uid is not None
            await self.storage.apply(uid, Change(Learned(Totals(spam_learned=1), one)))
        return self

    async def knows(self, owner: str) -> bool:
        return (await self.storage.read(owner, array("Q", [7]))).hits != Hits.none()

    def purging(self) -> AbstractAsyncContextManager[None]:
        """As the daemon does it, for a site without profiles."""
        return purging(self.config, self.home, lambda: [""], self.opened)

    async def opened(self, profile: str) -> Maintenance:
        return self.maintenance


async def site_of(folder: Path, lines: str = "") -> PurgedSite:
    return await PurgedSite(folder, lines).taught()


async def test_all_owners_are_purged(tmp_path: Path) -> None:
    site = await site_of(tmp_path)
    told: dict[str, Purged] = {}
    report = await site.maintenance.purge(told=told.__setitem__)
    assert (report.purged, report.owners, report.failures) == (Purged(tokens=3), 3, {})
    assert told == dict.fromkeys(("ann", "bob", "carol"), Purged(tokens=1))
    await site.storage.close()


async def test_named_owners_are_purged(tmp_path: Path) -> None:
    site = await site_of(tmp_path)
    report = await site.maintenance.purge(["bob", "nobody"])
    assert (report.purged, report.owners) == (Purged(tokens=1), 2)
    assert [await site.knows(owner) for owner in ("ann", "bob", "carol")] == [True, False, True]
    assert await site.storage.owners() == ["ann", "bob", "carol"]
    await site.storage.close()


async def test_trouble_with_one_owner_stops_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = await site_of(tmp_path)
    delete = site.storage.delete_tokens

    async def fail_for_bob(uid: Uid, tokens: array[int]) -> int:
        if uid == "bob":
            raise TempFail("Storage is busy")
        return await delete(uid, tokens)

    monkeypatch.setattr(site.storage, "delete_tokens", fail_for_bob)
    report = await site.maintenance.purge()
    assert report.purged == Purged(tokens=2)
    assert {owner: str(failure) for owner, failure in report.failures.items()} == {"bob": "Storage is busy"}
    await site.storage.close()


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000_000.0

    def __call__(self) -> float:
        return self.now


def test_purging_is_due_once_in_a_period(tmp_path: Path) -> None:
    clock = Clock()
    lock, other = (Lock(tmp_path / "purge.lock", 24 * HOURS, clock) for _ in range(2))
    (tmp_path / "purge.lock").touch()
    lock.note()
    assert lock.due_in() == 24 * HOURS
    assert not lock.take()
    clock.now += 24 * HOURS
    assert lock.due_in() == 0
    assert lock.take()
    assert not other.take()
    lock.release()
    assert other.take()  # a purge that was not recorded did not happen
    other.note()
    other.release()
    assert not lock.take()
    assert lock.due_in() == 24 * HOURS


def test_a_new_site_is_given_a_period(tmp_path: Path) -> None:
    """By our clock, whatever that of the file system says."""
    assert Lock(tmp_path / "purge.lock", 24 * HOURS, Clock()).due_in() == 24 * HOURS


async def test_the_daemon_purges_when_it_is_due(tmp_path: Path) -> None:
    site = await site_of(tmp_path, "PurgeInterval 24")
    stamp = tmp_path / "purge.lock"
    stamp.touch()
    os.utime(stamp, (0, 0))
    async with site.purging():
        await asyncio.to_thread(until, lambda: stamp.stat().st_mtime > 0, "the purge to be noted")
        assert not await site.knows("carol")
    await site.storage.close()


async def test_each_profile_is_purged_in_spite_of_trouble_with_another(tmp_path: Path) -> None:
    site, other = await site_of(tmp_path / "site", "PurgeInterval 24"), await site_of(tmp_path / "other")
    stamp = site.home.path / "purge.lock"
    stamp.touch()
    os.utime(stamp, (0, 0))

    async def opened(profile: str) -> Maintenance:
        if profile == "broken":
            raise TempFail("Storage profile cannot be used")
        return {"site": site, "other": other}[profile].maintenance

    async with purging(site.config, site.home, lambda: ["site", "broken", "other"], opened):
        await asyncio.to_thread(until, lambda: stamp.stat().st_mtime > 0, "the purge to be noted")
    assert not await site.knows("carol")
    assert not await other.knows("carol")
    for each in (site, other):
        await each.storage.close()


async def test_a_purge_that_failed_everywhere_is_not_noted(tmp_path: Path, logged: Logged) -> None:
    site = await site_of(tmp_path, "PurgeInterval 24")
    stamp = tmp_path / "purge.lock"
    stamp.touch()
    os.utime(stamp, (0, 0))

    async def opened(profile: str) -> Maintenance:
        raise TempFail("Storage profile cannot be used")

    async with purging(site.config, site.home, lambda: ["one", "two"], opened):
        await asyncio.to_thread(until, lambda: len(logged.lines) == 2, "both to be reported")
    for (_, line), name in zip(logged.lines, ("one", "two"), strict=True):
        assert f"event=purge_failed profile={name} " in line
    assert stamp.stat().st_mtime == 0
    await site.storage.close()


@pytest.mark.parametrize("lines", ["", "PurgeInterval 24"])
async def test_the_daemon_leaves_all_as_it_is_until_then(lines: str, tmp_path: Path) -> None:
    site = await site_of(tmp_path, lines)
    async with site.purging():
        assert await site.knows("carol")
    assert await site.knows("carol")
    assert len(asyncio.all_tasks()) == 1  # this one
    await site.storage.close()
