"""Explanations: rows of tokens for DSPAM's formulas, a table of reasons for scorers that add."""

from __future__ import annotations

import math

from dspamd.engine.model import Explained, Result
from dspamd.engine.reasons import Balance
from dspamd.filter.explanation import explanation_data, explanation_lines, result_line

REASONS = [
    Explained('body contains "Grüße"'.encode(), 0, 9, 0.3, -8.0),
    Explained(b"\x1b[2J\xff", 12, 0, 0.6, 4.25),
]
BALANCE = Balance(10.0, -12.5, 0.0, 3.0, (12, 30), (("words", -8.0), ("links", 0.01), ("form", 5.5)))


def test_an_explanation_has_a_line_for_each_token() -> None:
    assert explanation_lines(
        [Explained(b"free+#+money", 12, 0, 0.99), Explained(b"caf\xe9 %", 0, 123456, 0.0001)], None
    ) == [
        b"S: 00012  I: 00000  P: 0.9900  free+#+money",
        b"S: 00000  I: 123456  P: 0.0001  caf%e9 %25",
    ]
    assert explanation_lines([], None) == []


def test_an_explanation_of_a_bomb_stays_in_its_line() -> None:
    (line,) = explanation_lines([Explained(b"\r\n" * 120, 1, 1, 0.4)], None)
    assert len(line) < 150
    assert line.isascii()
    assert not set(b"\r\n") & set(line)


def test_reasons_are_a_table_that_adds_up() -> None:
    assert [line.decode() for line in explanation_lines(REASONS, BALANCE)] == [
        "-2.5 points: +10.0 for spam, -12.5 for ham; spam is above 0.0",
        "learned from 12 spam and 30 ham of this user; the seed and groups give +3.0 of the points",
        "points by area: words -8.0, form +5.5",
        "",
        "  points  in spam  in ham  reason",
        '    -8.0        0       9  body contains "Grüße"',
        "    +4.2       12       0  %1b[2J%ff",
        "    +1.2                   everything else",
    ]


def test_a_user_without_knowledge() -> None:
    nothing = Balance(0, 0, math.inf, 0, (0, 0))
    assert explanation_data([], nothing, None)["threshold"] is None  # JSON has no infinity
    lines = explanation_lines([], nothing)
    assert lines[:2] == [
        b"+0.0 points: +0.0 for spam, +0.0 for ham; nothing is spam before some ham is known",
        b"learned from 0 spam and 0 ham of this user",
    ]


def test_the_verdict_in_a_line() -> None:
    assert result_line(Result(True, "Spam", 0.99, 0.5)) == "Spam, probability 0.9900, confidence 0.5000"


def test_explanations_as_data() -> None:
    data = explanation_data(REASONS, BALANCE, Result(False, "Innocent", 0.4, 0.2))
    assert data["reasons"] == [
        {"reason": 'body contains "Grüße"', "in_spam": 0, "in_ham": 9, "probability": 0.3, "points": -8.0},
        {"reason": "\x1b[2J\\xff", "in_spam": 12, "in_ham": 0, "probability": 0.6, "points": 4.25},
    ]
    assert (data["result"], data["spam"], data["points"], data["learned"]) == (
        "Innocent",
        False,
        -2.5,
        {"spam": 12, "ham": 30},
    )
    assert sum(reason.points for reason in REASONS) + 1.25 == BALANCE.sum
    assert data["points_of_everything_else"] == 1.25
    tokens = explanation_data(REASONS, None, None)
    assert tokens.keys() == {"reasons"}
