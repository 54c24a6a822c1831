"""Killing the daemon at any moment costs no mail."""

from __future__ import annotations

import re
import threading

from tests.e2e.message import as_sent, compose
from tests.e2e.site import Site
from tests.e2e.wait import until

COUNT = 200


def test_kill_under_load_loses_and_truncates_nothing(own_site: Site) -> None:
    """A kill between hand-over and acknowledgement may deliver a mail twice, never less than once."""
    contents = {
        number: compose(f"Load {number}", "\n".join(f"line {line} of {number}" for line in range(200)))
        for number in range(COUNT)
    }

    def load() -> None:
        with own_site.front.session() as smtp:
            for content in contents.values():
                own_site.front.send(content, "alice", smtp=smtp)

    sender = threading.Thread(target=load)
    sender.start()
    for killed_after in (20, 80):
        until(lambda: len(own_site.mailboxes.mailbox("alice")) >= killed_after, f"{killed_after} mails")  # noqa: B023
        own_site.daemon.kill()
        own_site.daemon.start()
    sender.join()
    own_site.front.drained()
    own_site.mailboxes.drained()

    arrived: dict[int, bytes] = {}
    for message in own_site.mailboxes.mailbox("alice"):
        match = re.search(rb"^Subject: Load (\d+)$", message, re.M)
        assert match
        arrived[int(match[1])] = as_sent(message)
    assert arrived == {number: content.replace(b"\r\n", b"\n") for number, content in contents.items()}
