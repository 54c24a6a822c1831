"""The dictionaries: whether they can be read, users ever correct, and old signatures are removed."""

from __future__ import annotations

from array import array
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import date
from functools import partial
from time import monotonic
from typing import NamedTuple

from dspamd.diagnosis import Diagnosis, advice, fine, problem
from dspamd.doctor.site import Site
from dspamd.engine.model import Totals
from dspamd.errors import Failure
from dspamd.maintenance.maintenance import Maintenance
from dspamd.maintenance.purge import Ages
from dspamd.storage.clock import day_number, utc_day
from dspamd.storage.contract import POSITION, Storage, Unreachable
from dspamd.storage.drivers import open_storage, server_prefix
from dspamd.users.users import Users

WITHIN_S = 10.0  # for counting; then the rest goes uncounted
_ENOUGH = 100  # messages, of which some should have been corrected
_NAMED = 5  # of many
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
    failures: tuple[str, ...] = ()  # of owners, each with its reason


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
    """Count within `WITHIN_S`; signatures from before the day `oldest` are old.

    Raises `Unreachable`, and `Failure` if the owners cannot be listed.
    """
    owners, until = await storage.owners(), monotonic() + WITHIN_S
    census = Census(len(owners))
    for owner in owners:
        try:
            census = await _with(census, storage, owner, oldest)
        except Unreachable:
            raise
        except Failure as failure:
            census = census._replace(failures=(*census.failures, f"{owner}: {failure}"))
        if monotonic() > until:
            break
    return census


async def _with(census: Census, storage: Storage, owner: str, oldest: int) -> Census:
    """The census with one more owner."""
    uid = await storage.uid(owner, create=False)
    if uid is None:
        return census
    totals = (await storage.read(uid, array("Q"))).totals
    days = [day for id_, day in await storage.signatures(uid) if not id_.startswith(POSITION)]
    return _plus(census, totals, days, oldest)


def _plus(census: Census, totals: Totals, days: Sequence[int], oldest: int) -> Census:
    seen = totals.spam_learned + totals.innocent_learned + totals.spam_classified + totals.innocent_classified
    return census._replace(
        counted=census.counted + 1,
        messages=census.messages + seen,
        corrections=census.corrections + totals.spam_misclassified + totals.innocent_misclassified,
        taught=census.taught + totals.spam_corpusfed + totals.innocent_corpusfed,
        signatures=census.signatures + len(days),
        old=census.old + sum(day < oldest for day in days),
    )


def judged(census: Census, age: int | None, purge: Callable[[], Awaitable[str]]) -> Iterator[Diagnosis]:
    """`age` is that of PurgeSignatures in days, None if they are to stay; `purge` removes old signatures."""
    if census.failures:
        what = f"{len(census.failures)} dictionaries cannot be read: {'; '.join(census.failures[:_NAMED])}"
        cure = "put it back from a backup; or move the file away, and the user begins with an empty one"
        yield problem(what, "mail of these users waits", cure)
    yield _corrections(census)
    yield from _signatures(census, age, purge)


def _corrections(census: Census) -> Diagnosis:
    users = f"{census.counted} users"
    if census.counted + len(census.failures) < census.owners:
        users = f"the first {census.counted} of {census.owners} users"
    if not census.messages:
        what = f"no mail was ever filtered for {users}" if census.owners else "the store knows no user yet"
        cure = "send yourself a mail; then look for it: journalctl -u dspamd -n 20"
        return advice(what, "perhaps no mail comes to dspamd", cure)
    if not census.corrections + census.taught and census.messages >= _ENOUGH:
        what = f"{census.messages} messages of {users}, and nobody ever corrected a verdict"
        why = "the filter learns from corrections: without them its errors stay"
        cure = (
            "tell users to forward wrongly judged mail to spam-USER or notspam-USER (docs/postfix.md),\n"
            "or let them move it to Junk and out of there (docs/dovecot.md),\n"
            "or teach it the mail that they have: dspam_train USER SPAM-FOLDER INNOCENT-FOLDER"
        )
        return advice(what, why, cure)
    share = 100 * census.corrections / census.messages
    return fine(
        f"{census.messages} messages of {users}, {census.corrections} corrections ({share:.1f} %), "
        f"{census.taught} messages taught"
    )


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
