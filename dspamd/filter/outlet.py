"""The hand-over: a message for the next hop, and the promise of every transport.

`deliver` returns the reply of the next hop once that has taken the message.  It raises `PermFail` if
the next hop refuses for good, and `TempFail` for everything that may pass with time, which
includes all trouble between us and the next hop.  The texts are those of
reference/protocols.md 4.3; administrators search their logs for them:

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
    `user`, `arguments` (further words of the command line) and `trusted` (whether the
    client may use the trusted agent) are for delivery agents only.
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
        """Release what is kept for the next message."""


class Outlet(Protocol):
    """Where messages leave the filter: to the next hop, or into quarantine."""

    async def deliver(self, handover: Handover) -> Reply:
        """Hand over to the next hop or the delivery agent.  Raises `TempFail`, `PermFail`."""

    async def quarantine(self, handover: Handover, owner: str) -> Reply:
        """Put into the quarantine of `owner`.  Raises `TempFail`."""
