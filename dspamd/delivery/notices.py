"""Notices: letters to users, each sent once, at the first event of its kind.

    firstrun.txt        the first message of a user           marker USER.firstrun
    firstspam.txt       the first spam of a user              marker USER.firstspam
    quarantinefull.txt  the quarantine of a user exceeds      marker USER.mboxwarn, which the
                        QuarantineWarnSize                    web pages remove

A notice is its text with every `$u` replaced by the name of the user, after a `Date`
line.  It goes the way of innocent mail, from the empty sender, so that no program answers it
(RFC 3834 3.3).  The marker comes first, even if the notice then fails: only one of several
processes sends it, and no user gets it twice.  A notice waits until its text exists.

Mail neither waits for notices nor fails with them (reference/protocols.md 11).
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from email.utils import format_datetime
from pathlib import Path
from typing import NamedTuple

from dspamd.errors import Failure
from dspamd.filter.observers.observer import Processed
from dspamd.filter.outlet import Handover, Outlet
from dspamd.home.home import Home
from dspamd.home.templates import Texts
from dspamd.mail.message import Message
from dspamd.telemetry import log
from dspamd.telemetry.recurring import Recurring
from dspamd.users.preferences import User

_AT_ONCE = 100  # notices at the same time; other users get theirs with their next message
_PARTING_S = 30.0


class Notice(NamedTuple):
    """A kind of notice: its text and the ending of its marker."""

    text: str
    marker: str


FIRST_RUN = Notice("firstrun.txt", "firstrun")
FIRST_SPAM = Notice("firstspam.txt", "firstspam")
QUARANTINE_FULL = Notice("quarantinefull.txt", "mboxwarn")


class Notices:
    """Sends notices to users who want them.  Implements `Observer`.

    `quarantine_limit` is the size in bytes above which a quarantine is full.
    """

    def __init__(
        self,
        home: Home,
        outlet: Outlet,
        texts: Texts,
        *,
        quarantine_limit: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._home, self._outlet, self._texts = home, outlet, texts
        self._quarantine_limit, self._clock = quarantine_limit, clock
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._unsent = Recurring("notice_not_sent", "notices_sent_again")

    def note(self, processed: Processed) -> None:
        """Send the notices that a message causes.

        Only delivered mail causes any: a caller who asks for an answer delivers nothing.
        """
        user, request = processed.user, processed.delivery.request
        if not (user.notifications and processed.inbound and request.deliver_innocent) or request.stdout:
            return
        if user.name in self._busy or len(self._busy) >= _AT_ONCE:
            return
        task = asyncio.create_task(self._notify(processed))
        self._busy[user.name] = task
        task.add_done_callback(lambda _: self._busy.pop(user.name))

    async def close(self) -> None:
        """Wait for the notices on their way, for a limited time."""
        if self._busy:
            _, late = await asyncio.wait(self._busy.values(), timeout=_PARTING_S)
            for task in late:
                task.cancel()
        self._unsent.close()

    async def _notify(self, processed: Processed) -> None:
        user = processed.user
        try:
            due = await asyncio.to_thread(self._claim, user, spam=processed.verdict.result.spam)
            for notice in due:
                await self._outlet.deliver(self._handover(notice, processed))
                log.get().info("notice", user=user.name, text=notice.text)
            self._unsent.well()
        except (Failure, OSError) as error:
            self._unsent.tell(error, str(getattr(error, "filename", None) or user.name))
        except Exception:
            log.get().exception("bug", user=user.name)

    def _claim(self, user: User, *, spam: bool) -> list[Notice]:
        """The notices that are due, each marked as sent."""
        return [
            notice
            for notice in self._applying(user, spam=spam)
            if self._texts.text(notice.text)
            and _mark(self._home.prepare(self._home.file(user.file_name, notice.marker)), self._time(notice))
        ]

    def _applying(self, user: User, *, spam: bool) -> Iterator[Notice]:
        yield FIRST_RUN
        if spam:
            yield FIRST_SPAM
        mailbox = self._home.file(user.file_name, "mbox")
        if mailbox.exists() and mailbox.stat().st_size > self._quarantine_limit:
            yield QUARANTINE_FULL

    def _time(self, notice: Notice) -> bytes:
        """The text of a marker; a marker of the web pages has no line end."""
        return b"%d%s" % (self._clock(), b"" if notice is QUARANTINE_FULL else b"\n")

    def _handover(self, notice: Notice, processed: Processed) -> Handover:
        name = processed.user.name.encode("utf-8", "surrogateescape")
        date = format_datetime(datetime.fromtimestamp(self._clock()).astimezone())
        content = b"Date: %s\n%s" % (date.encode(), self._texts.text(notice.text).replace(b"$u", name))
        return Handover(
            sender=b"",
            recipient=processed.delivery.recipient.address,
            content=Message(content).crlf,
            user=processed.delivery.user,
            arguments=processed.delivery.request.agent_arguments,
            trusted=processed.delivery.request.trusted,
        )


def _mark(marker: Path, text: bytes) -> bool:
    """Make a marker; false if it is there already.  Raises OSError."""
    try:
        file = os.open(marker, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o660)
    except FileExistsError:
        return False
    with os.fdopen(file, "wb") as open_file:
        open_file.write(text)
    return True
