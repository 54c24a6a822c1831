"""Retraining addresses: `spam-bob@example.org`, `notspam-bob@example.org` (`ParseToHeaders`).

Users correct the filter by forwarding a message to such an address.  A mail is a correction if the
address is in its envelope (`RetrainAddress envelope`).  Either it is the recipient; or the recipient is
`bob@example.org`, and ORCPT says that an alias of the mail server turned `spam-bob@example.org` into
it (RFC 3461 4.2).  An ORCPT that names any other user does not count: another server set it, for
a list called `spam-fighters`, say.  With `original` the header X-Original-To of the mail server
counts as well.

DSPAM read the To headers instead (reference/protocols.md 6), which the sender writes.  `RetrainAddress
header` does so, too, except that folded headers count, and display names do not.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from dspamd.engine.model import Label
from dspamd.mail.message import Message
from dspamd.request.envelope import Recipient

_PREFIXES = (("spam-", Label.SPAM), ("notspam-", Label.INNOCENT))
_STARTS = (b"<", b" ", b"\t", b",", b":")
_ADDRESS = re.compile(rb"[^>, \t\r\n]*")
_QUOTED = re.compile(rb'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
_HEX = re.compile(r"\+([0-9A-F]{2})")  # xtext, RFC 3461 4


class RetrainAddress(NamedTuple):
    """The parts of a retraining address, without its prefix."""

    label: Label
    user: str
    """The part before the `@`; empty if there is no `@`."""
    address: str
    """All of it (`ChangeUserOnParse full`)."""

    @property
    def whole(self) -> str:
        """With its prefix."""
        return ("spam-" if self.label is Label.SPAM else "notspam-") + self.address


def named(address: str) -> RetrainAddress | None:
    """The parts of an address if it is a retraining address, whose prefix has letters of any case."""
    for prefix, label in _PREFIXES:
        rest = address[len(prefix) :]
        if address[: len(prefix)].lower() == prefix and rest.partition("@")[0]:
            return _said(label, rest)
    return None


def of_recipient(recipient: Recipient, original: str = "") -> RetrainAddress | None:
    """The retraining address that mail for a recipient came to, None if to no such address.

    `original` is the address before any alias, if we trust the mail server to say it.
    """
    if found := named(recipient.text) or named(original):
        return found
    rewritten = named(_orcpt(recipient))
    if rewritten is None or rewritten.address.lower() != recipient.text.lower():
        return None
    # The reporter typed ORCPT; the alias spells the user as other mail does.
    return _said(rewritten.label, recipient.text)


def in_header(message: Message) -> RetrainAddress | None:
    """The retraining address that the last To header with one names; None without any."""
    for value in reversed(message.values("To")):
        if found := _parse(value):
            return found
    return None


def _said(label: Label, address: str) -> RetrainAddress:
    user, sign, _ = address.partition("@")
    return RetrainAddress(label, user if sign else "", address)


def _orcpt(recipient: Recipient) -> str:
    """The address in `ORCPT=rfc822;address`, or utf-8 (RFC 6533 3); empty if there is none."""
    for parameter in recipient.parameters:
        name, _, value = parameter.decode("utf-8", "surrogateescape").partition("=")
        if name.upper() == "ORCPT":
            kind, _, address = value.partition(";")
            return _HEX.sub(_character, address) if kind.lower() in ("rfc822", "utf-8") else ""
    return ""


def _character(code: re.Match[str]) -> str:
    return chr(int(code[1], 16))


def _parse(value: bytes) -> RetrainAddress | None:
    addresses = _addresses(value)
    for prefix, label in _PREFIXES:
        for start in _STARTS:
            at = addresses.find(start + prefix.encode())
            if at >= 0:
                match = _ADDRESS.match(addresses, at + len(start) + len(prefix))
                return _said(label, match[0].decode("utf-8", "surrogateescape") if match else "")
    return None


def _addresses(value: bytes) -> bytes:
    """A header without its display names; a colon before it gives the first address a start, too."""
    mailboxes = _QUOTED.sub(b"", value).split(b",")
    return b":" + b",".join(each[max(each.find(b"<"), 0) :] for each in mailboxes)
