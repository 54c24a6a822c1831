"""Algorithm confidence, slow and plain (dspamd/engine/confidence.pxi)."""

from __future__ import annotations

import math
from collections.abc import Iterable

Pair = tuple[int, int]  # spam hits, innocent hits


def lean(a: float, b: float) -> float:
    """How far a token leans to one class; `a` and `b` are hits of equally large classes."""
    t = a + b
    return max(0.0, ((a - b) ** 2 - 0.25 / t) / t**2)


def probability(pair: Pair, spam_learned: int, innocent_learned: int) -> float:
    """The probability of a token."""
    if not spam_learned or not innocent_learned or pair == (0, 0):
        return 0.5
    most = max(spam_learned, innocent_learned)
    a, b = pair[0] * most / spam_learned, pair[1] * most / innocent_learned
    trust = lean(a, b) ** 8 / (1 + 8 / (a + b))
    return min(max(0.5 + trust * (a / (a + b) - 0.5), 1e-6), 1 - 1e-6)


def evidence(probabilities: Iterable[float]) -> float:
    """The evidence of all tokens together."""
    return math.fsum(math.log(p / (1 - p)) for p in probabilities)


def chance_of_spam(evidence: float, spam_learned: int, innocent_learned: int) -> float:
    """The probability of a message."""
    most = min(10.0, 3 + min(spam_learned, innocent_learned) / 10)
    odds = 0.4 * evidence / (1 + abs(0.4 * evidence) / most)
    return 1 / (1 + math.exp(-odds))


def learns(evidence: float, tokens: int, *, spam: bool, margin: float = 1.0) -> bool:
    """Whether mode tone learns from a message of a class that has lessons."""
    return (evidence if spam else -evidence) < margin * min(42.0, 0.07 * tokens)
