"""The rules that the ledger of a run must keep.

Mail.  Each copy (a mail for one of its users) arrives, bit-identical except for our fields and those of
Postfix, and the daemon acknowledges it to Postfix exactly once.  Exactly one of its hand-overs is
ACKNOWLEDGED; `outcomes` lists the only excuses for the others.

Counters.  The pipeline hands a message over, then learns it, then acknowledges it.  So

* a hand-over that was ACKNOWLEDGED, or whose client VANISHED, is learned once, or the log names its
  signature as not learned: trouble with the store may cost a lesson.  Not both, unless a database
  server keeps the dictionaries: then the answer to the commit may have been lost;
* one that was UNHEARD is not learned;
* one that was KILLED is learned once or not at all: it was in flight at that kill;
* and nothing else is learned.

So the totals lie between the acknowledged messages less those logged as not learned, and the
acknowledged ones plus those in flight at each kill.  Within that they are exact:
the totals of a dictionary are the messages whose signatures it holds,
by verdict, and the hits of each token are those of these messages which have it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from dspamd.engine.model import Totals
from tests.chaos.ledger import Arrival, Contents, Copy, Ledger, Word
from tests.chaos.outcomes import Outcome, Teller

_INSTANT_S = 0.5
"""A next hop that is killed in the moment of its answer has not noted the answer."""


@dataclass
class Findings:
    """The result of an audit.  `problems` is empty if the run kept every rule."""

    problems: list[str] = field(default_factory=list)
    copies: int = 0
    arrived: int = 0
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    told: int = 0  # as not learned
    learned: int = 0
    flights: list[tuple[int, int]] = field(default_factory=list)  # in flight at each kill; learned of these

    @property
    def least(self) -> int:
        return self.outcomes[Outcome.ACKNOWLEDGED] + self.outcomes[Outcome.VANISHED] - self.told

    @property
    def most(self) -> int:
        return self.least + self.told + self.outcomes[Outcome.KILLED]


def audit(ledger: Ledger) -> Findings:
    """Hold the ledger against the rules."""
    found = Findings(arrived=len(ledger.arrivals))
    wanted = {(mail.number, user) for mail in ledger.mails for user in mail.users}
    found.copies = len(wanted)
    arrived, teller = _arrived(ledger, wanted, found.problems), Teller(ledger)
    outcomes: dict[str, Outcome] = {}
    for copy in sorted(wanted):
        told = [(arrival, teller.outcome(arrival)) for arrival in arrived[copy]]
        found.problems += _mail_problems(ledger, copy, told, teller)
        outcomes |= {arrival.signature: outcome for arrival, outcome in told}
    found.outcomes.update(outcomes.values())
    _lessons(ledger, outcomes, found)
    for user, kept in ledger.contents.items():
        found.problems += _count_problems(ledger, user, kept)
    return found


def _arrived(ledger: Ledger, wanted: set[Copy], problems: list[str]) -> dict[Copy, list[Arrival]]:
    """The arrivals of each copy, in order, if they equal the sent mail."""
    mails = {mail.number: mail for mail in ledger.mails}
    signatures = Counter(arrival.signature for arrival in ledger.arrivals)
    found: dict[Copy, list[Arrival]] = defaultdict(list)
    for arrival in sorted(ledger.arrivals, key=lambda each: each.at):
        number, user = arrival.number, arrival.user
        if number is None or (number, user) not in wanted:
            problems.append(f"came from nowhere: {number} for {user}")
        elif not mails[number].is_in(arrival.content):
            problems.append(f"changed: {number} for {user}, {len(arrival.content)} bytes")
        elif not arrival.signature or signatures[arrival.signature] > 1:
            problems.append(f"without a signature of its own: {number} for {user}")
        else:
            found[number, user].append(arrival)
    return found


def _mail_problems(
    ledger: Ledger, copy: Copy, told: list[tuple[Arrival, Outcome]], teller: Teller
) -> list[str]:
    """The problems of the hand-overs of one copy."""
    name, problems = f"{copy[0]} for {copy[1]}", []
    queued = [(arrival, outcome) for arrival, outcome in told if arrival.queue_id]
    if len(told) - len(queued) > (copy[0] in ledger.vanished):
        problems.append(f"handed over for a client that had not finished: {name}")
    if any(outcome is Outcome.ACKNOWLEDGED for arrival, outcome in told if not arrival.queue_id):
        problems.append(f"given up when its client left: {name}")
    if not queued:
        return [*problems, f"lost: {name}"]
    queue_ids = {arrival.queue_id for arrival, _ in queued}
    sent = sum(teller.acknowledged(queue_id, copy[1]) for queue_id in queue_ids)
    if sent != 1:
        problems.append(f"acknowledged {sent} times: {name}")
    heard = [arrival for arrival, outcome in queued if outcome is Outcome.ACKNOWLEDGED]
    if len(heard) > 1:
        problems.append(f"{len(heard)} times, without a cause: {name}")
    if not heard:
        problems.append(f"acknowledged, but each of its hand-overs had failed: {name}")
    problems += [f"acknowledged too early: {name}" for arrival in heard if not _handed_over(ledger, arrival)]
    problems += [f"acknowledged, not logged: {name}" for arrival in heard if not teller.done(arrival)]
    return problems


def _handed_over(ledger: Ledger, arrival: Arrival) -> bool:
    """Whether the next hop answered for it."""
    return arrival.answered is not None or any(
        0 <= trouble.begun - arrival.at <= _INSTANT_S for trouble in ledger.troubles
    )


def _lessons(ledger: Ledger, outcomes: dict[str, Outcome], found: Findings) -> None:
    """Compare the outcome of each hand-over with the dictionaries."""
    arrivals = {arrival.signature: arrival for arrival in ledger.arrivals}
    told = {said.signature for said in ledger.said if said.word is Word.NOT_LEARNED}
    learned = {(id_, user) for user, kept in ledger.contents.items() for id_ in kept.signatures}
    for id_, user in sorted(learned):
        if id_ not in arrivals or arrivals[id_].user != user:
            found.problems.append(f"learned for {user}, but not handed over: {id_}")
    ids = {id_ for id_, _ in learned}
    for id_, outcome in outcomes.items():
        if outcome is Outcome.UNHEARD and id_ in ids:
            found.problems.append(f"learned, though not handed over: {id_}")
        if outcome in (Outcome.ACKNOWLEDGED, Outcome.VANISHED):
            if id_ not in ids and id_ not in told:
                found.problems.append(f"not learned, and not told: {id_}")
            if id_ in ids and id_ in told and not ledger.on_server:
                found.problems.append(f"learned, and told as not learned: {id_}")
            found.told += id_ in told
    for kill in ledger.kills:
        flight = [id_ for id_, outcome in outcomes.items()
                  if outcome is Outcome.KILLED and arrivals[id_].worker in kill.workers]  # fmt: skip
        found.flights.append((len(flight), len(ids.intersection(flight))))
    found.learned = sum(
        kept.totals.spam_learned + kept.totals.innocent_learned for kept in ledger.contents.values()
    )
    if not found.least <= found.learned <= found.most:
        found.problems.append(f"learned {found.learned}, not {found.least} to {found.most}")


def _count_problems(ledger: Ledger, user: str, kept: Contents) -> list[str]:
    """Where the counters of a dictionary differ from its messages."""
    spam = {arrival.signature: arrival.spam for arrival in ledger.arrivals}
    verdicts = Counter(spam.get(id_, False) for id_ in kept.signatures)
    problems = []
    totals = Totals(spam_learned=verdicts[True], innocent_learned=verdicts[False])
    if kept.totals != totals:
        problems.append(f"totals of {user}: {tuple(kept.totals)}, not {tuple(totals)}")
    expected: dict[bool, Counter[int]] = {True: Counter(), False: Counter()}
    for id_, tokens in kept.signatures.items():
        expected[spam.get(id_, False)].update(tokens)
    hits = {
        token: (expected[True][token], expected[False][token]) for each in expected.values() for token in each
    }
    wrong = [token for token in hits.keys() | kept.hits.keys() if hits.get(token) != kept.hits.get(token)]
    if wrong:
        example = f"{wrong[0]}: {kept.hits.get(wrong[0])}, not {hits.get(wrong[0])}"
        problems.append(f"hits of {len(wrong)} of {len(hits)} tokens of {user}, as {example}")
    if kept.block != kept.lessons:
        sizes = f"{len(kept.block)} bytes, those of its lessons {len(kept.lessons)}"
        problems.append(f"weights of {user} are not the sum of its lessons: {sizes}")
    return problems
