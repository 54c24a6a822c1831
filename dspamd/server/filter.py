"""The border between the protocols and the filter behind them.

The server collects an envelope and asks a `Filter` what became of it.  It knows
nothing of users, verdicts or delivery; the filter knows nothing of sockets.

Whatever the filter does, the client gets one reply for each recipient: a wrong
number of replies, or an exception that is no `Failure`, is answered 451 4.3.0
for each of them, because our bugs must cost nobody a message.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from dspamd.envelope import Envelope, Recipient
from dspamd.errors import Reply


@dataclass(frozen=True, slots=True)
class Caller:
    """The account of this machine whose program speaks to us through a unix socket."""

    uid: int
    name: str  # empty if there is no such account


class Answer(NamedTuple):
    """What became of a message: a reply for each recipient, in their order.

    `output` is what dspamc shows to its caller (a summary, or the message
    itself); if there is any, a DLMTP client gets it instead of the replies.
    Line ends are as they come, the protocol sees to them.
    """

    replies: tuple[Reply, ...]
    output: bytes = b""


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

    async def filter(self, envelope: Envelope, options: str | None, caller: Caller | None) -> Answer:
        """Process a message for all its recipients.  May raise `Failure`, meant for each."""
