"""The outcome of each hand-over that reached the next hop, proved by records of several parties.

SMTP cannot tell some hand-overs from failed ones; then the mail comes again.  Each second copy needs
a cause, for this very mail, that excuses no other:

* KILLED: we killed the worker that made it, and at that time Postfix lost the connection for this
  copy, after its final dot.  One lost connection excuses one hand-over.
* UNHEARD: the next hop was in trouble, and had not answered for this copy when the daemon deferred it.
  The daemon had begun this hand-over by then, and never logged its success.  One deferral excuses
  one hand-over.
* VANISHED: our client left after the final dot of this mail, on purpose; the daemon went on.

Every other hand-over must be ACKNOWLEDGED.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from enum import Enum

from tests.chaos.ledger import Arrival, End, Kill, Ledger, Word

DEADLINE_S = 3
"""How long the daemon waits for the next hop, for a store, for a scanner."""
_NOTED_S = 5.0
"""So long after a connection was lost Postfix has noted it, at the latest."""


class Outcome(Enum):
    ACKNOWLEDGED = "acknowledged"
    KILLED = "killed before the reply"
    UNHEARD = "next hop not heard"
    VANISHED = "client vanished"


class Teller:
    """Tells outcomes from the ledger of a run."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._done = {said.signature for said in ledger.said if said.word is Word.MESSAGE}
        self._cut: dict[tuple[str, str], list[float]] = defaultdict(list)
        self._refused: dict[tuple[str, str], list[float]] = defaultdict(list)
        self._sent = Counter((each.queue_id, each.user) for each in ledger.attempts if each.end is End.SENT)
        for attempt in ledger.attempts:
            if attempt.end is End.CUT:
                self._cut[attempt.queue_id, attempt.user].append(attempt.second)
        for said in ledger.said:
            if said.word is Word.DEFERRED and "Deferred: " in said.reply:  # by the next hop, or its silence
                self._refused[said.queue_id, said.user].append(said.at)

    def done(self, arrival: Arrival) -> bool:
        """Whether the daemon's log says that it came to the end of this hand-over."""
        return arrival.signature in self._done

    def acknowledged(self, queue_id: str, user: str) -> int:
        """How often the daemon acknowledged to Postfix the hand-over of a mail in its queue to this user."""
        return self._sent[queue_id, user]

    def outcome(self, arrival: Arrival) -> Outcome:
        """To be asked in the order of arrival, since nothing excuses twice."""
        key = arrival.queue_id, arrival.user
        if not arrival.queue_id and self.done(arrival):
            return Outcome.VANISHED
        for at in self._refused[key]:
            if self._unheard(arrival, at):
                self._refused[key].remove(at)
                return Outcome.UNHEARD
        for kill in self._ledger.kills:
            if arrival.worker not in kill.workers:
                continue
            if not arrival.queue_id:  # whoever could have recorded it is gone
                return Outcome.KILLED
            for second in self._cut[key]:
                if _at_once(kill, second):
                    self._cut[key].remove(second)
                    return Outcome.KILLED
        return Outcome.ACKNOWLEDGED

    def _unheard(self, arrival: Arrival, refused: float) -> bool:
        """Whether it was refused while the daemon waited for an answer that was not given."""
        return (
            not self.done(arrival)
            and self._begun(arrival) <= refused
            and (arrival.answered is None or refused < arrival.answered)
            and any(each.begun <= refused <= each.over + DEADLINE_S + 1 for each in self._ledger.troubles)
        )

    def _begun(self, arrival: Arrival) -> float:
        """When its signature was made, to the second: as late as any clock of the daemon allows."""
        read = int(arrival.signature[:8], 16) - self._ledger.epoch
        return max(
            (read - ahead for ahead in self._ledger.clocks if read - ahead <= arrival.at), default=read
        )


def _at_once(kill: Kill, second: float) -> bool:
    """Whether a connection was lost at a kill, if Postfix noted it in this second."""
    return kill.at - 1 < second <= kill.at + _NOTED_S
