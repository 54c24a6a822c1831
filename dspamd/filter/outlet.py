"""What is handed to the next hop, and what every way of handing over promises.

`deliver` returns only when the next hop has taken the message, with the reply it
gave.  Everything else is raised: `PermFail` when the next hop refused for good,
`TempFail` for all that may pass with time, which includes whatever goes wrong
between us and the next hop.  The texts are those of reference/protocols.md 4.3,
which administrators search their logs for:

    Unable to connect to server    nobody answers there
    HELO: 550 ...                  greeted, but refused our name (LHLO for LMTP)
    Deferred: 450 4.2.0 later      the next hop wants it later
    Fatal: 550 5.1.1 unknown       the next hop does not want it
    Packet send failure            the connection broke before the message was out
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from dspamd.errors import Reply


@dataclass(frozen=True, slots=True)
class Handover:
    """One message for one recipient.

    Addresses are raw bytes without angle brackets (empty sender: a bounce);
    parameters are those the message arrived with; `content` has CR LF line ends
    and no dot-stuffing; `spam` says which delivery agent or mailbox applies.
    `user`, `arguments` (further words of the command line) and `trusted` (whether who
    asked may use the trusted agent) are for delivery agents only.
    """

    sender: bytes
    recipient: bytes
    content: bytes
    mail_parameters: tuple[bytes, ...] = ()
    rcpt_parameters: tuple[bytes, ...] = ()
    xforward: Mapping[str, str] = field(default_factory=dict)
    spam: bool = False
    user: str = ""
    arguments: tuple[str, ...] = ()
    trusted: bool = True


class Transport(Protocol):
    """A way to hand over messages."""

    async def deliver(self, handover: Handover) -> Reply:
        """Hand over and return the next hop's reply.  Raises `TempFail`, `PermFail`."""

    async def close(self) -> None:
        """Let go of everything that is held for the next message."""


class Outlet(Protocol):
    """Where judged messages leave us: to the next hop, or into quarantine."""

    async def deliver(self, handover: Handover) -> Reply:
        """Hand over to the next hop or the delivery agent.  Raises `TempFail`, `PermFail`."""

    async def quarantine(self, handover: Handover, owner: str) -> Reply:
        """Put into the quarantine of `owner`.  Raises `TempFail`."""
