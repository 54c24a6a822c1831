"""Debian's OpenSMTPD with our file, as docs/opensmtpd.md says: `tests/support/mail_server.py`."""

from __future__ import annotations

import os
import re
import shutil
import smtplib
from collections.abc import Iterator, Mapping

import pytest

from tests.support.documents import blocks
from tests.support.guide_site import GuideSite, folder_for_all
from tests.support.mail_server import ALICE, BOB, CAROL, MailServer, report_of, text_of, verdict_of
from tests.support.postfix import DOMAIN
from tests.support.unpacked import UNPACKED
from tests.support.wait import until

DAEMON, QUEUE = 50001, 50002
LETTER = b"From: ann@example.net\r\nSubject: lunch\r\n\r\nmeet at noon\r\n.\r\n..\r\nby the lake \xff\r\n"


class OpenSMTPD(MailServer):
    """OpenSMTPD on a machine that is set up as the guide says."""

    def __init__(self, site: GuideSite) -> None:
        super().__init__(site, ("opensmtpd",), ("var/spool/smtpd", "var/lib/opensmtpd/empty", "run"))
        self.machine.add_account("opensmtpd", DAEMON)
        self.machine.add_account("opensmtpq", QUEUE)
        (self.folder / "var/spool/smtpd").chmod(0o711)
        # The installation of the package does this.
        control = self.folder / "usr/sbin/smtpctl"
        control.parent.mkdir()
        shutil.copy(UNPACKED / "opensmtpd/usr/sbin/smtpctl", control)
        os.chown(control, 0, QUEUE)
        control.chmod(0o2755)
        (guide,) = blocks("opensmtpd", "root")
        self.copy_files(guide)

    def places(self) -> Mapping[str, str]:
        return {"listen on 0.0.0.0": f"listen on 127.0.0.1 port {self.port}", **super().places()}

    def queued(self) -> int:
        return len(self.machine.run("smtpctl", "show", "queue").stdout.splitlines())


@pytest.fixture(scope="module")
def smtpd() -> Iterator[OpenSMTPD]:
    with folder_for_all("dspam", "dspamc") as folder:
        site = GuideSite("opensmtpd", folder / "site", folder / "bin")
        smtpd = OpenSMTPD(site)
        with site.daemon, smtpd.running("smtpd", "-d"):
            yield smtpd
            assert "Traceback" not in site.daemon.output


def test_mail_from_outside_has_a_verdict(smtpd: OpenSMTPD) -> None:
    smtpd.send(LETTER, ALICE, BOB)
    for user in ALICE, BOB:
        (mail,) = smtpd.arrived(user)
        assert verdict_of(mail) == b"Innocent"
        assert text_of(mail) == LETTER.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("kind, result", [("spam", "Spam"), ("notspam", "Innocent")])
def test_users_correct_verdicts_by_mail(smtpd: OpenSMTPD, kind: str, result: str) -> None:
    smtpd.send(LETTER + kind.encode() + b"\r\n", CAROL)
    (mail,) = smtpd.arrived(CAROL)
    smtpd.send(report_of(mail), f"{kind}-{CAROL}", sender=f"{CAROL}@{DOMAIN}")
    learned = re.compile(f"user={CAROL}(@{DOMAIN})? .*result={result} source=error")
    until(lambda: bool(learned.search(smtpd.site.daemon.output)), lambda: smtpd.log)
    until(lambda: smtpd.queued() == 0, lambda: smtpd.log)


def test_a_report_that_cannot_be_followed_comes_back(smtpd: OpenSMTPD) -> None:
    smtpd.send(b"Subject: wrong\r\n\r\nno signature\r\n", f"spam-{CAROL}", sender=f"{CAROL}@{DOMAIN}")
    (bounce,) = smtpd.arrived(CAROL)
    assert b"signature" in bounce


def test_an_unknown_recipient_is_refused_at_once(smtpd: OpenSMTPD) -> None:
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        smtpd.send(LETTER, "nobody-of-that-name")


def test_without_a_daemon_mail_arrives_and_reports_wait(smtpd: OpenSMTPD) -> None:
    smtpd.send(LETTER, CAROL)
    (filtered,) = smtpd.arrived(CAROL)
    corrected = smtpd.log.count("source=error")
    smtpd.site.daemon.stop()
    try:
        smtpd.send(LETTER, ALICE, BOB)
        for user in ALICE, BOB:
            (mail,) = smtpd.arrived(user)
            assert text_of(mail) == LETTER.partition(b"\r\n\r\n")[2]
            assert b"X-DSPAM-" not in mail
        smtpd.send(report_of(filtered), f"spam-{CAROL}", sender=f"{CAROL}@{DOMAIN}")
        until(lambda: "result=TempFail" in smtpd.log, lambda: smtpd.log)
        assert smtpd.queued() == 1
    finally:
        smtpd.site.daemon.start()
    smtpd.machine.run("smtpctl", "schedule", "all")
    until(lambda: smtpd.queued() == 0, lambda: smtpd.log)
    assert smtpd.log.count("source=error") == corrected + 1
