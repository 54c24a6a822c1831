"""The border between the protocols and the filter behind them.

The server collects an envelope and asks a `Filter` what became of it.  It knows
nothing of users, verdicts or delivery; the filter knows nothing of sockets.

Whatever the filter does, the client gets one reply for each recipient: who has none
when the filter has ended, also by an exception that is no `Failure`, is answered
451 4.3.0, because our bugs must cost nobody a message.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from dspamd.errors import Reply
from dspamd.request.envelope import Envelope, Recipient


@dataclass(frozen=True, slots=True)
class Caller:
    """The account of this machine whose program speaks to us through a unix socket."""

    uid: int
    name: str  # empty if there is no such account


class Answer:
    """What becomes of a message: one reply for each of its `count` recipients.

    The filter gives each of them when it is done with that recipient, in any order; whoever
    waits gets them in the order of the recipients, as soon as they are there (RFC 2033 4.2),
    so that a slow next hop for the last does not cost the client its patience with the first.
    There is no way to give a reply too many, and `finish` leaves none out.
    """

    def __init__(self, count: int) -> None:
        self._replies: list[Reply | None] = [None] * count
        self._output: bytes | None = None
        self._news = asyncio.Event()

    def __len__(self) -> int:
        return len(self._replies)

    def give(self, number: int, reply: Reply) -> None:
        """The reply for one recipient.  Raises `IndexError`; `ValueError` if it has one."""
        if self._replies[number] is not None:
            raise ValueError(f"recipient {number} has its reply")
        self._replies[number] = reply
        self._news.set()

    def show(self, output: bytes) -> None:
        """What dspamc shows to its caller (a summary, or the message itself), nothing if it is empty.

        If there is any, a DLMTP client gets it instead of the replies, so these wait until it is
        known.  Line ends are as they come, the protocol sees to them.
        """
        self._output = output
        self._news.set()

    def finish(self, reply: Reply) -> int:
        """Give a reply to whoever has none yet; how many that were."""
        missing = self._replies.count(None)
        self._replies = [each or reply for each in self._replies]
        self.show(self._output or b"")
        return missing

    async def output(self) -> bytes:
        """What is shown, when that is known."""
        while self._output is None:
            await self._change()
        return self._output

    async def replies(self) -> AsyncIterator[Sequence[Reply]]:
        """All replies in order; those that are there at the same time come together."""
        told = 0
        while told < len(self._replies):
            end = self._replies.index(None) if None in self._replies else len(self._replies)
            if end > told:
                yield [reply for reply in self._replies[told:end] if reply is not None]
                told = end
            else:
                await self._change()

    async def _change(self) -> None:
        self._news.clear()
        await self._news.wait()


class Filter(Protocol):
    """What the server hands messages to.

    `options` are dspamc's words (`DSPAMPROCESSMODE`, maybe none: the empty
    text); None when the message came by standard LMTP.  `caller` is None for who comes
    over the network, where the password speaks for him.
    """

    def check(
        self, recipients: Sequence[Recipient], options: str | None, caller: Caller | None
    ) -> Reply | None:
        """Before the message is read: None to go on, or the reply that refuses it."""

    async def filter(
        self, envelope: Envelope, options: str | None, caller: Caller | None, answer: Answer
    ) -> None:
        """Process a message for all its recipients, and answer them.

        May raise `Failure`, meant for each who has no reply yet.
        """
