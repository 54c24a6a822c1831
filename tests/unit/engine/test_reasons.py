"""Reasons: what is said twice is one, the strongest comes first, and the points add up."""

from __future__ import annotations

import math

import pytest

from dspamd.engine.model import Factor
from dspamd.engine.reasons import FACTORS, Balance, Share, factors, merged

BALANCE = Balance(30.0, -12.5, 8.0, 0.0, (12, 30))


def test_shares_with_one_topic_are_one_reason_in_the_words_of_the_strongest() -> None:
    one, two = merged(
        [
            Share(b'body contains "cheap"', b'body contains "cheap"', 4, 1, 0.2),
            Share(b"link", b"link", 0, 9, -0.4),
            Share(b'body contains "CHEAP"', b'body contains "CHEAP"', 3, 0, 0.5),
        ]
    )
    assert one[:3] == (b'body contains "CHEAP"', 3, 0)
    assert one.points == pytest.approx(7)
    assert one.probability == pytest.approx(1 / (1 + math.exp(-0.7)))
    assert (two.name, two.points) == (b"link", -4.0)


def test_the_words_are_those_of_the_side_that_wins() -> None:
    (reason,) = merged(
        [Share(b"a", b"t", 1, 0, 0.5), Share(b"b", b"t", 0, 9, -0.4), Share(b"c", b"t", 0, 9, -0.3)]
    )
    assert reason.name == b"b"
    assert reason.points == pytest.approx(-2)


def test_what_hardly_counts_is_no_reason() -> None:
    assert (
        merged([Share(b"a", b"a", 1, 1, 0.004), Share(b"b", b"b", 1, 1, -0.004), Share(b"c", b"c", 0, 0, 0)])
        == []
    )


def test_topics_need_not_be_text() -> None:
    assert len(merged([Share(b"\xff", b"\xff", 1, 1, 1), Share(b"\xfe", b"\xfe", 1, 1, 1)])) == 2


def test_factors_tell_the_sum_what_is_known_and_the_reasons() -> None:
    reasons = merged([Share(b"w%d" % n, b"w%d" % n, 1, 0, 1 / n) for n in range(1, 99)])
    total, learned, first, *others = factors(reasons, BALANCE, 0.85)
    assert total == Factor(b"sum +17.5 points is +30.0 for spam and -12.5 for ham; spam is above 8.0", 0.85)
    assert learned == Factor(b"learned from 12 spam and 30 ham", 0.5)
    assert first.name == b"+10.0 w1"
    assert first.value == pytest.approx(0.731, abs=1e-3)
    assert len(others) == FACTORS - 1
    lonely = factors([], BALANCE._replace(threshold=math.inf), 0.5)[0]
    assert lonely.name.endswith(b"; nothing is spam before some ham is known")
    seeded = factors([], BALANCE._replace(added=-3.0), 0.5)[1]
    assert seeded.name == b"learned from 12 spam and 30 ham; seed and groups give -3.0 of the sum"
