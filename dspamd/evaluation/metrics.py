"""The figures of a measurement: how well verdicts separate spam from ham.  Pure.

Labels and verdicts are True for spam.  A score is the probability of spam, from 0 to 1.  Shares are
percentages.  A figure that needs a class of which there is no message is None.

1-ROCA and lam are those of the TREC spam track (Cormack, "TREC 2006 Spam Track Overview").
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise
from typing import NamedTuple

TENTHS = 10
_BINS = 10
_LEAST = 0.5  # messages: stands for none, whose logarithm would be infinite


class Bin(NamedTuple):
    """The messages whose scores lie in one range: how many, their mean score, the share that is spam."""

    messages: int
    score: float
    spam: float


class Errors(NamedTuple):
    """Wrong verdicts among some messages."""

    messages: int
    ham_lost: int
    spam_missed: int


def above_roc(labels: Sequence[bool], scores: Sequence[float]) -> float | None:
    """1-ROCA: the share of pairs, a ham and a spam, in which the ham scores higher; a tie is half of one."""
    wrong, spam_below, pairs = 0.0, 0, labels.count(True) * labels.count(False)
    for ham, spam in _by_score(labels, scores):
        wrong += ham * (spam_below + spam / 2)
        spam_below += spam
    return 100 * wrong / pairs if pairs else None


def roc(labels: Sequence[bool], scores: Sequence[float]) -> list[tuple[float, float]]:
    """The curve: shares of ham lost and of spam missed, for each threshold, from all lost to none."""
    hams, spams = labels.count(False), labels.count(True)
    points, ham_below, spam_below = [(100.0, 0.0)], 0, 0
    if not hams or not spams:
        return []
    for ham, spam in _by_score(labels, scores):
        ham_below, spam_below = ham_below + ham, spam_below + spam
        points.append((100 * (hams - ham_below) / hams, 100 * spam_below / spams))
    return points


def missed_at(labels: Sequence[bool], scores: Sequence[float], ham_lost: float) -> float | None:
    """The least share of spam missed by a threshold that loses at most this share of ham."""
    points = roc(labels, scores)
    return min((missed for lost, missed in points if lost <= ham_lost), default=None)


def _by_score(labels: Sequence[bool], scores: Sequence[float]) -> Iterator[tuple[int, int]]:
    """Numbers of ham and spam with the same score, by rising scores."""
    ranked = sorted(zip(scores, labels, strict=True))
    for _, group in groupby(ranked, key=lambda pair: pair[0]):
        tied = [label for _, label in group]
        yield tied.count(False), tied.count(True)


def logistic_average(ham_lost: int, ham: int, spam_missed: int, spam: int) -> float | None:
    """lam: the mean of both shares on the scale of log-odds, as a share.

    No error counts as half of one; all wrong as all but half of one.
    """
    if not ham or not spam:
        return None
    mean = (_log_odds(ham_lost, ham) + _log_odds(spam_missed, spam)) / 2
    return 100 / (1 + math.exp(-mean))


def _log_odds(count: int, total: int) -> float:
    wrong = min(max(count, _LEAST), total - _LEAST)
    return math.log(wrong / (total - wrong))


def brier(labels: Sequence[bool], scores: Sequence[float]) -> float | None:
    """The mean square of the distance between score and label, 0 to 1."""
    if not labels:
        return None
    return math.fsum((score - label) ** 2 for label, score in zip(labels, scores, strict=True)) / len(labels)


def reliability(labels: Sequence[bool], scores: Sequence[float]) -> list[Bin]:
    """The messages in ten ranges of scores; ranges without messages are left out."""
    bins: list[list[tuple[float, bool]]] = [[] for _ in range(_BINS)]
    for label, score in zip(labels, scores, strict=True):
        bins[min(int(score * _BINS), _BINS - 1)].append((score, label))
    return [
        Bin(
            len(found),
            math.fsum(score for score, _ in found) / len(found),
            sum(y for _, y in found) / len(found),
        )
        for found in bins
        if found
    ]


def errors(labels: Sequence[bool], verdicts: Sequence[bool]) -> Errors:
    """The wrong verdicts."""
    pairs = list(zip(labels, verdicts, strict=True))
    return Errors(len(pairs), pairs.count((False, True)), pairs.count((True, False)))


def tenths(labels: Sequence[bool], verdicts: Sequence[bool]) -> list[Errors]:
    """The wrong verdicts in each tenth of the messages, in the order of time."""
    ends = [len(labels) * n // TENTHS for n in range(TENTHS + 1)]
    return [errors(labels[start:end], verdicts[start:end]) for start, end in pairwise(ends)]
