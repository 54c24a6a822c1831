"""The doctor examines dictionaries: corrections, and old signatures, which it removes."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest

from dspamd.config.config import Config
from dspamd.diagnosis import Diagnosis
from dspamd.doctor import dictionaries as subject
from dspamd.doctor.dictionaries import Census, dictionaries, judged
from dspamd.doctor.site import Site
from dspamd.doctor.users import quarantines
from dspamd.engine.model import Learned, Totals
from dspamd.storage.contract import Change, Signature, Storage
from dspamd.storage.drivers import open_storage
from tests.support.site import Site as Stores
from tests.support.stranger import folder_of_stranger, stranger


async def purge() -> str:
    return "done"


def told(census: Census, age: int | None = 14) -> list[Diagnosis]:
    return list(judged(census, age, purge))


def test_corrections() -> None:
    mail, _ = told(Census(3, 3, 0))
    assert (mail.severity, mail.what) == ("advice", "no mail was ever filtered for 3 users")
    mail, _ = told(Census(3, 3, 99))
    assert mail.severity == "fine"
    mail, _ = told(Census(3, 3, 100))
    assert mail.severity == "advice"
    assert mail.what == "100 messages of 3 users, and nobody ever corrected a verdict"
    mail, _ = told(Census(9, 3, 1000, 5, 20))
    assert mail.severity == "fine"
    assert mail.what == ("1000 messages of the first 3 of 9 users, 5 corrections (0.5 %), 20 messages taught")


def test_nobody_yet() -> None:
    mail, _ = told(Census())
    assert mail.what == "the store knows no user yet"


def test_signatures() -> None:
    _, signatures = told(Census(signatures=7))
    assert (signatures.severity, signatures.what) == ("fine", "of 7 signatures none is too old")
    _, signatures = told(Census(signatures=7, old=3))
    assert signatures.what.startswith("3 of 7 signatures are older than PurgeSignatures (14 days)")
    assert signatures.mend is purge
    _, signatures = told(Census(signatures=7, old=3), None)
    assert signatures.what.endswith("older than 60 days, and PurgeSignatures is off")
    assert signatures.mend is None


@pytest.fixture
def stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, today: date) -> Stores:
    """Two users, of whom one has a signature of today and an old one."""
    stores = Stores(tmp_path, monkeypatch)
    stores.configure("PurgeSignatures 14", f"ServerPID {tmp_path}/pid")
    stores.teach("ann", Totals(spam_learned=60, innocent_learned=50))

    async def sign(storage: Storage) -> None:
        uid = await storage.uid("bob", create=True)
        assert uid is not None
        for days in 0, 40:
            signature = Signature(f"signed{days}", b"data")
            day = today - timedelta(days=days)
            await storage.apply(uid, Change(Learned.nothing(), signature, day=day))

    stores.on_store(sign)
    return stores


async def test_a_store_is_counted_and_purged(stores: Stores) -> None:
    site = Site.of(Config.load(stores.folder / "dspam.conf"))
    mail, signatures = await dictionaries(site)
    assert mail.what.startswith("110 messages of 2 users, and nobody ever corrected")
    assert signatures.what.startswith("1 of 2 signatures are older")
    assert signatures.mend is not None
    assert await signatures.mend() == "removed 1 old signatures"
    _, signatures = await dictionaries(site)
    assert signatures.what == "of 1 signatures none is too old"


async def test_counting_ends_in_time(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "WITHIN_S", 0.0)
    mail, _ = await dictionaries(Site.of(Config.load(stores.folder / "dspam.conf")))
    assert "the first 1 of 2 users" in mail.what


async def test_a_damaged_dictionary_does_not_hide_the_others(stores: Stores) -> None:
    site = Site.of(Config.load(stores.folder / "dspam.conf"))
    file = site.home.file("bob", "sdb")
    file.write_bytes(b"no database" * 100)
    damaged, mail, _ = await dictionaries(site)
    assert damaged.severity == "problem"
    assert damaged.what.startswith("1 dictionaries cannot be read: bob: ")
    assert str(file) in damaged.what
    assert mail.what.startswith("110 messages of 1 users, and nobody")


async def test_a_folder_that_nobody_may_enter_ends_no_check() -> None:
    """An account outside the group of the daemon made it."""
    with folder_of_stranger() as folder, stranger():
        (folder / "dspam.conf").write_text(f"Home {folder}\nStorageDriver sqlite3_drv\n")
        site = Site.of(Config.load(folder / "dspam.conf"))
        storage = open_storage(site.config, site.home)
        await storage.open()
        try:
            for owner in ("ann", "bob", "gus"):
                assert await storage.uid(owner, create=True) is not None
        finally:
            await storage.close()
        site.home.directory("bob").chmod(0)
        lost, mail, _ = await dictionaries(site)
        assert lost.what.startswith("1 dictionaries cannot be read: bob: ")
        assert mail.what == "no mail was ever filtered for 2 users"
        assert [each.severity for each in quarantines(site)] == ["fine"]
