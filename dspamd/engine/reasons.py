"""Why a verdict is what it is: reasons in words, strongest first, and the sum of their points.

A scorer that adds up evidence says what each token or feature adds to the log-odds.  Ten points are one
unit of them: every 7 points double the odds of spam.  With Algorithm confidence, and for a message of
which weights know little, the verdict is less sure than the sum.  A message is spam if the sum of its
points exceeds the threshold.  Features that say nearly the same (they have one topic) are one reason, in
the words of the strongest of them and with the points of all.

`X-DSPAM-Factors` shows the sum and the first reasons in DSPAM's form: a name, and the probability that it
gives alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from dspamd.engine.model import Explained, Factor

POINTS = 10.0
"""Points of a unit of log-odds."""

FACTORS = 15
"""Reasons that `X-DSPAM-Factors` shows, as many as Graham's formula uses."""

_LEAST = 0.05  # points of a reason that is worth a line: it would be shown as 0.0


class Share(NamedTuple):
    """What a token or feature adds to the log-odds, and the lessons of each class that had it."""

    name: bytes
    topic: bytes
    spam: int
    innocent: int
    logit: float


class Balance(NamedTuple):
    """How the points of all reasons add up.

    spam, innocent  points for either side; the latter is 0 or less
    threshold       the sum above which a message is spam; infinite while no ham is known
    added           the part of the sum that comes from others' knowledge (seed, merged group)
    lessons         messages of spam and ham that the owner's knowledge was learned from
    areas           the sum by what the reasons are about, as far as the view knows
    """

    spam: float
    innocent: float
    threshold: float
    added: float
    lessons: tuple[int, int]
    areas: tuple[tuple[str, float], ...] = ()

    @property
    def sum(self) -> float:
        return self.spam + self.innocent

    @property
    def bound(self) -> str:
        """What the sum is compared with, in words."""
        if math.isinf(self.threshold):
            return "nothing is spam before some ham is known"
        return f"spam is above {self.threshold:.1f}"


def merged(shares: Iterable[Share]) -> list[Explained]:
    """A reason for each topic, the strongest first; those that hardly count are left out."""
    topics: dict[str, list[Share]] = {}
    for share in shares:
        topics.setdefault(share.topic.decode("utf-8", "surrogateescape").casefold(), []).append(share)
    reasons = [_reason(alike) for alike in topics.values()]
    return sorted(
        (reason for reason in reasons if abs(reason.points) >= _LEAST), key=lambda reason: -abs(reason.points)
    )


def _reason(alike: list[Share]) -> Explained:
    logit = math.fsum(share.logit for share in alike)
    name, _, spam, innocent, _ = max(alike, key=lambda share: share.logit if logit > 0 else -share.logit)
    return Explained(name, spam, innocent, probability(logit), POINTS * logit)


def factors(reasons: list[Explained], balance: Balance, chance: float) -> list[Factor]:
    """The sum, with the probability of spam that the verdict reports, and the first reasons."""
    learned = f"learned from {balance.lessons[0]} spam and {balance.lessons[1]} ham"
    total = (
        f"sum {balance.sum:+.1f} points is {balance.spam:+.1f} for spam and {balance.innocent:+.1f} for ham; "
        f"{balance.bound}"
    )
    if balance.added:
        learned += f"; seed and groups give {balance.added:+.1f} of the sum"
    return [
        Factor(total.encode(), chance),
        Factor(learned.encode(), 0.5),
        *(Factor(b"%+.1f %s" % (row.points, row.name), row.probability) for row in reasons[:FACTORS]),
    ]


def probability(logit: float) -> float:
    """The probability that log-odds stand for."""
    return 1 / (1 + math.exp(-max(-700.0, min(700.0, logit))))
