"""The samples for a mail site, as they are shipped, in use.

Postfix has etc/postfix or the lines of docs/postfix.md, the daemon etc/dspam.conf or the configuration of
`make run`.

Only ports and folders are others, since those of the machine are not ours.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemon import PROGRAM, Daemon, daemon_of
from tests.support.documents import blocks
from tests.support.guide_postfix import GuidePostfix, shipped
from tests.support.ports import free_port
from tests.support.postfix import DOMAIN, SENDER, Postfix, stuffed
from tests.support.wait import until

ALICE = f"alice@{DOMAIN}"
MAIL = b"From: x@example.net\r\nSubject: hello\r\n\r\n.A text\r\nwith two lines\r\n"
INLINE = (
    b"From: alice@example.org\r\nSubject: Fwd: hello\r\n\r\n-------- Forwarded Message --------\r\n"
    b"Subject: hello\r\nFrom: x@example.net\r\n\r\n" + MAIL.partition(b"\r\n\r\n")[2]
)


(PAGE,) = blocks("postfix", "master.cf")
MASTERS = {"etc": shipped("master.cf"), "page": PAGE.text}
CONFIGURATIONS = ("dspam.conf", "run.conf")


class SamplePostfix(GuidePostfix):
    """Postfix as the guide says."""

    def __init__(self, master: str, filter_port: int, back: int, *, advice: bool = False) -> None:
        """`advice`: with the lines that are commented out, and clients of this machine are strangers."""
        main = shipped("main.cf")
        if advice:
            main = re.sub(r"^#   (?! *-o)", "", main, flags=re.M) + "mynetworks = 192.0.2.0/24\n"
        super().__init__(
            ["alice"],
            main=f"default_database_type = hash\n{main}",
            master=master,
            places={"[127.0.0.1]:10033": f"[127.0.0.1]:{filter_port}"},
            back=back,
        )


@contextlib.contextmanager
def site(sample: str, master: str, folder: Path) -> Iterator[tuple[Postfix, Daemon]]:
    back = free_port()
    with (
        daemon_of(sample, folder, back) as daemon,
        SamplePostfix(MASTERS[master], daemon.port, back) as postfix,
    ):
        yield postfix, daemon
        assert not postfix.complaints
        assert "level=warning" not in daemon.output


@pytest.mark.parametrize("master", MASTERS)
@pytest.mark.parametrize("sample", CONFIGURATIONS)
def test_mail_passes_unchanged_and_a_user_corrects_a_verdict(
    sample: str, master: str, tmp_path: Path
) -> None:
    with site(sample, master, tmp_path) as (postfix, daemon):
        postfix.send(MAIL, "alice")
        (message,) = postfix.arrived("alice")
        head, _, _ = message.partition(b"\n\n")
        assert b"X-DSPAM-Result: Innocent" in head
        unmarked = re.sub(rb"^X-DSPAM-.*\n([ \t].*\n)*", b"", message, flags=re.M)
        assert unmarked.endswith(b"\n" + MAIL.replace(b"\r\n", b"\n"))
        postfix.drained()  # the signature is kept after the hand-over, before the answer to it
        forward(postfix, message)
        learned = f"user={ALICE} rcpt=spam-{ALICE} result=Spam source=error"
        until(lambda: learned in daemon.output, lambda: "the correction to be learned; " + daemon.output)
        forward(postfix, message, postfix.submission)
        until(lambda: daemon.output.count(learned) == 2, lambda: "what was submitted; " + daemon.output)
        with postfix.session(postfix.submission) as smtp:
            postfix.send(INLINE, "spam-alice", smtp=smtp, sender=ALICE)
        until(lambda: daemon.output.count(learned) == 3, lambda: "what was inline; " + daemon.output)
        postfix.drained()
        assert len(postfix.mailbox("alice")) == 1  # a finished correction does not come back


def test_the_advice_in_comments_refuses_reports_of_strangers_at_once(tmp_path: Path) -> None:
    with SamplePostfix(MASTERS["etc"], free_port(), free_port(), advice=True) as postfix:
        text = (postfix.folder / "etc/main.cf").read_text()
        assert {"smtpd_sender_restrictions", "smtpd_recipient_restrictions"} <= set(
            re.findall(r"^\w+", text, re.M)
        )
        with postfix.session() as smtp:
            assert smtp.docmd(f"MAIL FROM:<{SENDER}>")[0] == 250
            assert smtp.docmd(f"RCPT TO:<{ALICE}>")[0] == 250
            code, reply = smtp.docmd(f"RCPT TO:<spam-{ALICE}>")
            assert (code, reply[:5]) == (554, b"5.7.1"), reply
        assert not postfix.complaints


def forward(postfix: Postfix, message: bytes, port: int | None = None) -> None:
    """Have Alice send a message back as an attachment."""
    content = b"".join(
        (
            b"From: %b\r\nTo: spam-%b\r\nSubject: Fwd: hello\r\nMIME-Version: 1.0\r\n"
            % ((ALICE.encode(),) * 2),
            b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n',
            message.replace(b"\n", b"\r\n"),
            b"\r\n--b--\r\n",
        )
    )
    with postfix.session(port) as smtp:
        assert smtp.docmd(f"MAIL FROM:<{ALICE}>")[0] == 250
        assert smtp.docmd(f"RCPT TO:<spam-{ALICE}>") == (250, b"2.1.5 Ok")
        assert smtp.docmd("DATA")[0] == 354
        smtp.send(stuffed(content))
        assert smtp.getreply()[0] == 250


@pytest.mark.parametrize("sample", CONFIGURATIONS)
def test_the_configuration_has_nothing_to_complain_of(sample: str, tmp_path: Path) -> None:
    daemon = daemon_of(sample, tmp_path, free_port())
    assert checked(daemon) == [f"{daemon.config}: usable, 0 warnings"]


@pytest.mark.parametrize("sample", CONFIGURATIONS)
def test_a_home_and_an_agent_that_are_not_there_are_told_with_their_lines(
    sample: str, tmp_path: Path
) -> None:
    daemon = daemon_of(sample, tmp_path, free_port())
    text = daemon.config.read_text().replace(f"Home {tmp_path}", f"Home {tmp_path}/home")
    text = text.replace("DeliveryHost 127.0.0.1", "TrustedDeliveryAgent /usr/bin/nothing", 1)
    daemon.config.write_text(text)
    home, agent = (
        1 + [line.split(" ")[0] for line in text.splitlines()].index(key)
        for key in ("Home", "TrustedDeliveryAgent")
    )
    told = checked(daemon)
    for line, place in (home, f"Home {tmp_path}/home"), (agent, "TrustedDeliveryAgent /usr/bin/nothing"):
        assert [
            text for text in told if text.startswith(f"warning: {daemon.config}:{line}: {place}: No such")
        ]


def checked(daemon: Daemon) -> list[str]:
    """What --check-config says, which finds it usable."""
    done = subprocess.run(
        [PROGRAM, "--config", daemon.config, "--check-config"], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()
