"""Observers of each message after the hand-over.

The pipeline notifies each `Observer` of each message that got a verdict, once the next hop has taken
it.  An observer keeps a copy, logs the source, or writes to the user, all in the background: it must
neither wait nor fail, and a crash may lose its work without harm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from dspamd.engine.model import Totals
from dspamd.filter.transaction import InboundMessage
from dspamd.filter.verdict import Verdict
from dspamd.request.recipients import Delivery
from dspamd.users.preferences import User


@dataclass(frozen=True, slots=True)
class Processed:
    """A message that got its verdict for one recipient, and was handed over."""

    mail: InboundMessage
    delivery: Delivery
    user: User
    verdict: Verdict
    totals: Totals | None  # of the dictionary, afterwards; None if unknown

    @property
    def inbound(self) -> bool:
        """Whether it is plain mail for its reader: no lesson, no question."""
        return self.delivery.request.lesson is None and not self.delivery.request.classify


class Observer(Protocol):
    """Observes processed messages."""

    def note(self, processed: Processed) -> None:
        """Take note.  Returns at once and raises nothing."""
