"""The permission to correct the filter by mail: what is known of the sender of a report.

The id of a signature is no secret: it goes with every message that a user forwards or answers.
A sender cannot forge the way on which the message came to the mail server.  Postfix says it with
XFORWARD: `SOURCE=LOCAL` is mail of its own machine and of the clients that
`local_header_rewrite_clients` names, such as those that have logged in; all other mail is `REMOTE`
(XFORWARD_README; a login itself is not forwarded).  Without XFORWARD nobody vouches for the client.
We believe every peer that may speak LMTP to us: that is the mail server.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from dspamd.config.config import Config
from dspamd.errors import PermFail
from dspamd.request.envelope import Envelope
from dspamd.request.recipients import without_detail
from dspamd.request.retrain_address import RetrainAddress


class NotAllowed(PermFail):
    """The sender may not correct the filter by this mail; nothing was changed."""

    enhanced = "5.7.1"
    exit_status = os.EX_NOPERM
    reason = "forbidden"

    def __init__(self, envelope: Envelope, report: RetrainAddress) -> None:
        super().__init__(
            f"Not allowed: send the report as {report.address}, logged in to the mail server of that account",
            detail=f"sender <{_sender(envelope)}>, source {envelope.xforward.get('SOURCE', 'unknown')}",
        )


class Reporter(NamedTuple):
    """The sender of a report, whom RetrainFrom admits."""

    vouched: bool
    """The mail server vouches for the client: the filter may learn a text that it has not seen before.

    A sender address can be forged, and a forger needs no signature to teach a text."""
    for_others: bool
    """They may correct for the owner of any signature, not only for the user whom the address names."""


def reporter(config: Config, envelope: Envelope, report: RetrainAddress) -> Reporter:
    """The sender of a report.  Raises `NotAllowed` if RetrainFrom does not admit them."""
    allowed = config.RetrainFrom
    vouched = envelope.xforward.get("SOURCE", "").upper() == "LOCAL"
    for_others = "any" in allowed or (vouched and "local" in allowed)
    if not for_others and not ("user" in allowed and _is_user(config, envelope, report)):
        raise NotAllowed(envelope, report)
    return Reporter(vouched, for_others)


def _is_user(config: Config, envelope: Envelope, report: RetrainAddress) -> bool:
    """Whether the sender is the user whom the address names, domain and all."""
    sender, user = _sender(envelope).lower(), report.address.lower()
    return bool(sender) and without_detail(config, sender) == without_detail(config, user)


def _sender(envelope: Envelope) -> str:
    return envelope.sender.decode("utf-8", "surrogateescape")
