"""The probability of one token (engine.md 3, vectors of 12.4)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dspamd.engine.model import Mode, ScoreOptions, Totals
from tests.support.engine import body_run

BIASED = ScoreOptions(bias=True)


def probability(spam: int, innocent: int, totals: Totals, options: ScoreOptions) -> float:
    (token,) = body_run(b"zebra", {b"zebra": (spam, innocent)}, totals, options).explain()
    assert token[:3] == (b"zebra", spam, innocent)
    return token.probability


@pytest.mark.parametrize(
    ("messages", "hits", "bias", "sedation", "expected"),
    [
        ((100, 100), (1, 0), True, 0, 0.4),
        ((100, 100), (5, 0), True, 0, 0.99),
        ((1000, 1000), (200, 0), True, 0, 0.9900990099),
        ((100, 100), (0, 2), True, 0, 0.4),
        ((100, 100), (0, 3), True, 0, 0.01),
        ((100, 100), (0, 3), False, 0, 0.4),
        ((1000, 1000), (0, 400), True, 0, 0.0012484395),
        ((100, 200), (10, 10), True, 0, 0.5),
        ((100, 200), (10, 10), False, 0, 0.6666666667),
        ((0, 50), (0, 9), True, 0, 0.01),
        ((0, 50), (3, 9), True, 0, 0.4),
        ((600, 100), (9, 0), True, 5, 0.4),
        ((600, 100), (30, 0), True, 5, 0.99),
        ((3000, 1500), (19, 0), True, 5, 0.4),
        ((9000, 1500), (29, 0), True, 5, 0.99),
    ],
)
def test_graham(
    messages: tuple[int, int], hits: tuple[int, int], bias: bool, sedation: int, expected: float
) -> None:
    options = ScoreOptions(bias=bias, sedation=sedation)
    assert probability(*hits, Totals(*messages), options) == pytest.approx(expected, abs=1e-10)


def test_tum_asks_for_no_more_than_twenty_hits() -> None:
    options = replace(BIASED, sedation=10)  # a token needs 40 hits
    totals = Totals(600, 100)
    assert probability(20, 0, totals, options) == 0.4
    assert probability(20, 0, totals, replace(options, mode=Mode.TUM)) == 0.99


@pytest.mark.parametrize(
    ("hits", "expected"),
    [((0, 0), 0.5), ((5, 0), 0.9803921569), ((10, 10), 0.5), ((0, 6), 0.0180327869)],
)
def test_robinson(hits: tuple[int, int], expected: float) -> None:
    options = replace(BIASED, pvalue="robinson")
    # An unknown token has Graham's 0.4; without hits f(w) is the assumption, 0.5.
    assert probability(*hits, Totals(100, 200), options) == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize(
    ("name", "hits", "bias", "expected"),
    [
        (b"a", (10, 0), False, 0.5002219460),
        (b"a+b", (10, 0), False, 0.5008877841),
        (b"a+#+c", (10, 0), False, 0.5008877841),
        (b"a+#+#+#+e", (10, 0), False, 0.5008877841),
        (b"a+b+c+d+e", (10, 0), False, 0.5568181818),
        (b"a+b", (0, 0), True, 0.49),
        (b"a+b", (10, 0), True, 0.4908877841),
        (b"a+b", (0, 10), True, 0.4890699405),
        (b"a+b", (10, 10), True, 0.4896849798),
    ],
)
def test_markov(name: bytes, hits: tuple[int, int], bias: bool, expected: float) -> None:
    options = ScoreOptions(pvalue="markov", bias=bias)
    run = body_run(b"a b c d e", {name: hits}, Totals(100, 100), options, tokenizer="sbph")
    found = {token.name: token.probability for token in run.explain()}
    assert found[name] == pytest.approx(expected, abs=1e-10)


def test_markov_is_neutral_about_senders() -> None:
    known = {b"From*joe": (50, 0), b"Fromage*joe": (50, 0)}
    headers = b"From: joe\nFromage: joe\n"
    options = ScoreOptions(pvalue="markov")
    run = body_run(b"", known, Totals(100, 100), options, headers=headers)
    found = {token.name: token.probability for token in run.explain()}
    assert found[b"From*joe"] == 0.5
    assert found[b"Fromage*joe"] > 0.5


def test_markov_weighs_a_plus_in_a_heading() -> None:
    """engine.md 2.7: names include the heading, and each `+` in it counts as a word."""
    options = ScoreOptions(pvalue="markov")
    headers = b"A+B: x y\nAB: x y\n"
    known = {b"A+B*x+y": (10, 0), b"AB*x+y": (10, 0)}
    run = body_run(b"", known, Totals(100, 100), options, headers=headers, tokenizer="osb")
    above = {token.name: token.probability - 0.5 for token in run.explain()}
    assert above[b"A+B*x+y"] == pytest.approx(4 * above[b"AB*x+y"])
