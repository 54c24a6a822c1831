"""The blocklist of a user (reference/protocols.md 10.2)."""

from __future__ import annotations

from pathlib import Path

import pytest

from dspamd.filter.scan.blocklist import Blocklists, sender_domain
from dspamd.home.home import Home
from dspamd.mail.message import Message
from dspamd.users import cache
from tests.support.logged import Logged


def mail(sender: str) -> Message:
    return Message(f"From: {sender}\nSubject: x\n\nFrom: y@body.example\n".encode())


@pytest.mark.parametrize(
    ("sender", "domain"),
    [
        ("x@Spam.Example", b"spam.example"),
        ('"a@b.example" <x@spam.example>', b"spam.example"),
        ("X <x@spam.example> (comment)", b"spam.example"),
        ("x@spam.example (work)", b"spam.example"),
        ("undisclosed", b""),
        ("", b""),
    ],
)
def test_domain_of_the_sender(sender: str, domain: bytes) -> None:
    assert sender_domain(mail(sender)) == domain


async def test_lists(tmp_path: Path) -> None:
    home, now = Home(tmp_path), [0.0]
    lists = Blocklists(home, lambda: now[0])
    assert not await lists.blocks("bob", mail("x@spam.example"))
    home.prepare(home.file("bob", "blocklist")).write_text("other.example\r\nSPAM.example\n\n")
    assert not await lists.blocks("bob", mail("x@spam.example"))
    now[0] = cache.SECONDS
    assert await lists.blocks("bob", mail("x@spam.EXAMPLE"))
    assert await lists.blocks("bob", mail("x@other.example"))
    assert not await lists.blocks("bob", mail("x@a.spam.example"))
    assert not await lists.blocks("bob", mail("nobody"))
    assert not await lists.blocks("ann", mail("x@spam.example"))


async def test_an_unreadable_list_blocks_nobody(tmp_path: Path, logged: Logged) -> None:
    home = Home(tmp_path)
    home.file("bob", "blocklist").mkdir(parents=True)
    assert not await Blocklists(home).blocks("bob", mail("x@spam.example"))
    assert "blocklist_unreadable" in logged.take()
