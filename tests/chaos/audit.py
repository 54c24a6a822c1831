"""The rules that the books of a run must keep.

Mail.  Each copy (a mail for one of its users) arrives, bit-identical but for our fields and those of
Postfix, and Postfix is told so exactly once.  Of its hand-overs exactly one is ACKNOWLEDGED; what
excuses the others is said in `fates`, and nothing else does.

Counters.  A message is handed over, then learned, then acknowledged (the order of effects that the
pipeline states), so of the hand-overs

* one that was ACKNOWLEDGED, or whose client VANISHED, is learned once, or the log names its signature
  as not learned: the lesson is what trouble with the store may cost.  Not both, unless a database
  server keeps the dictionaries: then the answer to the commit may be what was lost;
* one that was UNHEARD is not learned;
* one that was KILLED is learned once or not at all: it was in flight at that kill;
* and nothing is learned that was not handed over.

So the totals lie between acknowledged less told, and acknowledged plus in flight at each kill.
Within that they are exact: the totals of a dictionary are the messages whose signatures it holds,
by verdict, and the hits of each token are those of these messages which have it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from dspamd.engine.model import Totals
from tests.chaos.books import Arrival, Books, Copy, Kept, Word
from tests.chaos.fates import Fate, Teller

_INSTANT_S = 0.5
"""A next hop that is killed in the moment of its answer has not noted the answer."""


@dataclass
class Findings:
    """What an audit found.  `problems` is empty if every rule was kept."""

    problems: list[str] = field(default_factory=list)
    copies: int = 0
    arrived: int = 0
    fates: Counter[Fate] = field(default_factory=Counter)
    told: int = 0  # as not learned
    learned: int = 0
    flights: list[tuple[int, int]] = field(default_factory=list)  # in flight at each kill; learned of these

    @property
    def least(self) -> int:
        return self.fates[Fate.ACKNOWLEDGED] + self.fates[Fate.VANISHED] - self.told

    @property
    def most(self) -> int:
        return self.least + self.told + self.fates[Fate.KILLED]


def audit(books: Books) -> Findings:
    """Hold the books against the rules."""
    found = Findings(arrived=len(books.arrivals))
    wanted = {(mail.number, user) for mail in books.mails for user in mail.users}
    found.copies = len(wanted)
    arrived, teller = _arrived(books, wanted, found.problems), Teller(books)
    fates: dict[str, Fate] = {}
    for copy in sorted(wanted):
        told = [(arrival, teller.fate(arrival)) for arrival in arrived[copy]]
        found.problems += _mail_problems(books, copy, told, teller)
        fates |= {arrival.signature: fate for arrival, fate in told}
    found.fates.update(fates.values())
    _lessons(books, fates, found)
    for user, kept in books.kept.items():
        found.problems += _count_problems(books, user, kept)
    return found


def _arrived(books: Books, wanted: set[Copy], problems: list[str]) -> dict[Copy, list[Arrival]]:
    """What arrived of each copy, in order, if it is what was sent."""
    mails = {mail.number: mail for mail in books.mails}
    signatures = Counter(arrival.signature for arrival in books.arrivals)
    found: dict[Copy, list[Arrival]] = defaultdict(list)
    for arrival in sorted(books.arrivals, key=lambda each: each.at):
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


def _mail_problems(books: Books, copy: Copy, told: list[tuple[Arrival, Fate]], teller: Teller) -> list[str]:
    """What is wrong with the hand-overs of one copy."""
    name, problems = f"{copy[0]} for {copy[1]}", []
    queued = [(arrival, fate) for arrival, fate in told if arrival.queue_id]
    if len(told) - len(queued) > (copy[0] in books.vanished):
        problems.append(f"handed over for a client that had not finished: {name}")
    if any(fate is Fate.ACKNOWLEDGED for arrival, fate in told if not arrival.queue_id):
        problems.append(f"given up when its client left: {name}")
    if not queued:
        return [*problems, f"lost: {name}"]
    queue_ids = {arrival.queue_id for arrival, _ in queued}
    sent = sum(teller.acknowledged(queue_id, copy[1]) for queue_id in queue_ids)
    if sent != 1:
        problems.append(f"acknowledged {sent} times: {name}")
    heard = [arrival for arrival, fate in queued if fate is Fate.ACKNOWLEDGED]
    if len(heard) > 1:
        problems.append(f"{len(heard)} times, without a cause: {name}")
    if not heard:
        problems.append(f"acknowledged, but each of its hand-overs had failed: {name}")
    problems += [f"acknowledged too early: {name}" for arrival in heard if not _handed_over(books, arrival)]
    problems += [f"acknowledged, not logged: {name}" for arrival in heard if not teller.done(arrival)]
    return problems


def _handed_over(books: Books, arrival: Arrival) -> bool:
    """Whether the next hop answered for it."""
    return arrival.answered is not None or any(
        0 <= trouble.begun - arrival.at <= _INSTANT_S for trouble in books.troubles
    )


def _lessons(books: Books, fates: dict[str, Fate], found: Findings) -> None:
    """Compare what became of each hand-over with what the dictionaries hold."""
    arrivals = {arrival.signature: arrival for arrival in books.arrivals}
    told = {said.signature for said in books.said if said.word is Word.NOT_LEARNED}
    learned = {(id_, user) for user, kept in books.kept.items() for id_ in kept.signatures}
    for id_, user in sorted(learned):
        if id_ not in arrivals or arrivals[id_].user != user:
            found.problems.append(f"learned for {user}, but not handed over: {id_}")
    ids = {id_ for id_, _ in learned}
    for id_, fate in fates.items():
        if fate is Fate.UNHEARD and id_ in ids:
            found.problems.append(f"learned, though not handed over: {id_}")
        if fate in (Fate.ACKNOWLEDGED, Fate.VANISHED):
            if id_ not in ids and id_ not in told:
                found.problems.append(f"not learned, and not told: {id_}")
            if id_ in ids and id_ in told and not books.on_server:
                found.problems.append(f"learned, and told as not learned: {id_}")
            found.told += id_ in told
    for kill in books.kills:
        flight = [id_ for id_, fate in fates.items()
                  if fate is Fate.KILLED and arrivals[id_].worker in kill.workers]  # fmt: skip
        found.flights.append((len(flight), len(ids.intersection(flight))))
    found.learned = sum(
        kept.totals.spam_learned + kept.totals.innocent_learned for kept in books.kept.values()
    )
    if not found.least <= found.learned <= found.most:
        found.problems.append(f"learned {found.learned}, not {found.least} to {found.most}")


def _count_problems(books: Books, user: str, kept: Kept) -> list[str]:
    """Where the counters of a dictionary differ from its messages."""
    spam = {arrival.signature: arrival.spam for arrival in books.arrivals}
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
    return problems
