"""The harness itself: mail passes both listeners of our Postfix without any filter in between."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.ports import free_port
from tests.support.postfix import Postfix


@pytest.fixture(scope="module")
def postfix() -> Iterator[Postfix]:
    back = free_port()
    with Postfix(f"smtp:[127.0.0.1]:{back}", ["alice", "bob"], back=back) as postfix:
        yield postfix
        assert not postfix.complaints


def test_mail_passes_both_listeners(postfix: Postfix) -> None:
    postfix.send(b"Subject: hello\r\n\r\n.leading dot\r\n", "alice", "bob")
    for user in ("alice", "bob"):
        (message,) = postfix.arrived(user)
        assert message.endswith(b"Subject: hello\n\n.leading dot\n")
        assert message.count(b"\nReceived: ") == 2
    postfix.drained()


def test_two_copies_run_side_by_side(postfix: Postfix) -> None:
    with Postfix("smtp:[127.0.0.1]:1", ["alice"]) as second:
        second.send(b"Subject: stays here\r\n\r\nNobody listens on port 1.\r\n", "alice")
        assert len(second.queue()) == 1
        assert second.mailbox("alice") == []
