"""dspam-retrain-forward: whose mail is corrected, by which of its signatures."""

from __future__ import annotations

import io
import os
import re
import sys
from pathlib import Path

import pytest

from dspamd.commands import dspam, dspam_retrain_forward
from dspamd.commands.dspam_retrain_forward import USAGE, parse, wanted
from dspamd.engine.model import Totals
from dspamd.errors import UsageError
from dspamd.mail.message import Message
from dspamd.users.trust import login_name
from tests.support.site import Site

Output = pytest.CaptureFixture[str]
MAIL = b"From: x@spam.example\nSubject: pills\n\ncheap pills offer %d free money winner\n"
SPAM = ["--source=error", "--class=spam"]


class Mailbox:
    """Bob's site: his mail, and his corrections."""

    def __init__(self, site: Site, capfd: Output, patch: pytest.MonkeyPatch) -> None:
        self.site, self._capfd, self._patch = site, capfd, patch

    def get(self, number: int) -> str:
        """A new message; its signature."""
        self._feed(MAIL % number)
        assert dspam.main(["--user", "bob", "--deliver=summary"]) == 0
        (id_,) = re.findall(r"signature=(\w+)", self._capfd.readouterr().out)
        return str(id_)

    def forward(self, mail: bytes, *words: str) -> tuple[int, str]:
        """Exit status and standard error of the command; there is never any output."""
        self._feed(mail)
        status = dspam_retrain_forward.main(words)
        out, err = self._capfd.readouterr()
        assert out == ""
        return status, err

    def _feed(self, mail: bytes) -> None:
        self._patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(mail)))


@pytest.fixture
def mailbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Output) -> Mailbox:
    return Mailbox(Site(tmp_path, monkeypatch), capfd, monkeypatch)


def forwarded(*ids: str) -> bytes:
    """Mail with some originals attached."""
    originals = "".join(
        f"--b\nContent-Type: message/rfc822\n\nX-DSPAM-Signature: {id_}\n\ntext\n" for id_ in ids
    )
    return f"From: bob\nContent-Type: multipart/mixed; boundary=b\n\n{originals}--b--\n".encode()


def test_each_message_is_corrected_once(mailbox: Mailbox) -> None:
    ids = [mailbox.get(number) for number in range(3)]
    assert mailbox.site.totals("bob") == Totals(0, 3)
    assert mailbox.forward(forwarded(*ids[:2], ids[0]), *SPAM, "--user", "bob") == (0, "")
    assert mailbox.site.totals("bob") == Totals(2, 1, 2)
    body = f"Subject: Fwd\n\nlook at this !DSPAM:{ids[2]}!\n".encode()
    assert mailbox.forward(body, *SPAM, "--rcpt-to", "spam-bob") == (0, "")
    assert mailbox.site.totals("bob") == Totals(3, 0, 3)
    assert mailbox.forward(body, "--source=error", "--rcpt-to=ham-bob") == (0, "")
    assert mailbox.site.totals("bob") == Totals(2, 1, 2)


def test_what_cannot_be_corrected_is_told(mailbox: Mailbox) -> None:
    id_ = mailbox.get(1)
    status, err = mailbox.forward(forwarded("6b000a80999999999999999", id_), *SPAM, "--user=bob")
    assert (status, err.count("\n")) == (1, 1)
    assert "Unable to find a valid signature" in err
    assert mailbox.site.totals("bob") == Totals(1, 0, 1)
    assert mailbox.forward(b"Subject: Fwd\n\nnothing\n", *SPAM, "--user=bob") == (
        1,
        "dspam-retrain-forward: Unable to find a valid signature\n",
    )
    mailbox.site.configure("CorrectionFailureExit 0")
    assert mailbox.forward(b"Subject: Fwd\n\nnothing\n", *SPAM, "--user=bob")[0] == 0


def test_a_corpus_is_the_mail_itself(mailbox: Mailbox) -> None:
    words = ("--source=corpus", "--class=innocent", "--mail-from=bob", "--mode=teft")
    assert mailbox.forward(MAIL % 1, *words) == (0, "")
    assert mailbox.site.totals("bob") == Totals(innocent_learned=1, innocent_corpusfed=1)


def test_what_is_done_is_shown_to_who_asks(mailbox: Mailbox) -> None:
    id_ = mailbox.get(1)
    status, err = mailbox.forward(forwarded(id_), *SPAM, "--user=bob", "--debug=yes", "--bin-dir=/usr/bin")
    assert (status, err) == (0, f"dspam --source=error --class=spam --user bob --signature={id_}\n")


def test_the_client_is_used_if_it_is_asked_for() -> None:
    assert parse([*SPAM, "--client", "--mode=toe", "--user=bob"]).command("--signature=x") == [
        "--client", "--source=error", "--class=spam", "--mode=toe", "--user", "bob", "--signature=x",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "label", "user"),
    [
        ("--class=spam --user bob --rcpt-to ham-ann", "spam", "bob"),
        ("--rcpt-to spam-ann@example.org --mail-from=bob", "spam", "ann@example.org"),
        ("--rcpt-to=nonspam-ann", "innocent", "ann"),
        ("--rcpt-to=notspam-ann", "innocent", "ann"),
        ("--class=innocent --rcpt-to=learn --mail-from=bob@example.org", "innocent", "bob@example.org"),
        ("--class=innocent", "innocent", login_name(os.getuid())),
    ],
)
def test_who_and_what(words: str, label: str, user: str) -> None:
    options = parse(["--source=error", *words.split()])
    assert (options.label, options.user) == (label, user)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("", ["top1", "inner1", "tag1"]),
        ("--first-only", ["top1"]),
        ("--skip-first=yes", ["inner1", "tag1"]),
        ("--skip-first --first-only=YES", ["inner1"]),
        ("--full-email=no", ["top1", "inner1"]),
        ("--full-email=no --bodies-only", ["tag1"]),
    ],
)
def test_which_signatures_count(words: str, found: list[str]) -> None:
    mail = forwarded("inner1").replace(b"text", b"!DSPAM:tag1!")
    assert (
        wanted(Message(b"X-DSPAM-Signature: top1\n" + mail), parse([*SPAM, *words.split()]).switches) == found
    )


@pytest.mark.parametrize(
    "words",
    [
        [], ["--source=error"], ["--class=spam"], [*SPAM, "--user"], [*SPAM, "--full-email=maybe"],
        [*SPAM, "bob"],
        ["--source=corpus", "--class=maybe"], ["--source=none", "--class=spam"],
    ],
)  # fmt: skip
def test_usage(words: list[str], capfd: Output) -> None:
    with pytest.raises(UsageError):
        parse(words)
    assert dspam_retrain_forward.main(words) == os.EX_USAGE
    out, err = capfd.readouterr()
    assert out == ""
    assert err.endswith(USAGE)


def test_help(capfd: Output) -> None:
    assert dspam_retrain_forward.main(["--help"]) == 0
    assert capfd.readouterr() == (USAGE, "")


def test_who_calls_may_have_no_name(monkeypatch: pytest.MonkeyPatch, capfd: Output) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 54_321)
    assert dspam_retrain_forward.main(SPAM) == os.EX_TEMPFAIL
    assert "Unable to determine" in capfd.readouterr().err
