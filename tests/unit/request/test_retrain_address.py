from __future__ import annotations

import pytest

from dspamd.engine.model import Label
from dspamd.mail.message import Message
from dspamd.request.envelope import Recipient
from dspamd.request.retrain_address import RetrainAddress, in_header, named, of_recipient


@pytest.mark.parametrize(
    ("to", "label", "user", "address"),
    [
        (b"spam-bob@example.net", Label.SPAM, "bob", "bob@example.net"),
        (b"notspam-bob@example.net", Label.INNOCENT, "bob", "bob@example.net"),
        (b'"X" <spam-bob@example.net>', Label.SPAM, "bob", "bob@example.net"),
        (b"<notspam-bob@example.net>, x@y.z", Label.INNOCENT, "bob", "bob@example.net"),
        (b"bob@example.net, spam-alice@example.net", Label.SPAM, "alice", "alice@example.net"),
        (b"bob@example.net,spam-alice@example.net", Label.SPAM, "alice", "alice@example.net"),
        (b"bob@example.net,\r\n spam-alice@example.net", Label.SPAM, "alice", "alice@example.net"),
        (b"bob@example.net,\r\n\tspam-alice@example.net", Label.SPAM, "alice", "alice@example.net"),
        (b"group:spam-alice@example.net;", Label.SPAM, "alice", "alice@example.net;"),
        (b"spam-bob", Label.SPAM, "", "bob"),
        (b"notspam-a@x, spam-b@x", Label.SPAM, "b", "b@x"),
        (b"a spam-b@x, <spam-c@x>", Label.SPAM, "c", "c@x"),
        (b"spam-j\xc3\xb6rg@x", Label.SPAM, "jörg", "jörg@x"),
    ],
)
def test_addresses_that_retrain(to: bytes, label: Label, user: str, address: str) -> None:
    assert in_header(Message(b"From: a@x\r\nTo: " + to + b"\r\n\r\nx")) == (label, user, address)


@pytest.mark.parametrize(
    "to",
    [
        b"bob@example.net",
        b"spam@example.net",
        b"innocent-bob@x",
        b"nonspam-bob@x",
        b"SPAM-bob@x",
        b"myspam-bob@x",
        b'" spam-free newsletter" <bob@x>',
        b'"Ann \\" <spam-ann@y>" <bob@x>',
        b"Team spam-busters <bob@x>",
        b"a@x, Team: spam-busters <bob@x>",
    ],
)
def test_addresses_that_do_not(to: bytes) -> None:
    assert in_header(Message(b"To: " + to + b"\n\nTo: spam-bob@x\n")) is None


def test_the_last_to_header_with_one_wins() -> None:
    raw = b"To: spam-a@x\nTO:spam-b@x\nTo: c@x\nCc: spam-d@x\n\n"
    assert in_header(Message(raw)) == (Label.SPAM, "b", "b@x")


def test_bytes_of_no_character_set_are_kept() -> None:
    found = in_header(Message(b"To: spam-\xff@x\n\n"))
    assert found is not None
    assert found.address.encode("utf-8", "surrogateescape") == b"\xff@x"


BOB = RetrainAddress(Label.SPAM, "bob", "bob@x.org")


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("spam-bob@x.org", BOB),
        ("Spam-bob@x.org", BOB),
        ("notspam-bob@x.org", RetrainAddress(Label.INNOCENT, "bob", "bob@x.org")),
        ("spam-bob", RetrainAddress(Label.SPAM, "", "bob")),
        ("bob@x.org", None),
        ("spam@x.org", None),
        ("spam-@x.org", None),
        ("spam-", None),
        ("myspam-bob@x.org", None),
        ("bob@spam-x.org", None),
    ],
)
def test_an_address_by_itself(address: str, found: RetrainAddress | None) -> None:
    assert named(address) == found


def test_the_whole_address() -> None:
    assert BOB.whole == "spam-bob@x.org"
    assert BOB._replace(label=Label.INNOCENT).whole == "notspam-bob@x.org"


@pytest.mark.parametrize(
    ("recipient", "orcpt", "found"),
    [
        (b"spam-bob@x.org", b"", BOB),
        (b"bob@x.org", b"ORCPT=rfc822;spam-bob@x.org", BOB),
        (b"bob@x.org", b"orcpt=RFC822;spam-bob@X.org", BOB),
        (b"bob@x.org", b"ORCPT=rfc822;Spam-BOB@x.org", BOB),
        (b"Bob@x.org", b"ORCPT=rfc822;spam-bob@x.org", RetrainAddress(Label.SPAM, "Bob", "Bob@x.org")),
        (b"a+b@x.org", b"ORCPT=rfc822;spam-a+2Bb@x.org", RetrainAddress(Label.SPAM, "a+b", "a+b@x.org")),
        (b"bob@x.org", b"ORCPT=rfc822;spam-busters@x.org", None),
        (b"bob@x.org", b"ORCPT=rfc822;spam-bob@other.org", None),
        (b"bob@x.org", b"ORCPT=x400;spam-bob@x.org", None),
        (b"bob@x.org", b"ORCPT=rfc822", None),
        (b"bob@x.org", b"NOTIFY=NEVER", None),
    ],
)
def test_a_recipient(recipient: bytes, orcpt: bytes, found: RetrainAddress | None) -> None:
    """An ORCPT counts if our own alias set it, not if a list elsewhere did; the alias spells the user."""
    assert of_recipient(Recipient(recipient, (orcpt,) if orcpt else ())) == found


def test_the_address_before_the_alias() -> None:
    assert of_recipient(Recipient(b"reports@x.org"), "spam-bob@x.org") == BOB
