"""The border between the protocols and the filter behind them.

The server collects an envelope and passes it to a `Filter`.  The server knows nothing of
users, verdicts or delivery; the filter knows nothing of sockets.

The client always gets one reply for each recipient.  A recipient without a reply when the filter
has ended, even by our own bug, gets 451 4.3.0, because no bug may cost a message.
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
    """The answer to a message: one reply for each of its `count` recipients.

    The filter gives the replies in any order, each when it is done with the recipient.  The
    server gets them in the order of the recipients, each as soon as it can (RFC 2033 4.2), so a
    slow next hop of the last recipient does not delay the reply for the first.
    The filter cannot give a reply too many, and `finish` gives the missing ones.
    """

    def __init__(self, count: int) -> None:
        self._replies: list[Reply | None] = [None] * count
        self._output: bytes | None = None
        self._news = asyncio.Event()

    def __len__(self) -> int:
        return len(self._replies)

    def give(self, number: int, reply: Reply) -> None:
        """Give the reply for one recipient.  Raises `IndexError`; `ValueError` if it has one."""
        if self._replies[number] is not None:
            raise ValueError(f"recipient {number} has its reply")
        self._replies[number] = reply
        self._news.set()

    def show(self, output: bytes) -> None:
        """Give the output of dspamc for its caller: a summary, or the message itself; empty: nothing.

        A DLMTP client gets output instead of the replies, so the replies wait until the filter
        has given it.  The protocol converts the line ends.
        """
        self._output = output
        self._news.set()

    def finish(self, reply: Reply) -> int:
        """Give a reply to each recipient without one; how many that were."""
        missing = self._replies.count(None)
        self._replies = [each or reply for each in self._replies]
        self.show(self._output or b"")
        return missing

    async def output(self) -> bytes:
        """Wait for the output."""
        while self._output is None:
            await self._change()
        return self._output

    async def replies(self) -> AsyncIterator[Sequence[Reply]]:
        """All replies in order, in batches of those that are ready at the same time."""
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
    """The filter to which the server passes messages.

    `options` are dspamc's words (`DSPAMPROCESSMODE`, maybe none: the empty
    text); None when the message came by standard LMTP.  `caller` is None for a client on
    the network, which has a password instead.
    """

    def check(
        self, recipients: Sequence[Recipient], options: str | None, caller: Caller | None
    ) -> Reply | None:
        """Decide before the message is read: None to go on, or the reply that refuses it."""

    async def filter(
        self, envelope: Envelope, options: str | None, caller: Caller | None, answer: Answer
    ) -> None:
        """Process a message for all its recipients, and answer them.

        May raise `Failure`, the answer for each recipient without a reply.
        """
