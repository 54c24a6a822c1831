"""The dictionaries: whether users ever correct, and whether old signatures are removed."""

from __future__ import annotations

from array import array
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import date
from functools import partial
from time import monotonic
from typing import NamedTuple

from dspamd.diagnosis import Diagnosis, advice, fine
from dspamd.doctor.site import Site
from dspamd.engine.model import Totals
from dspamd.errors import Failure
from dspamd.maintenance.maintenance import Maintenance
from dspamd.maintenance.purge import Ages
from dspamd.storage.clock import day_number, utc_day
from dspamd.storage.contract import Storage
from dspamd.storage.drivers import open_storage, server_prefix
from dspamd.users.users import Users

WITHIN_S = 10.0  # for counting; then the rest goes uncounted
_ENOUGH = 100  # messages, of which some should have been corrected
_GRACE = 2  # days that a purge may be late
_FORGOTTEN = 60  # days after which nobody corrects any more


class Census(NamedTuple):
    """Sums over the owners of dictionaries that were counted, which are all if there was time."""

    owners: int = 0
    counted: int = 0
    messages: int = 0
    corrections: int = 0
    taught: int = 0  # messages of a corpus
    signatures: int = 0
    old: int = 0  # signatures


async def dictionaries(site: Site) -> Sequence[Diagnosis]:
    """What the dictionaries of the store tell."""
    age = site.config.PurgeSignatures
    oldest = day_number(utc_day()) - (_FORGOTTEN if age is None else age + _GRACE)
    storage = open_storage(site.config, site.home)
    await storage.open()
    try:
        census = await counted(storage, oldest)
    except Failure:
        if server_prefix(site.config):
            return []  # the check of the database says more
        raise
    finally:
        await storage.close()
    return list(judged(census, age, partial(_purge, site)))


async def counted(storage: Storage, oldest: int) -> Census:
    """Count within `WITHIN_S`; signatures from before the day `oldest` are old."""
    owners, until = await storage.owners(), monotonic() + WITHIN_S
    census = Census(len(owners))
    for owner in owners:
        uid = await storage.uid(owner, create=False)
        if uid is not None:
            totals = (await storage.read(uid, array("Q"))).totals
            days = [day for _, day in await storage.signatures(uid)]
            census = _plus(census, totals, days, oldest)
        if monotonic() > until:
            break
    return census


def _plus(census: Census, totals: Totals, days: Sequence[int], oldest: int) -> Census:
    seen = totals.spam_learned + totals.innocent_learned + totals.spam_classified + totals.innocent_classified
    return Census(
        census.owners,
        census.counted + 1,
        census.messages + seen,
        census.corrections + totals.spam_misclassified + totals.innocent_misclassified,
        census.taught + totals.spam_corpusfed + totals.innocent_corpusfed,
        census.signatures + len(days),
        census.old + sum(day < oldest for day in days),
    )


def judged(census: Census, age: int | None, purge: Callable[[], Awaitable[str]]) -> Iterator[Diagnosis]:
    """`age` is that of PurgeSignatures in days, None if they are to stay; `purge` removes old signatures."""
    users = f"{census.counted} users"
    if census.counted < census.owners:
        users = f"the first {census.counted} of {census.owners} users"
    if not census.messages:
        cure = "send yourself a mail; then look for it: journalctl -u dspamd -n 20"
        yield advice(f"no mail was ever filtered for {users}", "perhaps none comes to dspamd", cure)
    elif not census.corrections + census.taught and census.messages >= _ENOUGH:
        what = f"{census.messages} messages of {users}, and nobody ever corrected a verdict"
        why = "the filter learns from corrections: without them its errors stay"
        cure = (
            "tell users to forward wrongly judged mail to spam-USER or notspam-USER (README.md),\n"
            "or teach it the mail that they have: dspam_train USER SPAM-FOLDER INNOCENT-FOLDER"
        )
        yield advice(what, why, cure)
    else:
        share = 100 * census.corrections / census.messages
        yield fine(
            f"{census.messages} messages of {users}, {census.corrections} corrections ({share:.1f} %), "
            f"{census.taught} messages taught"
        )
    yield from _signatures(census, age, purge)


def _signatures(census: Census, age: int | None, purge: Callable[[], Awaitable[str]]) -> Iterator[Diagnosis]:
    if not census.old:
        yield fine(f"of {census.signatures} signatures none is too old")
        return
    why = "the store grows without end, and becomes slower"
    if age is None:
        what = f"{census.old} of {census.signatures} signatures are older than {_FORGOTTEN} days"
        cure = "set PurgeSignatures 14, and let a purge run: systemctl enable --now dspam-clean.timer"
        yield advice(f"{what}, and PurgeSignatures is off", why, cure)
    else:
        what = f"{census.old} of {census.signatures} signatures are older than PurgeSignatures ({age} days)"
        cure = "dspam_clean -s; and every night: systemctl enable --now dspam-clean.timer"
        yield advice(f"{what}: no purge runs", why, cure, purge)


async def _purge(site: Site, today: Callable[[], date] = utc_day) -> str:
    """Remove the old signatures; what was done.  Raises `TempFail`."""
    storage = open_storage(site.config, site.home)
    await storage.open()
    try:
        ages = Ages(signatures=site.config.PurgeSignatures)
        users = Users(site.config, storage, site.home)
        report = await Maintenance(users, storage, ages, today=today).purge()
    finally:
        await storage.close()
    failed = f"; {len(report.failures)} users failed" if report.failures else ""
    return f"removed {report.purged.signatures} old signatures{failed}"
