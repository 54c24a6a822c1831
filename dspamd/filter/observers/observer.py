"""What happens after a message was handed over: whoever wants to know of it is told.

The pipeline tells each `Observer` of each message that was judged, once the next hop
has taken it.  What an observer does with that (keep a copy, note the source, write to
the user) happens behind the back of the mail: it must neither wait nor fail, and
what it does may be lost without harm.
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
    """A message that was judged for one recipient, and handed over."""

    mail: InboundMessage
    delivery: Delivery
    user: User
    verdict: Verdict
    totals: Totals | None  # of the dictionary, afterwards; None if nothing is known of them

    @property
    def inbound(self) -> bool:
        """Whether it is plain mail, on its way to its reader: no lesson, no question."""
        return self.delivery.request.lesson is None and not self.delivery.request.classify


class Observer(Protocol):
    """Somebody who wants to know what was processed."""

    def note(self, processed: Processed) -> None:
        """Take note.  Returns at once and raises nothing."""
