"""Mail through Postfix, dspamd and Postfix: what users see, and that nothing else changed."""

from __future__ import annotations

import base64
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import dkim
import pytest

from tests.support.mail_site import MailSite, mail_site
from tests.support.message import as_sent, compose, ours
from tests.support.wait import until

LOTTERY = "Claim the lottery jackpot now, unclaimed millions wait for the lucky winner of the jackpot."


def test_the_verdict_is_in_the_headers_and_nothing_else_changed(site: MailSite) -> None:
    content = compose("Minutes", "The minutes of the meeting.", "X-DSPAM-Result: Innocent")
    site.front.send(content, "alice")
    (message,) = site.mailboxes.arrived("alice")
    fields = ours(message)
    assert fields["X-DSPAM-Result"] == "Innocent"
    assert set(fields) >= {
        "X-DSPAM-Processed",
        "X-DSPAM-Confidence",
        "X-DSPAM-Probability",
        "X-DSPAM-Signature",
        "X-DSPAM-Factors",
    }
    forgery_removed = content.replace(b"X-DSPAM-Result: Innocent\r\n", b"")
    assert as_sent(message) == forgery_removed.replace(b"\r\n", b"\n")


def test_each_user_has_a_dictionary_of_his_own(own_site: MailSite) -> None:
    """alice corrects us; from then on the same mail is spam for her, and for bob it is not."""
    for number in range(6):
        own_site.front.send(compose(f"Jackpot {number}", LOTTERY), "alice")
        own_site.front.send(compose(f"Lunch {number}", "Shall we have soup at noon?"), "alice", "bob")
    for message in own_site.mailboxes.arrived("alice", 12):
        if b"Jackpot" in message:
            _correct(own_site, "spam-alice", message)
    reclassified = [
        message
        for message in own_site.mailboxes.arrived("alice", 18)
        if ours(message).get("X-DSPAM-Reclassified") == "Spam"
    ]
    assert len(reclassified) == 6

    own_site.front.send(compose("The jackpot again", LOTTERY), "alice", "bob")
    alices = [mail for mail in own_site.mailboxes.arrived("alice", 19) if b"jackpot again" in mail]
    bobs = [mail for mail in own_site.mailboxes.arrived("bob", 7) if b"jackpot again" in mail]
    assert [ours(mail)["X-DSPAM-Result"] for mail in (*alices, *bobs)] == ["Spam", "Innocent"]
    assert b"Subject: [SPAM] The jackpot again\n" in alices[0]

    _correct(own_site, "notspam-alice", alices[0])
    own_site.mailboxes.arrived("alice", 20)
    assert (
        sum(
            ours(mail).get("X-DSPAM-Reclassified") == "Innocent"
            for mail in own_site.mailboxes.mailbox("alice")
        )
        == 1
    )


def _correct(site: MailSite, alias: str, message: bytes) -> None:
    """Forward `message` as an attachment to a retraining alias, as a user would."""
    site.front.drained()  # its signature is kept after the hand-over, before the answer to it
    site.front.send(
        b"From: alice@example.org\r\n"
        + f"To: {alias}@example.org\r\n".encode()
        + b"Subject: Fwd\r\nMIME-Version: 1.0\r\nContent-Type: message/rfc822\r\n\r\n"
        + message.replace(b"\n", b"\r\n"),
        alias,
        sender="alice@example.org",
    )


def test_mail_waits_while_the_next_hop_is_down_and_arrives_once(own_site: MailSite) -> None:
    own_site.mailboxes.stop()
    for number in range(20):
        own_site.front.send(compose(f"Patience {number}", "No hurry."), "alice", "bob")
    until(lambda: own_site.front.log.count("status=deferred") >= 20, "20 deferrals")
    # A mail that moves from one queue to another while they are listed may be there twice.
    assert len({mail["queue_id"] for mail in own_site.front.queue()}) == 20
    own_site.mailboxes.start()
    own_site.front.drained()
    for user in ("alice", "bob"):
        subjects = {mail.partition(b"Subject: ")[2][:12] for mail in own_site.mailboxes.arrived(user, 20)}
        assert len(subjects) == 20


@pytest.mark.parametrize("how", [(b"relaxed", b"simple"), (b"simple", b"simple")])
def test_signed_mail_still_verifies(site: MailSite, tmp_path: Path, how: tuple[bytes, bytes]) -> None:
    key = tmp_path / "key.pem"
    subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
    public = subprocess.run(
        ["openssl", "rsa", "-in", key, "-pubout", "-outform", "DER"], check=True, capture_output=True
    ).stdout
    record = b"v=DKIM1; k=rsa; p=" + base64.b64encode(public)
    content = compose("Signed", "Every byte counts.  \n\n.\n\n\n", "To: carol@example.org")
    signature = dkim.sign(content, b"sel", b"example.net", key.read_bytes(), canonicalize=how)
    before = len(site.mailboxes.mailbox("carol"))
    site.front.send(signature + content, "carol")
    marks = b"c=" + b"/".join(how)
    (message,) = (mail for mail in site.mailboxes.arrived("carol", before + 1) if marks in mail)
    assert ours(message)["X-DSPAM-Result"] == "Innocent"
    assert dkim.verify(message, dnsfunc=lambda name, timeout=5: record)


SEQUENCES = [b"\n.\n", b"\r.\r", b"\n.\r\n", b"\r\n.\n", b"\r.\r\n", b"\r\n.\r", b"\n.\r", b"\r\n\x00.\r\n"]


@pytest.mark.parametrize("sequence", SEQUENCES, ids=repr)
def test_no_sequence_but_the_right_one_ends_a_message(site: MailSite, sequence: bytes) -> None:
    """The text after the sequence would be a second mail, to bob, if a program took it for the end."""
    smuggled = (
        b"MAIL FROM:<evil@example.net>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\nSubject: 2nd\r\n\r\nx\r\n"
    )
    content = compose("First", "Harmless.") + b"text" + sequence + smuggled
    before, bobs = len(site.mailboxes.mailbox("dave")), len(site.mailboxes.mailbox("bob"))
    assert site.daemon.deliver(content, "dave") == [250]
    assert any(b"RCPT TO:<bob@" in mail for mail in site.mailboxes.arrived("dave", before + 1))
    site.mailboxes.drained()
    assert len(site.mailboxes.mailbox("bob")) == bobs
    assert not site.mailboxes.queue()


COUNTS = (1, 2, 50)
OUTCOMES = {1: "550 5.1.1 Gone", 7: "451 4.3.0 Later", 49: "550 5.1.1 Gone too"}
CODES = {1: 550, 7: 450, 49: 550}


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailSite]:
    """A site with users `u<count>-<number>`, some of whom the next hop refuses or defers."""
    users = [f"u{count}-{number}" for count in COUNTS for number in range(count)]
    outcomes = {
        user: OUTCOMES[number] for user in users if (number := int(user.partition("-")[2])) in OUTCOMES
    }
    with mail_site(tmp_path_factory.mktemp("crowd"), users, outcomes=outcomes) as site:
        yield site


@pytest.mark.parametrize("count", COUNTS)
def test_every_recipient_has_an_answer_of_its_own(crowd: MailSite, count: int) -> None:
    users = [f"u{count}-{number}" for number in range(count)]
    before = [len(crowd.mailboxes.mailbox(user)) for user in users]
    codes = crowd.daemon.deliver(compose("All of you", "Hello."), *users)
    assert codes == [CODES.get(number, 250) for number in range(count)]
    crowd.mailboxes.drained()
    came = [len(crowd.mailboxes.mailbox(user)) - had for user, had in zip(users, before, strict=True)]
    assert came == [code == 250 for code in codes]


def test_a_deferred_recipient_alone_stays_queued(crowd: MailSite) -> None:
    before = len(crowd.mailboxes.mailbox("u50-6"))
    crowd.front.send(compose("Half way", "Hello."), "u50-6", "u50-7", "u50-8")
    for user in ("u50-6", "u50-8"):
        crowd.mailboxes.arrived(user, before + 1)
    until(lambda: "status=deferred" in crowd.front.log, "a deferral")
    (queued,) = crowd.front.queue()
    recipients = queued["recipients"]
    assert isinstance(recipients, list)
    assert [recipient["address"] for recipient in recipients] == ["u50-7@example.org"]


def _odd_content(size: int) -> bytes:
    """Lines of any length, all bytes but CR and LF, leading dots, NULs."""
    chance = random.Random(size)
    alphabet = bytes(byte for byte in range(256) if byte not in b"\r\n")
    lines = []
    while size > 0:
        length = chance.choice((0, 1, 3, 70, 998, 5000))
        line = (
            bytes(chance.choices(alphabet, k=length)) if length < 70 else alphabet[::-1] * (length // 254 + 1)
        )
        lines.append(chance.choice((b"", b".", b"..")) + line)
        size -= len(lines[-1]) + 2
    return compose("Odd", "") + b"\r\n".join(lines) + b"\r\n"


@pytest.mark.parametrize("size", [10_000, 20_000_000])
def test_content_arrives_bit_for_bit(own_site: MailSite, size: int) -> None:
    content = _odd_content(size)
    own_site.front.send(content, "carol")
    (message,) = own_site.mailboxes.arrived("carol")
    assert as_sent(message) == content.replace(b"\r\n", b"\n")
