"""A mail site: Postfix at the front, dspamd behind it, and the mail server that holds the mailboxes.

The two Postfix are separate so that a test can stop the next hop while mail
still comes in.  Each user has the aliases `spam-user` and `notspam-user`, and
may have a fixed outcome at the next hop.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.daemon import Daemon
from tests.support.postfix import Postfix


@dataclass(frozen=True)
class MailSite:
    front: Postfix
    daemon: Daemon
    mailboxes: Postfix


@contextlib.contextmanager
def mail_site(
    folder: Path,
    users: Iterable[str],
    *,
    outcomes: Mapping[str, str] | None = None,
    settings: str = "",
) -> Iterator[MailSite]:
    """A running site; it fails at the end if a Postfix found its own set-up wrong or dspamd a bug."""
    users = tuple(users)
    addresses = [prefix + user for user in users for prefix in ("", "spam-", "notspam-")]
    with (
        Postfix("smtp:[127.0.0.1]:1", users, outcomes=outcomes) as mailboxes,
        Daemon(folder, mailboxes.back, settings=settings) as daemon,
        Postfix(f"dspam:[127.0.0.1]:{daemon.port}", addresses) as front,
    ):
        yield MailSite(front, daemon, mailboxes)
        assert not front.complaints
        assert not mailboxes.complaints
        assert "Traceback" not in daemon.output
