"""dspam_notify: mails each user a daily list of their quarantine (reference/cli.md 8).

Users with an empty quarantine, or the preference dailyQuarantineSummary=off, get nothing.
`delivery.digest` makes the letter from the text quarantinesummary.txt in TxtDirectory.  The
command delivers it like other mail to the address in its To header, from the empty sender, so
that nobody answers it (RFC 3834 3.3).

Unlike the original script it needs no editing: all settings are in dspam.conf.  It prints only
failures, for cron; after a failure with one user it goes on with the others.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from email.utils import parseaddr
from pathlib import Path
from typing import TYPE_CHECKING

from dspamd.commands import tool
from dspamd.delivery import digest
from dspamd.errors import Failure, InvalidName, PermFail, UsageError
from dspamd.filter.outlet import Handover
from dspamd.mail.message import Message
from dspamd.users.preferences import User

if TYPE_CHECKING:
    from dspamd.app import Parts

USAGE = "dspam_notify [--profile=NAME] [-h]\n"


COMMAND = tool.Command("dspam_notify", USAGE)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 0, 1 wrong usage or a letter failed, 75, 78."""
    return tool.command(COMMAND, run, arguments)


def run(words: list[str]) -> int:
    words, profile = tool.profile_of(words)
    if words:
        raise UsageError
    return tool.run(notify, profile)


async def notify(parts: Parts) -> int:
    """Send a letter to every user with a quarantine.  Raises `Failure` if none can be sent."""
    text = parts.texts.text(digest.TEXT)
    if not text:
        raise PermFail(f"{parts.home.texts / digest.TEXT} is missing", exit_status=os.EX_CONFIG)
    status = os.EX_OK
    for mailbox, user in (await _readers(parts)).items():
        try:
            await _write(parts, text, mailbox, user)
        except (Failure, OSError) as error:
            sys.stderr.write(f"dspam_notify: {user.name}: {error}\n")
            status = 1
    return status


async def _readers(parts: Parts) -> dict[Path, User]:
    """The owner of each mailbox: users, and then groups, which have none of their own."""
    names = [*await parts.storage.owners(), *await asyncio.to_thread(parts.home.owners, "mbox")]
    readers: dict[Path, User] = {}
    for name in names:
        try:
            user = await parts.users.resolve(name)
            readers.setdefault(parts.home.file(user.file_name, "mbox"), user)
        except InvalidName:  # has no files
            continue
    return readers


async def _write(parts: Parts, text: bytes, mailbox: Path, user: User) -> None:
    if user.preferences.get("dailyQuarantineSummary", "").lower() == "off":
        return
    kept = await asyncio.to_thread(digest.read, mailbox)
    if not kept:
        return
    letter = Message(digest.compose(text, user.name, kept, url=parts.config.WebURL))
    recipient = parseaddr((letter.first("To") or b"").decode("utf-8", "surrogateescape"))[1]
    if not recipient:
        raise PermFail(f"{digest.TEXT} has no address in its To header")
    await parts.outlet.deliver(
        Handover(
            sender=b"",
            recipient=recipient.encode("utf-8", "surrogateescape"),
            content=letter.crlf,
            user=user.name,
        )
    )


if __name__ == "__main__":
    sys.exit(main())
