"""Debian's Exim with our files, as docs/exim.md says.

It cannot be installed beside Postfix, so the package lies unpacked, and Exim sees a machine of its own:
`tests/support/unpacked.py`.  Only ports and the place of the daemon's socket are others.
"""

from __future__ import annotations

import re
import shutil
import smtplib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.documents import ROOT, blocks, commands
from tests.support.guide_site import GuideSite, folder_for_all
from tests.support.local_account import LocalAccount
from tests.support.ports import free_port, greets
from tests.support.unpacked import Machine
from tests.support.wait import until

FILES = ROOT / "etc/exim"
DOMAIN = "example.org"
OUTSIDE = ("127.0.0.2", 0)
"""Exim trusts 127.0.0.1."""
ALICE, BOB = "games", "news"
"""Accounts that the daemon knows too."""
EXIM, DSPAM = 50001, 50002
DEBCONF = f"""\
dc_eximconfig_configtype='internet'
dc_other_hostnames='{DOMAIN};mx.{DOMAIN}'
dc_minimaldns='true'
dc_localdelivery='maildir_home'
"""
LETTER = b"From: ann@example.net\r\nSubject: lunch\r\n\r\nmeet at noon\r\n.\r\n..\r\nby the lake \xff\r\n"


class Exim:
    """Exim on a machine with the accounts of Alice and Bob, set up as a part of the guide says."""

    def __init__(self, site: GuideSite, part: str, *accounts: str) -> None:
        """`part` is in the commands; `accounts` own the files of the filter."""
        self.site, self.port = site, free_port()
        self.folder = site.folder / "machine"
        for name in (
            "etc/exim4",
            "etc/dspam",
            "usr/bin",
            "var/lib/exim4",
            "var/spool/exim4",
            "var/log/exim4",
        ):
            (self.folder / name).mkdir(parents=True)
        self._machine = Machine(self.folder, "exim4-daemon-light", "exim4-base", "exim4-config")
        self._machine.add_account("Debian-exim", EXIM)
        for name in accounts:
            self._machine.add_account(name, DSPAM)
            shutil.chown(site.folder, DSPAM, DSPAM)
        for name in ALICE, BOB:
            self._machine.add_account(name, LocalAccount(name).uid)
        for place in self.folder.glob("var/*/exim4"):
            shutil.chown(place, EXIM, EXIM)
        (self.folder / "etc/aliases").touch()
        shutil.copytree(site.programs, self.folder / "usr/bin", dirs_exist_ok=True)
        shutil.copy(site.daemon.config, self.folder / "etc/dspam/dspam.conf")
        (self.folder / "etc/mailname").write_text(f"mx.{DOMAIN}\n")
        self._set_up(part)

    def _here(self, text: str) -> str:
        """A text with our ports."""
        ours = {
            "0.0.0.0.25": f"127.0.0.1.{self.port}",
            "10033": str(self.site.daemon.port),
            "10034": str(self.site.back),
        }
        return re.sub("|".join(map(re.escape, ours)), lambda match: ours[match[0]], text)

    def _set_up(self, part: str) -> None:
        """Do what the guide has somebody do before a restart of Exim."""
        settings = "".join(block.text for block in blocks("exim", "exim") if block.text.startswith("dc_"))
        main = self.folder / "etc/exim4"
        (main / "update-exim4.conf.conf").write_text(DEBCONF + self._here(settings))
        (main / "exim4.conf.localmacros").touch()
        (block,) = (block for block in blocks("exim", "root") if part in block.text)
        for words in commands(block.text):
            if words[0] == "cp":
                source, target = (Path(word) for word in words[1:])
                path = self.folder / target.relative_to("/")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(self._here((FILES / source.name).read_text()))
        self._machine.run("update-exim4.conf")

    @contextmanager
    def running(self) -> Iterator[None]:
        server = self._machine.start("exim4", "-bdf", output=self.folder / "output")
        try:
            until(lambda: greets(self.port), lambda: "Exim to listen; " + self.log)
            yield
        finally:
            server.terminate()
            server.wait(20)

    @property
    def log(self) -> str:
        """What it and the daemon said."""
        paths = [*self.site.folder.glob("**/output"), *self.folder.glob("var/log/exim4/*")]
        return "".join(path.read_text() for path in paths)

    def send(self, mail: bytes, *users: str, sender: str = f"{BOB}@{DOMAIN}") -> None:
        with smtplib.SMTP("127.0.0.1", self.port, timeout=30, source_address=OUTSIDE) as smtp:
            smtp.sendmail(sender, [f"{user}@{DOMAIN}" for user in users], mail)

    def arrived(self, user: str = ALICE, count: int = 1) -> list[bytes]:
        """Take the messages of a user, when there are so many."""
        new = self.folder / "home" / user / "Maildir/new"
        until(
            lambda: new.is_dir() and len(list(new.iterdir())) >= count,
            lambda: f"{count} messages; {self.log}",
        )
        paths = list(new.iterdir())
        mails = [path.read_bytes() for path in paths]
        for path in paths:
            path.unlink()
        assert len(mails) == count
        return mails

    def queued(self) -> int:
        return int(self._machine.run("exim4", "-bpc").stdout)

    def run_queue(self) -> None:
        """Try everything in the queue, now."""
        self._machine.run("exim4", "-qff")


def text_of(mail: bytes) -> bytes:
    return mail.partition(b"\n\n")[2].replace(b"\n", b"\r\n")


WAYS = {"lmtp": "/exim/router", "dspamc": "/exim/dspamc-router"}


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with folder_for_all("dspam", "dspamc") as folder:
        yield folder


@pytest.fixture(scope="module", params=WAYS)
def exim(folder: Path, request: pytest.FixtureRequest) -> Iterator[Exim]:
    site = GuideSite("exim", folder / request.param, folder / "bin")
    exim = Exim(site, WAYS[request.param])
    with site.daemon, exim.running():
        yield exim
        assert "Traceback" not in site.daemon.output


def test_mail_from_outside_has_a_verdict(exim: Exim) -> None:
    exim.send(LETTER, ALICE, BOB)
    for user in ALICE, BOB:
        (mail,) = exim.arrived(user)
        assert re.findall(rb"^X-DSPAM-Result: (.*)", mail, re.M) == [b"Innocent"]
        assert text_of(mail) == LETTER.partition(b"\r\n\r\n")[2]
    assert exim.queued() == 0


@pytest.mark.parametrize("exim", ["lmtp"], indirect=True)  # with dspamc nothing comes back
def test_many_messages_at_once_arrive_without_a_run_of_the_queue(exim: Exim) -> None:
    with smtplib.SMTP("127.0.0.1", exim.port, timeout=30, source_address=OUTSIDE) as smtp:
        for number in range(15):
            smtp.sendmail(f"{BOB}@{DOMAIN}", f"{ALICE}@{DOMAIN}", LETTER + b"%d\r\n" % number)
    assert all(b"\nX-DSPAM-Result: " in mail for mail in exim.arrived(count=15))


@pytest.mark.parametrize("kind, result", [("spam", "Spam"), ("notspam", "Innocent")])
def test_users_correct_verdicts_by_mail(exim: Exim, kind: str, result: str) -> None:
    exim.send(LETTER + kind.encode() + b"\r\n", ALICE)
    (mail,) = exim.arrived()
    report = b"Subject: wrong\r\nContent-Type: message/rfc822\r\n\r\n" + mail.replace(b"\n", b"\r\n")
    exim.send(report, f"{kind}-{ALICE}", sender=f"{ALICE}@{DOMAIN}")
    learned = re.compile(f"user={ALICE}(@{DOMAIN})? .*result={result} source=error")
    until(lambda: bool(learned.search(exim.site.daemon.output)), lambda: exim.log)
    until(lambda: exim.queued() == 0, lambda: exim.log)


def test_a_report_that_cannot_be_followed_comes_back(exim: Exim) -> None:
    exim.send(b"Subject: wrong\r\n\r\nno signature\r\n", f"spam-{ALICE}", sender=f"{ALICE}@{DOMAIN}")
    (bounce,) = exim.arrived()
    assert re.search(rb"signature", bounce), bounce


def test_an_unknown_recipient_is_refused_at_once(exim: Exim) -> None:
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        exim.send(LETTER, "nobody-of-that-name")


def test_without_a_daemon_mail_waits(exim: Exim) -> None:
    exim.site.daemon.stop()
    try:
        exim.send(LETTER, ALICE, BOB)
        until(lambda: " == " in exim.log.rpartition("<=")[2], lambda: exim.log)
        assert exim.queued() == 1
    finally:
        exim.site.daemon.start()
    exim.run_queue()
    for user in ALICE, BOB:
        assert b"\nX-DSPAM-Result: " in exim.arrived(user)[0]
    assert exim.queued() == 0


def test_dspam_runs_exim_to_deliver(folder: Path) -> None:
    """DSPAM's form, without a daemon: the account dspam has the files of the filter."""
    _, line = blocks("exim", "conf")
    site = GuideSite("exim", folder / "pipe", folder / "bin", f"{line.text}CorrectionFailureExit 65\n")
    config = site.daemon.config
    config.write_text(re.sub("^(DeliveryHost|ClientHost) .*\n", "", config.read_text(), flags=re.M))
    exim = Exim(site, "/exim/dspam-router", "dspam")
    with exim.running():
        exim.send(LETTER, ALICE)
        (mail,) = exim.arrived()
        assert re.findall(rb"^X-DSPAM-Result: (.*)", mail, re.M) == [b"Innocent"]
        assert text_of(mail) == LETTER.partition(b"\r\n\r\n")[2]
        assert f"\nReturn-path: <{BOB}@{DOMAIN}>\n".encode() in b"\n" + mail
        report = b"Subject: wrong\r\nContent-Type: message/rfc822\r\n\r\n" + mail.replace(b"\n", b"\r\n")
        exim.send(report, f"spam-{ALICE}")
        until(lambda: "T=dspam_report" in exim.log and exim.queued() == 0, lambda: exim.log)
        assert f"=> {ALICE} <spam-{ALICE}@{DOMAIN}> R=dspam_report" in exim.log
        exim.send(b"Subject: wrong\r\n\r\nno signature\r\n", f"spam-{ALICE}", sender=f"{ALICE}@{DOMAIN}")
        (bounce,) = exim.arrived()
        assert b"Unable to find a valid signature" in bounce
