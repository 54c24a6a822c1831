"""qpsmtpd with its plugin for DSPAM, as docs/qpsmtpd.md says, on a MariaDB, under its own account."""

from __future__ import annotations

import os
import re
import smtplib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.guide_site import GuideSite, folder_for_all
from tests.support.local_account import LocalAccount
from tests.support.mariadb_server import mariadb
from tests.support.qpsmtpd import Qpsmtpd

LETTER = b"From: ann@example.net\r\nSubject: lunch\r\n\r\nshall we meet at noon in the garden\r\n"
OFFER = (
    b"From: x@example.com\r\nSubject: pills\r\n\r\ncheap pills, buy now, no prescription, casino winner\r\n"
)
ASK = "--mode=tum --process --deliver=summary --stdout"
TEACH = "--mode=toe --source=error --class={} --deliver=summary --stdout"
SAID = re.compile(
    r'X-DSPAM-Result: (\S+); result="(\w+)"; class="(\w+)"; probability=([\d.]+); confidence=([\d.]+);'
    r" signature=(\S+)\n"
)


class Site(GuideSite):
    """One with a database, and what the plugin calls."""

    def call(self, command: str, mail: bytes, account: str = "qpsmtpd") -> subprocess.CompletedProcess[bytes]:
        """What the plugin does for a message: a line for the shell, without a look at the exit status."""
        environment = {"DSPAM_CONF": str(self.daemon.config)}
        program, _, words = command.partition(" ")
        line = f"{self.programs}/{program} {words}"
        return LocalAccount(account).run("sh", "-c", line, stdin=mail, environment=environment)

    def teach(self, user: str, count: int = 6) -> None:
        for number in range(count):
            for mail, label in (LETTER, "innocent"), (OFFER, "spam"):
                text = mail + b"No. %d\r\n" % number
                done = self.call(f"dspamc --user {user} --class={label} --source=corpus --deliver=", text)
                assert (done.returncode, done.stderr) == (0, b"")


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with folder_for_all("dspamc", "dspam") as folder:
        yield folder


@pytest.fixture(scope="module")
def site(folder: Path) -> Iterator[Site]:
    with mariadb() as server:
        database = server.new_database().database
        store = f"StorageDriver mysql_drv\nMySQLServer 127.0.0.1\nMySQLPort {server.port}\nMySQLUser root\n"
        site = Site("qpsmtpd", folder / "site", folder / "bin", f"{store}MySQLDb {database}\n")
        with site.daemon:
            yield site
            assert "Traceback" not in site.daemon.output
        engines = server.query(
            f"SELECT engine FROM information_schema.tables WHERE table_schema='{database}'"
        )
        assert set(engines) == {("InnoDB",)}


def qpsmtpd_of(site: Site, name: str, *changes: tuple[str, str]) -> Qpsmtpd:
    here = "/usr/bin/dspamc", f"{site.programs}/dspamc"
    return Qpsmtpd(site.folder / name, {"DSPAM_CONF": str(site.daemon.config)}, here, *changes)


@pytest.fixture(scope="module")
def qpsmtpd(site: Site) -> Iterator[Qpsmtpd]:
    with qpsmtpd_of(site, "qpsmtpd") as server:
        yield server


def test_mail_has_a_verdict_of_its_recipient(site: Site, qpsmtpd: Qpsmtpd) -> None:
    assert qpsmtpd.send(LETTER, "Bob@example.org").startswith("250")
    mail = qpsmtpd.arrived()
    assert re.search(rb"^X-DSPAM-Result: Innocent, probability=0\.\d{4}, confidence=\d\.\d\d$", mail, re.M)
    (signature,) = re.findall(rb"^X-DSPAM-Signature: (\w+)$", mail, re.M)
    assert "event=message user=bob@example.org " in site.daemon.output
    assert f"signature={signature.decode()}" in site.daemon.output
    assert mail.endswith(b"\n\nshall we meet at noon in the garden\n")


def test_mail_for_several_belongs_to_the_account(site: Site, qpsmtpd: Qpsmtpd) -> None:
    assert qpsmtpd.send(LETTER, "bob@example.org", "carol@example.org").startswith("250")
    qpsmtpd.arrived()
    assert f"event=message user={qpsmtpd.account.name} " in site.daemon.output


COMMANDS = ["bob;id@example.org", '"bob|id"@example.org', "$(id)@example.org", "-x@example.org"]


@pytest.mark.parametrize("recipient", COMMANDS)
def test_no_recipient_is_a_command(qpsmtpd: Qpsmtpd, recipient: str) -> None:
    with smtplib.SMTP("127.0.0.1", qpsmtpd.port, timeout=60) as client:
        client.ehlo()
        client.mail("ann@example.net")
        assert client.docmd("RCPT", f"TO:<{recipient}>")[0] == 550


@pytest.mark.parametrize("notes", ["karma=-3", "spam=Yes learn=spam", "naughty=1"])
def test_what_other_plugins_know_is_learned_as_spam(site: Site, qpsmtpd: Qpsmtpd, notes: str) -> None:
    user = f"new-{notes[:4]}@example.org".replace("=", "")
    reply = qpsmtpd.send(b"X-Notes: %b\r\n" % notes.encode() + OFFER, user)
    if notes == "naughty=1":
        assert reply.startswith("552 go away")
    else:
        assert reply.startswith("250")
        qpsmtpd.arrived()
    assert f"user={user} rcpt={user} result=Spam source=error" in site.daemon.output


@pytest.mark.parametrize("notes", ["karma=3", "spam=No learn=ham"])
def test_what_other_plugins_know_is_learned_as_innocent(site: Site, qpsmtpd: Qpsmtpd, notes: str) -> None:
    user = f"old-{notes[:4]}@example.org".replace("=", "")
    site.teach(user)
    assert qpsmtpd.send(b"X-Notes: %b\r\n" % notes.encode() + OFFER, user).startswith("250")
    assert b"X-DSPAM-Result: Spam, " in qpsmtpd.arrived()
    assert f"user={user} rcpt={user} result=Innocent source=error" in site.daemon.output


def test_spam_is_refused_by_threshold(site: Site) -> None:
    """What is on a list of the user is sure at once; statistics take many lessons for that."""
    user = "dora@example.org"
    site.teach(user, 1)
    list_ = site.folder / f"data/{user}/{user}.blocklist"
    list_.parent.mkdir(parents=True, exist_ok=True)
    list_.write_text("example.com\n")
    with qpsmtpd_of(site, "threshold", ("reject 0", "reject .95")) as server:
        assert server.send(OFFER, user) == "552 dspam says, no spam please (#5.6.1)"
        assert server.send(LETTER, user).startswith("250")
        assert b"X-DSPAM-Result: Innocent, " in server.arrived()


def test_spam_is_refused_by_agreement(site: Site) -> None:
    site.teach("emil@example.org")
    with qpsmtpd_of(site, "agree", ("reject 0", "reject agree")) as server:
        assert (
            server.send(b"X-Notes: spam=Yes\r\n" + OFFER, "emil@example.org")
            == "552 we agree, no spam please"
        )
        assert server.send(b"X-Notes: spam=No\r\n" + OFFER, "emil@example.org").startswith("250")
        server.arrived()


FOUND = b"X-Envelope-From: <ann@example.net>\r\n" + OFFER.replace(b"\r\n", b"\n", 2).replace(
    b"\r\n", b"\r\n\r\n", 1
)
OLD = b"X-DSPAM-Result: Innocent, probability=0.0000, confidence=1.00\n"


@pytest.mark.parametrize("program", ["dspamc", "dspam --client"])
def test_the_commands_of_the_plugin(site: Site, program: str) -> None:
    """Header lines have bare LF after one with CR LF, and there are two empty lines: it writes such files."""
    user = f"{program[:6].strip()}-{len(program)}@example.org"
    site.teach(user)

    def told(words: str, mail: bytes) -> tuple[str, ...]:
        done = site.call(f"{program} --user {user} {words}", mail)
        match = SAID.match(done.stdout.decode())
        assert match, done
        return match.groups()

    assert told("--classify", FOUND) == told("--classify", OLD + FOUND)
    *verdict, signature = told(ASK, FOUND)
    assert verdict[:3] == [user, "Spam", "Spam"]
    corrected = told(TEACH.format("innocent"), b"X-DSPAM-Signature: %b\n" % signature.encode() + FOUND)
    assert corrected == (user, "Innocent", "Innocent", "0.0000", "0.00", signature)
    done = site.call(f"{program} --user {user} {TEACH.format('spam')}", FOUND)
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"signature" in done.stderr


def test_an_account_that_is_not_trusted_gets_no_answer(site: Site) -> None:
    done = site.call(f"dspamc --user bob@example.org {ASK}", LETTER, "games")
    if os.geteuid() != 0:  # only root has other accounts
        assert SAID.match(done.stdout.decode())
        return
    assert done.stdout == b""
    assert b"games" in done.stderr
    assert done.returncode
