"""A site where everything is on, and the plain count of what it has to show for the mail that it got.

    clients ──LMTP──▶ dspamd ──SMTP──▶ next hop        slapd knows the users, clamd a virus,
                        └──▶ quarantines               a name server a blacklist

`python -m tests.support.whole_site MAILS` (`make site`) sends that many, with the dictionaries in
PostgreSQL, and prints the account.  Users are in groups of all kinds; each has two addresses.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.support.clamd import VIRUS, Clamd
from tests.support.daemon import PROGRAM, Daemon
from tests.support.name_server import name_server
from tests.support.postfix import DOMAIN
from tests.support.postgres_server import postgresql
from tests.support.sink import Sink
from tests.support.slapd import BASE, Slapd

USERS = tuple(f"user{number:03}" for number in range(200))
GROUPS = {
    "team:shared": USERS[:20],
    "sales:shared,managed": USERS[20:40],
    USERS[40] + ":merged": USERS[41:80],
    "clever:classification": USERS[80:100],
    "vaccine:inoculation": USERS[100:120],
    "wise:classification": (f"*{USERS[199]}",),
}
TEXTS = Path(__file__).parents[2] / "etc/txt"
NOTICES = {
    name: re.search("^Subject: (.*)", (TEXTS / f"{name}.txt").read_text(), re.M)[1]  # type: ignore[index]
    for name in ("firstrun", "firstspam", "quarantinefull")
}
FULL = 6000
CLIENTS = 4
SETTINGS = f"""\
ServerParameters "--deliver=innocent"
Preference "spamAction=quarantine"
ExtLookup on
ExtLookupMode strict
ExtLookupDriver ldap
ExtLookupServer 127.0.0.1
ExtLookupPort {{ldap}}
ExtLookupDB "{BASE}"
ExtLookupQuery "(mail=%u@{DOMAIN})"
ExtLookupLDAPAttribute uid
ClamAVHost 127.0.0.1
ClamAVPort {{clamd}}
ClamAVResponse spam
ClamAVOnFailure defer
Lookup rbl.example
DNSServer {{dns}}
Notifications on
TxtDirectory {TEXTS}
QuarantineWarnSize {FULL}
SystemLog on
UserLog on
"""
_GOOD = (
    "Shall we have soup at noon, as we did last Tuesday, or the salad of the canteen?",
    "The minutes of the meeting are in the folder, please add what I forgot.",
    "Our train leaves at seven, so I shall be in the office before the others.",
    "Thank you for the report, the figures of the second table look right to me now.",
    "The children sing at school on Friday, and we would like you to come.",
)
_BAD = (
    "Claim the lottery jackpot now, unclaimed millions wait for the lucky winner.",
    "Order cheap pills without prescription from our certified pharmacy, discreet parcels worldwide.",
    "You have been selected for an urgent refund, confirm your account within one day.",
    "Double your income from home, no experience needed, limited places available.",
    "Replica watches of all famous brands, the best price guaranteed, free shipping today.",
)
REPORTERS = {*USERS[:60], *USERS[80:120], USERS[199]}
"""Those who correct verdicts: some in each group."""


def _entries() -> str:
    """The users as LDIF."""
    entries = [f"dn: {BASE}\nobjectClass: dcObject\nobjectClass: organization\ndc: example\no: Example"]
    entries += [
        f"dn: uid={user},{BASE}\nobjectClass: inetOrgPerson\nuid: {user}\nsn: {user}\ncn: {user}\n"
        + "\n".join(f"mail: {word}{user}@{DOMAIN}" for word in ("", "mail."))
        for user in USERS
    ]
    return "\n\n".join(entries) + "\n"


@dataclass(frozen=True)
class Mail:
    """The mail of this number: what it is, and whom it is for, follow from it.

    A user gets the next one a hundred mails later, so that the notices for the last one are sent by then.
    """

    number: int

    @property
    def kind(self) -> str:
        kinds = ("letter", "offer", "virus", "listed", "blocked")
        return Random(self.number).choices(kinds, (50, 38, 4, 4, 4))[0]

    @property
    def users(self) -> tuple[str, ...]:
        """One mail in ten is for two."""
        first = self.number * 7 % len(USERS)
        second = (first + len(USERS) // 2) % len(USERS)
        return (USERS[first], USERS[second]) if self.number % 10 == 9 else (USERS[first],)

    @property
    def recipients(self) -> tuple[str, ...]:
        """Each user by one of two addresses, and in one mail of twenty somebody who does not exist."""
        words = itertools.cycle(("mail.", "") if self.number % 3 else ("", "mail."))
        known = tuple(word + user for word, user in zip(words, self.users, strict=False))
        return (*known, "nobody") if self.number % 20 == 5 else known

    @property
    def content(self) -> bytes:
        random = Random(self.number)
        sentences = _BAD if self.kind == "offer" else _GOOD
        lines = random.choices(sentences, k=random.randint(3, 30))
        source = "192.0.2.7" if self.kind == "listed" else f"198.51.100.{random.randint(1, 254)}"
        place = "blocked.example" if self.kind == "blocked" else "example.net"
        if self.kind == "virus":
            lines.append(VIRUS.decode())
        head = (
            f"Received: from mail.example ([{source}]) by mx.example.org; Fri, 20 Nov 2026 09:00:00 +0000",
            f"From: writer{self.number}@{place}",
            f"Subject: mail {self.number}",
        )
        return "\r\n".join((*head, "", *lines, "")).encode()


@dataclass
class Account:
    """What was sent, where it is, and where both differ."""

    mails: int = 0
    seconds: float = 0
    counts: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def check(self, what: str, seen: object, wanted: object) -> None:
        if seen != wanted:
            if isinstance(seen, dict) and isinstance(wanted, dict):
                names = seen.keys() | wanted.keys()
                seen, wanted = (
                    {name: side.get(name) for name in names if seen.get(name) != wanted.get(name)}
                    for side in (seen, wanted)
                )
            self.problems.append(f"{what}: {str(seen)[:500]}, not {str(wanted)[:500]}")

    def __str__(self) -> str:
        counts = "\n".join(f"  {number:6} {name}" for name, number in self.counts.items())
        return f"{self.mails} mails in {self.seconds:.0f} s:\n{counts}\n" + "\n".join(
            self.problems or ["Everything is there."]
        )


def owner(user: str) -> str:
    """Whose dictionary the user has."""
    return {0: "team", 1: "sales"}.get(USERS.index(user) // 20, user)


def files_of(user: str) -> str:
    """Whose quarantine, log and markers."""
    return "sales" if owner(user) == "sales" else user


Copy = tuple[int, str]


class WholeSite:
    """The running site; `mail` sends, `account` counts."""

    def __init__(self, daemon: Daemon, hop: Sink) -> None:
        self.daemon, self.hop = daemon, hop
        self.copies: Counter[Copy] = Counter()
        self.replies: Counter[int] = Counter()
        self.missed: list[Copy] = []  # reported as spam
        self.wrong: list[Copy] = []  # reported as innocent
        self._mails = 0

    async def send(self, mails: int) -> None:
        """Send so many more, from several clients."""
        numbers = iter(range(self._mails, self._mails + mails))
        self._mails += mails

        async def client() -> None:
            for number in numbers:
                mail = Mail(number)
                codes = await asyncio.to_thread(self.daemon.deliver, mail.content, *mail.recipients)
                self.replies.update(codes)
                self.copies.update((number, user) for user in mail.users)

        await asyncio.gather(*(client() for _ in range(CLIENTS)))

    def _home(self, name: str, ending: str) -> Path:
        return self.daemon.folder / f"data/{name}/{name}.{ending}"

    def delivered(self) -> dict[Copy, list[bytes]]:
        """What came to the next hop, without notices; the recipient is the command before it."""
        found: dict[Copy, list[bytes]] = defaultdict(list)
        for user, mail in self._handed_over():
            if number := _number(mail):
                found[int(number), user].append(mail)
        return found

    def _handed_over(self) -> list[tuple[str, bytes]]:
        pairs = zip(self.hop.recipients, self.hop.messages, strict=True)
        return [(_user(address), mail) for addresses, mail in pairs for address in addresses]

    def quarantined(self) -> dict[Copy, list[bytes]]:
        found: dict[Copy, list[bytes]] = defaultdict(list)
        for name in {*map(files_of, USERS)}:
            path = self._home(name, "mbox")
            for text in path.read_bytes().split(b"From QUARANTINE ")[1:] if path.exists() else ():
                user = re.search(rb"^X-DSPAM-User: (\S+)", text, re.M)
                number = _number(text)
                assert number is not None, text
                found[int(number), user[1].decode() if user else name].append(text.partition(b"\n")[2])
        return found

    async def report(self) -> None:
        """Users correct all verdicts that were wrong."""
        delivered, quarantined = (
            {copy: mails for copy, mails in found.items() if copy[1] in REPORTERS}
            for found in (self.delivered(), self.quarantined())
        )
        self.missed = [copy for copy in sorted(delivered) if Mail(copy[0]).kind == "offer"]
        self.wrong = [copy for copy in sorted(quarantined) if Mail(copy[0]).kind == "letter"]
        for copies, found, word in (self.missed, delivered, "spam"), (self.wrong, quarantined, "notspam"):
            for copy in copies:
                await self._report(copy[1], found[copy][0], word)

    async def _report(self, user: str, mail: bytes, word: str) -> None:
        address = f"{user}@{DOMAIN}"
        head = f"From: {address}\r\nTo: {word}-{address}\r\nSubject: Fwd\r\nMIME-Version: 1.0\r\n"
        text = b"Content-Type: message/rfc822\r\n\r\n" + re.sub(rb"\r?\n", b"\r\n", mail)
        codes = await asyncio.to_thread(
            self.daemon.deliver, head.encode() + text, f"{word}-{user}", sender=address
        )
        assert codes == [250], (codes, self.daemon.output[-3000:])

    def account(self) -> Account:
        """Hold what is there against what was sent.  The daemon has ended, so its files are complete."""
        account = Account(self._mails)
        delivered = {copy: len(mails) for copy, mails in self.delivered().items()}
        quarantined = {copy: len(mails) for copy, mails in self.quarantined().items()}
        for copy in self.wrong:  # released
            delivered[copy] = delivered.get(copy, 0) - 1
        there = Counter(quarantined)
        there.update(delivered)
        account.check("each copy in one place", {c: n for c, n in there.items() if n}, dict(self.copies))
        unknown = sum("nobody" in Mail(number).recipients for number in range(self._mails))
        account.check("replies", self.replies, Counter({250: sum(self.copies.values()), 550: unknown}))
        letters = self._letters(account, delivered, quarantined)
        self._logs(account, letters)
        self._counters(account, letters)
        self._notices(account, quarantined)
        account.counts.update(
            copies=sum(self.copies.values()), delivered=sum(delivered.values()),
            quarantined=sum(quarantined.values()), refused=unknown,
        )  # fmt: skip
        account.counts.update(
            {f"with the letter {name}": n for name, n in sorted(sum(letters.values(), Counter()).items())}
        )
        output = self.daemon.output
        viruses = sum(Mail(number).kind == "virus" for number in range(self._mails))
        account.check("viruses in the log", output.count("event=virus_found"), viruses)
        account.check("errors in the log", re.findall(".*(?:level=error|Traceback).*", output), [])
        return account

    def _letters(
        self, account: Account, delivered: dict[Copy, int], quarantined: dict[Copy, int]
    ) -> dict[str, Counter[str]]:
        """How often each letter of the logs is due for each user; scanners must have found what is bad."""
        due = {"virus": "V", "listed": "A"}
        found: dict[str, Counter[str]] = defaultdict(Counter)
        for copy in self.copies:
            kind = Mail(copy[0]).kind
            letter = due.get(kind) or ("O" if kind == "blocked" and copy[1] in BLOCKING else "")
            if letter and not quarantined.get(copy):
                account.problems.append(f"{kind}, and not in the quarantine: {copy}")
            found[copy[1]][letter or ("S" if quarantined.get(copy) else "I")] += 1
        for copies, letter in (self.missed, "M"), (self.wrong, "F"):
            for _, user in copies:
                found[user][letter] += 1
        return found

    def _logs(self, account: Account, letters: dict[str, Counter[str]]) -> None:
        lines = [line.split("\t") for line in (self.daemon.folder / "system.log").read_text().splitlines()]
        account.check("system.log", Counter((line[6], line[1]) for line in lines), Counter(
            {(user, letter): count for user, counts in letters.items() for letter, count in counts.items()}
        ))  # fmt: skip
        wanted: Counter[tuple[str, str]] = Counter()
        for user, counts in letters.items():
            wanted.update({(files_of(user), letter): count for letter, count in counts.items()})
        seen: Counter[tuple[str, str]] = Counter()
        for name in {*map(files_of, USERS)}:
            for line in self._home(name, "log").read_text().splitlines():
                if line:
                    seen[name, line.split("\t")[1]] += 1
        account.check("user logs", seen, wanted)

    def _counters(self, account: Account, letters: dict[str, Counter[str]]) -> None:
        """TEFT learns each verdict of the statistics; a correction moves one."""
        wanted: dict[str, Counter[str]] = defaultdict(Counter)
        for user, counts in letters.items():
            wanted[owner(user)].update(
                TP=counts["S"] - counts["F"], TN=counts["I"] - counts["M"], FN=counts["M"], FP=counts["F"]
            )
        seen = dict(self._stats())
        reports = sum(user in GROUPS["vaccine:inoculation"] for _, user in self.missed)
        for name in GROUPS["vaccine:inoculation"]:  # they learn what others report, unless they know it
            extra = sum(seen[name].values()) - wanted[name].total()
            if not 0 <= extra <= reports - wanted[name]["FN"]:
                account.problems.append(f"counters of {name}: {seen[name]}, not {wanted[name]}")
            account.counts["lessons by inoculation"] += extra
            del seen[name], wanted[name]
        account.check("counters", seen, {name: dict(counts) for name, counts in wanted.items()})

    def _stats(self) -> Iterator[tuple[str, dict[str, int]]]:
        for line in self._command("dspam_stats", "--json").splitlines():
            user = json.loads(line)
            yield user["user"], {key: user[key] for key in ("TP", "TN", "FN", "FP")}

    def _command(self, name: str, *words: str) -> str:
        environment = {**os.environ, "DSPAM_CONF": str(self.daemon.config)}
        done = subprocess.run(
            [PROGRAM.with_name(name), *words], env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _notices(self, account: Account, quarantined: dict[Copy, int]) -> None:
        subjects = {subject: name for name, subject in NOTICES.items()}
        seen: Counter[tuple[str, str]] = Counter()
        for user, mail in self._handed_over():
            subject = re.search(rb"^Subject: ([^\r\n]*)", mail, re.M)
            if subject and (name := subjects.get(subject[1].decode())):
                seen[name, files_of(user)] += 1
        spam = {files_of(user) for _, user in quarantined}
        full = {name for name in spam if self._home(name, "mbox").stat().st_size > FULL}
        wanted = Counter(("firstrun", files_of(user)) for user in {*map(files_of, USERS)} - {"sales"})
        wanted["firstrun", "sales"] = 1
        wanted.update(("firstspam", name) for name in spam)
        wanted.update(("quarantinefull", name) for name in full)
        account.check("notices", seen, wanted)
        account.counts["notices"] = seen.total()


BLOCKING = USERS[150:]
"""Users with a blocklist."""


def _number(mail: bytes) -> str | None:
    found = re.search(rb"^Subject: (?:\[SPAM\] )?mail (\d+)\r?$", mail, re.M)
    return found[1].decode() if found else None


def _user(address: bytes) -> str:
    return address.decode().partition("@")[0].removeprefix("mail.")


@contextmanager
def _servers(folder: Path) -> Iterator[dict[str, int]]:
    directory = folder / "slapd"
    directory.mkdir()
    slapd = Slapd(directory, _entries())
    slapd.start()
    try:
        with Clamd() as clamd:
            yield {"ldap": slapd.port, "clamd": clamd.port}
    finally:
        slapd.stop()


async def live(folder: Path, mails: int, settings: str = "", driver: str = "sqlite3_drv") -> Account:
    """Build the site, send it so many mails, correct what is wrong in between, and count."""
    begun = time.monotonic()
    (folder / "group").write_text("".join(f"{name}:{','.join(who)}\n" for name, who in GROUPS.items()))
    for user in BLOCKING:
        path = folder / f"data/{user}/{user}.blocklist"
        path.parent.mkdir(parents=True)
        path.write_text("blocked.example\n")
    hop = Sink()
    await hop.start()
    async with name_server({"7.2.0.192.rbl.example": "127.0.0.2"}) as names:
        with _servers(folder) as servers:
            lines = SETTINGS.format(dns=names.place, **servers)
            with Daemon(folder, hop.port, settings=settings + lines, driver=driver) as daemon:
                site = WholeSite(daemon, hop)
                await site.send(mails // 2)
                await site.report()
                await site.send(mails - mails // 2)
                daemon.terminate()
                await asyncio.to_thread(daemon.wait)
                account = await asyncio.to_thread(site.account)
    await hop.stop()
    account.seconds = time.monotonic() - begun
    return account


async def _main(mails: int) -> int:
    with tempfile.TemporaryDirectory(prefix="dspamd-site") as folder, postgresql() as server:
        where = server.new_database()
        values = {"Server": where.host, "Port": where.port, "User": where.user, "Db": where.database}
        settings = "".join(f"PgSQL{name} {value}\n" for name, value in values.items())
        account = await live(Path(folder), mails, settings, "pgsql_drv")
    print(account)
    return 1 if account.problems else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(_main(int(sys.argv[1]))))
