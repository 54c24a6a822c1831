from __future__ import annotations

import pytest

from dspamd.engine.model import Label
from dspamd.mail.message import Message
from dspamd.retrain_address import retrain_address


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
    assert retrain_address(Message(b"From: a@x\r\nTo: " + to + b"\r\n\r\nx")) == (label, user, address)


@pytest.mark.parametrize(
    "to",
    [
        b"bob@example.net",
        b"spam@example.net",
        b"innocent-bob@x",
        b"nonspam-bob@x",
        b"SPAM-bob@x",
        b"myspam-bob@x",
    ],
)
def test_addresses_that_do_not(to: bytes) -> None:
    assert retrain_address(Message(b"To: " + to + b"\n\nTo: spam-bob@x\n")) is None


def test_the_last_to_header_with_one_wins() -> None:
    raw = b"To: spam-a@x\nTO:spam-b@x\nTo: c@x\nCc: spam-d@x\n\n"
    assert retrain_address(Message(raw)) == (Label.SPAM, "b", "b@x")


def test_bytes_of_no_character_set_are_kept() -> None:
    found = retrain_address(Message(b"To: spam-\xff@x\n\n"))
    assert found is not None
    assert found.address.encode("utf-8", "surrogateescape") == b"\xff@x"
