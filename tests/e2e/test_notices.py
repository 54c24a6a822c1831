"""Letters to users from a real daemon: notices, and the digest of a quarantine."""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter
from pathlib import Path

from tests.support.account import TRUST
from tests.support.daemon import Daemon
from tests.support.load import ACCEPTED, NextHop, mail, session

TEXTS = Path(__file__).parents[2] / "etc/txt"
SETTINGS = f"""\
{TRUST}
TxtDirectory {TEXTS}
Notifications on
QuarantineWarnSize 400
ServerParameters "--deliver=innocent"
Preference "spamAction=quarantine"
"""


def subject(text: str) -> str:
    """The Subject of one of the texts that come with dspamd."""
    (line,) = [line for line in (TEXTS / text).read_text().splitlines() if line.startswith("Subject: ")]
    return line.removeprefix("Subject: ")


async def test_users_hear_of_their_first_mail_their_spam_and_a_full_quarantine(tmp_path: Path) -> None:
    """The blocklist of alice makes it spam."""
    blocklist = tmp_path / "data/alice/alice.blocklist"
    blocklist.parent.mkdir(parents=True)
    blocklist.write_text("example.net\n")
    notices = [subject(f"{name}.txt") for name in ("firstrun", "firstspam", "quarantinefull")]
    async with NextHop() as hop:
        with Daemon(tmp_path, hop.port, settings=SETTINGS) as daemon:
            async with session(daemon.port) as sender:
                for number in range(3):
                    assert await sender.send(mail(f"spam {number}", 500)) == ACCEPTED
                    await hop.got(len(notices))
        assert Counter(hop.subjects) == Counter(notices)
        await _notify(daemon)
        (digest,) = hop.subjects[len(notices) :]
        assert digest.endswith(" new, 3 messages")
    quarantine = (tmp_path / "data/alice/alice.mbox").read_bytes()
    assert quarantine.count(b"From QUARANTINE ") == 3


async def _notify(daemon: Daemon) -> None:
    """Run dspam_notify at the site of a daemon."""
    command = (sys.executable, "-m", "dspamd.commands.dspam_notify")
    environment = {**os.environ, "DSPAM_CONF": str(daemon.config)}
    process = await asyncio.create_subprocess_exec(*command, env=environment)
    assert await asyncio.wait_for(process.wait(), 60) == 0
