"""Retraining by address: `spam-bob@example.org` in the To header (`ParseToHeaders`).

Users forward a message to such an address to correct us.  The rules are those of
reference/protocols.md 6, except that folded To headers count, too (long lists of
recipients are always folded).  The envelope is not looked at.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from dspamd.engine.model import Label
from dspamd.mail.message import Message

_STARTS = (b"<", b" ", b"\t", b",", b":")
_PREFIXES = ((b"spam-", Label.SPAM), (b"notspam-", Label.INNOCENT))
_ADDRESS = re.compile(rb"[^>, \t\r\n]*")


class RetrainAddress(NamedTuple):
    """What a retraining address says, without its prefix."""

    label: Label
    user: str
    """The part before the `@`; empty if there is no `@`."""
    address: str
    """All of it (`ChangeUserOnParse full`)."""


def _parse(value: bytes) -> RetrainAddress | None:
    value = b":" + value  # what stands in front of the value, so that every address has a start
    for prefix, label in _PREFIXES:
        for start in _STARTS:
            at = value.find(start + prefix)
            if at >= 0:
                match = _ADDRESS.match(value, at + len(start) + len(prefix))
                address = match[0].decode("utf-8", "surrogateescape") if match else ""
                user, sign, _ = address.partition("@")
                return RetrainAddress(label, user if sign else "", address)
    return None


def retrain_address(message: Message) -> RetrainAddress | None:
    """The retraining address that the last To header with one names; None without any."""
    for value in reversed(message.values("To")):
        if found := _parse(value):
            return found
    return None
