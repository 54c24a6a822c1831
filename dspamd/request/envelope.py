"""The envelope of a message: sender, recipients, content.

Addresses stay the bytes that came over the wire, without angle brackets, so
that quoted local parts, odd characters and UTF-8 (RFC 6531) leave as they came.
The null sender is empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Recipient:
    """A recipient with its RCPT parameters (`NOTIFY=...`, `ORCPT=...`) as they came."""

    address: bytes
    parameters: tuple[bytes, ...] = ()

    @property
    def text(self) -> str:
        """The address for names, logs and replies; never fails, never loses a byte."""
        return self.address.decode("utf-8", "surrogateescape")


@dataclass(frozen=True, slots=True)
class Envelope:
    """One message as the mail server handed it over.

    `content` has CR LF line ends and no dot-stuffing; `parameters` are those of
    MAIL (`BODY=8BITMIME`, `SMTPUTF8`, `SIZE=...`); `xforward` holds the
    attributes of Postfix's XFORWARD command, undecoded, upper-case names.
    """

    sender: bytes
    recipients: tuple[Recipient, ...]
    content: bytes
    parameters: tuple[bytes, ...] = ()
    xforward: Mapping[str, str] = field(default_factory=dict)

    @property
    def queue_id(self) -> str | None:
        """Postfix's name for the message, for the log; None if Postfix did not send it."""
        return self.xforward.get("IDENT") or None
