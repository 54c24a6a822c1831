"""Debian's Exim with our files, as docs/exim.md says.

It cannot be installed beside Postfix, so the package lies unpacked, and Exim sees a machine of its own:
`tests/support/mail_server.py`.
"""

from __future__ import annotations

import re
import shutil
import smtplib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.support.documents import blocks
from tests.support.guide_site import GuideSite, folder_for_all
from tests.support.mail_server import ALICE, BOB, CAROL, OUTSIDE, MailServer, report_of, text_of, verdict_of
from tests.support.postfix import DOMAIN
from tests.support.wait import until

EXIM, DSPAM = 50001, 50002
DEBCONF = f"""\
dc_eximconfig_configtype='internet'
dc_other_hostnames='{DOMAIN};mx.{DOMAIN}'
dc_minimaldns='true'
dc_localdelivery='maildir_home'
"""
LETTER = b"From: ann@example.net\r\nSubject: lunch\r\n\r\nmeet at noon\r\n.\r\n..\r\nby the lake \xff\r\n"


class Exim(MailServer):
    """Exim on a machine that is set up as a part of the guide says."""

    def __init__(self, site: GuideSite, part: str, *accounts: str) -> None:
        """`part` is in the commands; `accounts` own the files of the filter."""
        packages = "exim4-daemon-light", "exim4-base", "exim4-config"
        super().__init__(site, packages, ("var/lib/exim4", "var/spool/exim4", "var/log/exim4"))
        self.machine.add_account("Debian-exim", EXIM)
        for name in accounts:
            self.machine.add_account(name, DSPAM)
            shutil.chown(site.folder, DSPAM, DSPAM)
        for place in self.folder.glob("var/*/exim4"):
            shutil.chown(place, EXIM, EXIM)
        settings = "".join(block.text for block in blocks("exim", "exim"))
        self.write("etc/exim4/update-exim4.conf.conf", DEBCONF + self.here(settings))
        self.write("etc/exim4/exim4.conf.localmacros", "")
        (block,) = (block for block in blocks("exim", "root") if part in block.text)
        self.copy_files(block)
        self.machine.run("update-exim4.conf")

    def places(self) -> Mapping[str, str]:
        return {"0.0.0.0.25": f"127.0.0.1.{self.port}", **super().places()}

    def queued(self) -> int:
        return int(self.machine.run("exim4", "-bpc").stdout)

    def run_queue(self) -> None:
        """Try everything in the queue, now."""
        self.machine.run("exim4", "-qff")


WAYS = {"lmtp": "/exim/router", "dspamc": "/exim/dspamc-router"}


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with folder_for_all("dspam", "dspamc") as folder:
        yield folder


@pytest.fixture(scope="module", params=WAYS)
def exim(folder: Path, request: pytest.FixtureRequest) -> Iterator[Exim]:
    site = GuideSite("exim", folder / request.param, folder / "bin")
    exim = Exim(site, WAYS[request.param])
    with site.daemon, exim.running("exim4", "-bdf"):
        yield exim
        assert "Traceback" not in site.daemon.output


def test_mail_from_outside_has_a_verdict(exim: Exim) -> None:
    exim.send(LETTER, ALICE, BOB)
    for user in ALICE, BOB:
        (mail,) = exim.arrived(user)
        assert verdict_of(mail) == b"Innocent"
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
    exim.send(LETTER + kind.encode() + b"\r\n", CAROL)
    (mail,) = exim.arrived(CAROL)
    report = report_of(mail)
    exim.send(report, f"{kind}-{CAROL}", sender=f"{CAROL}@{DOMAIN}")
    learned = re.compile(f"user={CAROL}(@{DOMAIN})? .*result={result} source=error")
    until(lambda: bool(learned.search(exim.site.daemon.output)), lambda: exim.log)
    until(lambda: exim.queued() == 0, lambda: exim.log)


def test_a_report_that_cannot_be_followed_comes_back(exim: Exim) -> None:
    exim.send(b"Subject: wrong\r\n\r\nno signature\r\n", f"spam-{CAROL}", sender=f"{CAROL}@{DOMAIN}")
    (bounce,) = exim.arrived(CAROL)
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
    with exim.running("exim4", "-bdf"):
        exim.send(LETTER, ALICE)
        (mail,) = exim.arrived()
        assert verdict_of(mail) == b"Innocent"
        assert text_of(mail) == LETTER.partition(b"\r\n\r\n")[2]
        assert f"\nReturn-path: <{BOB}@{DOMAIN}>\n".encode() in b"\n" + mail
        report = report_of(mail)
        exim.send(report, f"spam-{ALICE}")
        until(lambda: "T=dspam_report" in exim.log and exim.queued() == 0, lambda: exim.log)
        assert f"=> {ALICE} <spam-{ALICE}@{DOMAIN}> R=dspam_report" in exim.log
        exim.send(b"Subject: wrong\r\n\r\nno signature\r\n", f"spam-{ALICE}", sender=f"{ALICE}@{DOMAIN}")
        (bounce,) = exim.arrived()
        assert b"Unable to find a valid signature" in bounce
