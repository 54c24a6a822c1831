"""The figures, against values computed by hand, by counting pairs, and by scikit-learn."""

from __future__ import annotations

import math
import random
from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspamd.evaluation import metrics
from dspamd.evaluation.metrics import Bin, Errors

HAM, SPAM = False, True
LABELS = [HAM, SPAM, HAM, SPAM, SPAM, HAM]
SCORES = [0.1, 0.4, 0.4, 0.9, 0.2, 0.0]

judged = st.lists(st.tuples(st.booleans(), st.integers(0, 8).map(lambda n: n / 8)), max_size=40)


def test_pairs_by_hand() -> None:
    """Of nine pairs one is wrong (ham .4 above spam .2), and one is a tie (both .4)."""
    assert metrics.above_roc(LABELS, SCORES) == pytest.approx(100 * 1.5 / 9)
    assert metrics.above_roc([HAM, SPAM], [0.2, 0.7]) == 0
    assert metrics.above_roc([HAM, SPAM], [0.7, 0.2]) == 100
    assert metrics.above_roc([HAM, SPAM], [0.5, 0.5]) == 50


@given(judged)
def test_pairs_are_counted(pairs: list[tuple[bool, float]]) -> None:
    labels, scores = [label for label, _ in pairs], [score for _, score in pairs]
    hams = [score for label, score in pairs if not label]
    spams = [score for label, score in pairs if label]
    wrong = [1.0 if ham > spam else 0.5 if ham == spam else 0.0 for ham, spam in product(hams, spams)]
    expected = pytest.approx(100 * math.fsum(wrong) / len(wrong)) if wrong else None
    assert metrics.above_roc(labels, scores) == expected


@pytest.mark.parametrize(
    ("seed", "count", "steps", "above_roc", "brier"),
    [
        (1, 50, 5, 24.380952380952394, 0.21200000000000002),
        (2, 400, 20, 14.054419293640684, 0.159675),
        (3, 1000, 1000, 17.88549345870305, 0.174264157),
    ],
)
def test_scikit_learn_says_the_same(
    seed: int, count: int, steps: int, above_roc: float, brier: float
) -> None:
    """Recorded with scikit-learn 1.9.1 from these labels and scores:

    100 * (1 - roc_auc_score(labels, scores)), brier_score_loss(labels, scores)
    """
    chance = random.Random(f"metrics {seed}")
    labels = [chance.random() < 0.4 for _ in range(count)]
    scores = [
        round(min(1, max(0, chance.gauss(0.35 + 0.3 * label, 0.25))) * steps) / steps for label in labels
    ]
    assert metrics.above_roc(labels, scores) == pytest.approx(above_roc, rel=1e-12)
    assert metrics.brier(labels, scores) == pytest.approx(brier, rel=1e-12)


def test_the_curve_by_hand() -> None:
    third = 100 / 3
    expected = [(100, 0), (2 * third, 0), (third, 0), (third, third), (0, 2 * third), (0, 100)]
    assert metrics.roc(LABELS, SCORES) == [pytest.approx(point) for point in [*expected[:4], *expected[4:]]]


@given(judged)
def test_the_area_above_the_curve_is_the_share_of_wrong_pairs(pairs: list[tuple[bool, float]]) -> None:
    labels, scores = [label for label, _ in pairs], [score for _, score in pairs]
    points = metrics.roc(labels, scores)
    area = sum((x1 - x2) * (y1 + y2) / 2 for (x1, y1), (x2, y2) in pairwise(points))
    assert metrics.above_roc(labels, scores) == (pytest.approx(area / 100) if points else None)


@pytest.mark.parametrize(("ham_lost", "missed"), [(0, 200 / 3), (33, 200 / 3), (34, 0), (100, 0)])
def test_spam_missed_at_a_share_of_ham(ham_lost: float, missed: float) -> None:
    assert metrics.missed_at(LABELS, SCORES, ham_lost) == pytest.approx(missed)


def test_ham_that_cannot_be_told_from_spam_costs_all_spam() -> None:
    assert metrics.missed_at([HAM, SPAM, SPAM], [1.0, 1.0, 1.0], 0.1) == 100
    assert metrics.missed_at([SPAM], [1.0], 0.1) is None


@pytest.mark.parametrize(
    ("ham_lost", "ham", "spam_missed", "spam", "lam"),
    [
        (1, 100, 1, 100, 1.0),
        (1, 10, 9, 10, 50.0),  # log-odds of 10 % and of 90 %
        (1, 5, 1, 17, 100 / 9),  # the mean of log 1/4 and log 1/16 is log 1/8
        (0, 200, 0, 200, 0.25),  # none is half of one
        (10, 10, 10, 10, 95.0),
    ],
)
def test_lam_by_hand(ham_lost: int, ham: int, spam_missed: int, spam: int, lam: float) -> None:
    assert metrics.logistic_average(ham_lost, ham, spam_missed, spam) == pytest.approx(lam)


def test_what_is_not_there_has_no_figure() -> None:
    assert metrics.logistic_average(0, 0, 1, 2) is None
    assert metrics.above_roc([SPAM], [0.5]) is None
    assert metrics.brier([], []) is None
    assert metrics.roc([HAM], [0.5]) == []
    assert metrics.reliability([], []) == []


def test_calibration_by_hand() -> None:
    assert metrics.brier([HAM, SPAM], [0.5, 0.8]) == pytest.approx((0.25 + 0.04) / 2)
    found = metrics.reliability([HAM, SPAM, SPAM, HAM], [0.0, 0.0625, 1.0, 0.9375])
    assert found == [Bin(2, 0.03125, 0.5), Bin(2, 0.96875, 0.5)]


def test_errors_by_hand() -> None:
    labels, verdicts = [HAM, HAM, SPAM, SPAM], [SPAM, HAM, HAM, SPAM]
    assert metrics.errors(labels, verdicts) == Errors(4, 1, 1)
    tenths = metrics.tenths(labels * 5, verdicts * 5)
    assert tenths == [Errors(2, 1, 0), Errors(2, 0, 1)] * 5
    assert sum(each.messages for each in metrics.tenths(labels, verdicts)) == 4
