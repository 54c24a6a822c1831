"""Users correct us by mail through a real Postfix: their rights, the lessons; and mail stays mail."""

from __future__ import annotations

import contextlib
import re
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemon import Daemon
from tests.support.mail_site import MailSite, mail_site
from tests.support.message import compose, ours
from tests.support.ports import free_port
from tests.support.postfix import DOMAIN, Postfix
from tests.support.wait import until

BOB = f"bob@{DOMAIN}"
USERS = ("alice", "bob", "carol", "dave", "erin", "frank", "grace")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailSite]:
    with mail_site(tmp_path_factory.mktemp("reports"), USERS, settings="RetrainedMail drop\n") as site:
        yield site


def received(site: MailSite, user: str, *subjects: str) -> list[bytes]:
    """Mail of these subjects as the user finds it in the mailbox, in this order."""
    for subject in subjects:
        site.front.send(compose(subject, f"The text of {subject}."), user)
    site.front.drained()  # signatures are kept after the hand-over, before the answer to it
    mails = site.mailboxes.arrived(user, len(subjects))
    return [next(mail for mail in mails if f"Subject: {each}\n".encode() in mail) for each in subjects]


def report(to: str, *originals: bytes) -> bytes:
    """Mails forwarded as attachments."""
    parts = b"".join(b"--b\n\n" + each + b"\n" for each in originals)
    head = f"From: {BOB}\nTo: {to}\nSubject: Fwd\nMIME-Version: 1.0\n".encode()
    digest = head + b"Content-Type: multipart/digest; boundary=b\n\n" + parts + b"--b--\n"
    return digest.replace(b"\n", b"\r\n")


def corrections(site: MailSite, user: str) -> list[str]:
    """The signatures of the corrections for a user in the daemon's log."""
    lines = re.findall(rf"event=message .*user={user} .*result=Spam source=error .*", site.daemon.output)
    return [re.findall(r"signature=(\S+)", line)[0] for line in lines]


def test_a_client_of_ours_reports_through_submission(site: MailSite) -> None:
    """Postfix forwards that the client is local, but no login; so the daemon asks for no sender."""
    mails = received(site, "alice", "Pills", "Watches", "Loans")
    with site.front.session(site.front.submission) as smtp:
        content = report(f"spam-alice@{DOMAIN}", *mails)
        site.front.send(content, "spam-alice", smtp=smtp, sender=f"al@{DOMAIN}")
    site.front.drained()
    assert corrections(site, "alice") == [ours(mail)["X-DSPAM-Signature"] for mail in mails]
    assert "3 messages corrected" in site.front.log
    assert len(site.mailboxes.mailbox("alice")) == 3  # the report is not among them


def test_a_user_reports_from_their_own_address(site: MailSite) -> None:
    (mail,) = received(site, "bob", "Pills")
    site.front.send(report(f"spam-{BOB}", mail), "spam-bob", sender=BOB)
    site.front.drained()
    assert corrections(site, "bob") == [ours(mail)["X-DSPAM-Signature"]]


def test_a_stolen_signature_from_outside_changes_nothing(site: MailSite) -> None:
    """The sender gets it back, with a reason, and no dictionary learns it."""
    (mail,) = received(site, "carol", "Pills")
    site.front.send(report(f"spam-carol@{DOMAIN}", mail), "spam-carol", sender=f"erin@{DOMAIN}")
    (returned,) = site.front.arrived("erin")
    said = b" ".join(returned.split())
    assert b"5.7.1 <spam-carol@example.org> Not allowed: send the report as carol@example.org" in said
    assert corrections(site, "carol") == []
    assert "event=refused" in site.daemon.output


@pytest.mark.parametrize(
    "to",
    [
        '" spam-free newsletter" <dave@example.org>',
        "Team spam-busters <dave@example.org>",
        "spam-busters@other.example, dave@example.org",
        "<notspam-l@lists.example>",
        "spam-bob@example.org, dave@example.org",
    ],
)
def test_mail_is_mail_whatever_its_to_header_says(site: MailSite, to: str) -> None:
    before = len(site.mailboxes.mailbox("dave"))
    site.front.send(f"To: {to}\r\n".encode() + compose("Hello", "To all."), "dave")
    site.front.drained()
    assert any(f"To: {to}\n".encode() in mail for mail in site.mailboxes.arrived("dave", before + 1))


def test_one_message_is_a_report_for_one_and_mail_for_the_next(site: MailSite) -> None:
    (mail,) = received(site, "frank", "Pills")
    before = len(site.mailboxes.mailbox("dave"))
    site.front.send(report("all@x", mail), "spam-frank", "dave", sender=f"frank@{DOMAIN}")
    site.front.drained()
    assert corrections(site, "frank") == [ours(mail)["X-DSPAM-Signature"]]
    assert len(site.mailboxes.arrived("dave", before + 1)) == before + 1
    assert len(site.mailboxes.mailbox("frank")) == 1


INLINE = """\
From: grace@example.org
Subject: Fwd: Cheap pills

-------- Forwarded Message --------
Subject: Cheap pills
From: x@spam.example
To: grace@example.org

Buy them while they last.
"""


def test_a_message_forwarded_inline_is_learned_by_its_text(site: MailSite) -> None:
    before = set(corrections(site, "grace"))
    site.front.send(compose("Hello", "The first mail."), "grace")
    content = INLINE.replace("\n", "\r\n").encode()
    with site.front.session(site.front.submission) as smtp:
        site.front.send(content, "spam-grace", smtp=smtp, sender=f"grace@{DOMAIN}")
    site.front.drained()
    until(lambda: "1 message corrected" in site.front.log.rpartition("spam-grace")[2], "the answer")
    (known,) = set(corrections(site, "grace")) - before
    assert known.startswith("t")


def test_an_alias_may_bring_all_reports_to_one_mailbox(tmp_path: Path) -> None:
    """Postfix writes the address before the alias into X-Original-To, above whatever the sender wrote."""
    with (
        Postfix("smtp:[127.0.0.1]:1", ["bob"]) as mailboxes,
        Daemon(tmp_path, mailboxes.back, settings="RetrainAddress original\nRetrainedMail drop\n") as daemon,
        Postfix(
            f"dspam:[127.0.0.1]:{daemon.port}",
            ["bob", "reports"],
            main=(
                "virtual_alias_maps = regexp:{{/^(spam|notspam)-/ reports@example.org}}\n"
                f"transport_maps = regexp:{{{{/^reports@/ reports:[127.0.0.1]:{daemon.port}}}}}\n"
                "reports_destination_recipient_limit = 1\n"
            ),
            master="reports unix - - n - 20 lmtp -o lmtp_send_xforward_command=yes flags=O\n",
        ) as front,
    ):
        site = MailSite(front, daemon, mailboxes)
        (mail,) = received(site, "bob", "Pills")
        content = b"X-Original-To: spam-alice@example.org\r\n" + report("someone@x", mail)
        with front.session(front.submission) as smtp:
            front.send(content, "spam-bob", smtp=smtp, sender=BOB)
        front.drained()
        assert corrections(site, "bob") == [ours(mail)["X-DSPAM-Signature"]]
        assert not front.complaints


LOGIN = """\
127.0.0.1:{port} inet n - n - - smtpd
  -o smtpd_sasl_auth_enable=yes -o smtpd_sasl_type=dovecot -o smtpd_sasl_path=login
  -o smtpd_recipient_restrictions=permit_sasl_authenticated,reject
  -o local_header_rewrite_clients=permit_sasl_authenticated
"""


@contextlib.contextmanager
def logins(path: Path) -> Iterator[None]:
    """The server that Postfix asks about passwords, in place of Dovecot: it accepts every password."""

    class Session(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"VERSION\t1\t1\nMECH\tPLAIN\tplaintext\nSPID\t1\nCUID\t1\nCOOKIE\t0\nDONE\n")
            for line in self.rfile:
                if line.startswith(b"AUTH\t"):
                    self.wfile.write(b"OK\t%b\tuser=bob\n" % line.split(b"\t")[1])

    with socketserver.ThreadingUnixStreamServer(str(path), Session) as server:
        server.daemon_threads = True
        path.chmod(0o666)
        threading.Thread(target=server.serve_forever).start()
        try:
            yield
        finally:
            server.shutdown()


def test_who_has_logged_in_is_a_client_of_ours(tmp_path: Path) -> None:
    port = free_port()
    settings = "RetrainFrom local\nRetrainedMail drop\n"
    with (
        Postfix("smtp:[127.0.0.1]:1", ["bob"]) as mailboxes,
        Daemon(tmp_path, mailboxes.back, settings=settings) as daemon,
        Postfix(
            f"dspam:[127.0.0.1]:{daemon.port}", ["bob", "spam-bob"], master=LOGIN.format(port=port)
        ) as front,
        logins(front.folder / "spool/login"),
    ):
        site = MailSite(front, daemon, mailboxes)
        (mail,) = received(site, "bob", "Pills")
        front.send(report(f"spam-{BOB}", mail), "spam-bob", sender=BOB)  # anybody can claim that sender
        assert b"5.7.1 <spam-bob@example.org> Not allowed" in b" ".join(front.arrived("bob")[0].split())
        assert corrections(site, "bob") == []
        with front.session(port) as smtp:
            smtp.login("bob", "secret")
            front.send(report(f"spam-{BOB}", mail), "spam-bob", smtp=smtp, sender=BOB)
        front.drained()
        assert corrections(site, "bob") == [ours(mail)["X-DSPAM-Signature"]]
        assert not front.complaints
