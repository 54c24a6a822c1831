"""From probabilities to the verdict (engine.md 4, the scenario of 12.5)."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from dspamd.engine._kernel import Run
from dspamd.engine.model import Label, Lesson, ScoreOptions, Source, TokenOptions, Totals
from dspamd.engine.tokenizer import tokenize
from dspamd.mail import view_classic
from tests.support.engine import body_run
from tests.support.memory_store import MemoryStore

SPAM = b"""From: Spam <sp@example.com>
Subject: buy now cheap pills

buy cheap pills online today discount offer click winner casino
"""
HAM = b"""From: Ham <ham@example.org>
Subject: meeting notes agenda

please find attached the meeting agenda for tomorrow regards colleague project
"""
BOTH = b"""From: New <new@example.net>
Subject: cheap meeting

buy pills online before the project meeting tomorrow
"""
CLASSIC = ScoreOptions(bias=True, whitelist=True)
CHI_SQUARE = replace(CLASSIC, algorithms=frozenset({"chi-square"}), pvalue="robinson")
MARKOV = ScoreOptions(algorithms=frozenset({"burton"}), pvalue="markov", whitelist=True)


class Reader:
    """A user with six lessons of each class."""

    def __init__(self, tokenizer: str, options: ScoreOptions) -> None:
        self.token_options = TokenOptions(tokenizer, url_context=True, whitelist=True)
        self.options = options
        self.store = MemoryStore(limited=True)
        for _ in range(6):
            self.read(SPAM, Lesson(Label.SPAM, Source.CORPUS))
            self.read(HAM, Lesson(Label.INNOCENT, Source.CORPUS))

    def read(self, message: bytes, lesson: Lesson | None = None) -> Run:
        tokens = tokenize(view_classic.view(message), self.token_options)
        run = Run(tokens, self.store.read(tokens.values), self.options, lesson)
        self.store.apply(run.learned)
        return run


@pytest.mark.parametrize(
    ("tokenizer", "options", "expected"),  # expected: name, probability, confidence, factors
    [
        (
            "word",
            CLASSIC,
            [
                ("Spam", 1.0, 0.989727914, 15),
                ("Innocent", 1.16271174e-30, 0.989727914, 18),
                ("Innocent", 0.00132840709, 0.514469743, 14),
                ("Spam", 0.923452675, 0.524032533, None),
            ],
        ),
        (
            "chain",
            CLASSIC,
            [
                ("Spam", 1.0, 0.989906967, 15),
                ("Innocent", 1.16271174e-30, 0.989906967, 27),
                ("Innocent", 0.116363645, 0.5, 24),
                ("Spam", 0.968815207, 0.543268859, None),
            ],
        ),
        (
            "osb",
            CLASSIC,
            [
                ("Spam", 1.0, 0.989906967, 15),
                ("Innocent", 1.16271174e-30, 0.989906967, 27),
                ("Innocent", 0.253242761, 0.0101959109, None),
                ("Innocent", 0.253242761, None, None),
            ],
        ),
        (
            "chain",
            CHI_SQUARE,
            [
                ("Spam", 1.0, 0.981646121, 32),
                ("Innocent", 0.0, 0.981646121, None),
                ("Innocent", 0.5, 0.5, None),
                ("Spam", 0.999995053, 0.53947854, None),
            ],
        ),
    ],
)
def test_scenario(
    tokenizer: str,
    options: ScoreOptions,
    expected: list[tuple[str, float, float | None, int | None]],
) -> None:
    reader = Reader(tokenizer, options)
    runs = [reader.read(message) for message in (SPAM, HAM, BOTH)]
    reader.read(BOTH, Lesson(Label.SPAM, Source.ERROR))
    assert reader.store.totals[:6] == (8, 7, 1, 0, 6, 6)
    runs.append(reader.read(BOTH))
    for run, (name, probability, confidence, factors) in zip(runs, expected, strict=True):
        assert run.result.name == name
        assert run.result.probability == pytest.approx(probability, rel=1e-7)
        if confidence is not None:
            assert run.result.confidence == pytest.approx(confidence, rel=1e-7)
        if factors is not None:
            assert len(run.factors) == factors


def test_factors_come_in_the_order_of_use() -> None:
    reader = Reader("word", CLASSIC)
    reader.read(SPAM)
    reader.read(HAM)
    factors = reader.read(BOTH).factors
    assert [factor.name for factor in factors] == [
        *(b"Subject*meeting", b"meeting", b"buy", b"Subject*cheap", b"project", b"tomorrow", b"online"),
        *(b"pills", b"the", b"From*example.net>", b"before", b"From*<new", b"From*New"),
        b"From*New <new@example.net>",
    ]
    assert [round(factor.value, 2) for factor in factors] == [
        *(0.01, 0.01, 0.99, 0.99, 0.01, 0.01, 0.99, 0.99, 0.01),
        *(0.4, 0.4, 0.4, 0.4, 0.4),
    ]


def test_markov_scenario() -> None:
    reader = Reader("osb", MARKOV)
    results = [reader.read(message).result for message in (SPAM, HAM, BOTH)]
    assert [result.name for result in results] == ["Spam", "Innocent", "Spam"]
    assert [result.probability for result in results] == pytest.approx(
        [0.522585094, 0.477414906, 0.500854492], rel=1e-7
    )


NAIVE = ScoreOptions(algorithms=frozenset({"naive"}))
KNOWN = {b"one": (90, 0), b"two": (80, 0), b"three": (0, 90)}  # .99 .99 .01


def test_naive_multiplies_all_tokens() -> None:
    run = body_run(b"one two three", KNOWN, Totals(100, 100), NAIVE)
    assert run.result.probability == pytest.approx(0.99, abs=1e-6)
    assert run.result.spam
    assert {factor.name for factor in run.factors} == set(KNOWN)


def test_naive_strictly_repeats_one_token() -> None:
    """Q-N1: the least interesting token decides; exactly 0.5 and enough of them give no number."""
    strict = replace(NAIVE, strict=True)
    run = body_run(b"one two three", KNOWN | {b"one": (3, 2)}, Totals(100, 100), strict)
    assert {round(factor.value, 2) for factor in run.factors} == {0.6}
    balanced = b" ".join(b"w%d" % n for n in range(200))
    known = {b"w%d" % n: (10, 10) for n in range(200)}
    lost = body_run(balanced, known, Totals(100, 100), strict).result
    assert math.isnan(lost.probability)
    assert not lost.spam
    assert body_run(balanced, known, Totals(100, 100), NAIVE).result.probability == 0.5


def test_naive_strictly_counts_the_control_token_of_sql_stores() -> None:
    """4.6, 7.6: one entry more, which shows where the one token says little, as with markov."""
    words = b" ".join(b"w%d" % n for n in range(93))
    strict = replace(NAIVE, strict=True, pvalue="markov", bias=True)
    for options, entries in ((strict, 93), (replace(strict, control_token=True), 94)):
        run = body_run(words, {}, Totals(100, 100), options)
        wanted = 0.49**entries / (0.49**entries + 0.51**entries)
        assert run.result.probability == pytest.approx(wanted, rel=1e-4)
        assert len(run.factors) == 93


def test_no_algorithm_is_refused() -> None:
    """Q-P7: the original called everything innocent with probability -1."""
    nothing = ScoreOptions(algorithms=frozenset())
    with pytest.raises(ValueError, match="no algorithm"):
        body_run(b"one", {}, Totals(), nothing)
    run = body_run(b"one", {}, Totals(), replace(nothing, strict=True))
    assert run.result[:3] == (False, "Innocent", -1.0)
    assert run.factors == []


def test_unknown_algorithm_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown algorithm bayes"):
        body_run(b"one", {}, Totals(), ScoreOptions(algorithms=frozenset({"bayes"})))
    with pytest.raises(ValueError, match="unknown pvalue bayes"):
        body_run(b"one", {}, Totals(), ScoreOptions(pvalue="bayes"))


def test_without_decisive_tokens_an_innocent_verdict_is_sure() -> None:
    """Q-P4."""
    assert body_run(b"one two", {}, Totals(), ScoreOptions()).result.confidence == 1.0


def test_a_lesson_is_its_own_verdict() -> None:
    run = body_run(
        b"one two three", KNOWN, Totals(100, 100), ScoreOptions(), Lesson(Label.INNOCENT, Source.ERROR)
    )
    assert run.result[:3] == (False, "Innocent", 0.0)
    assert run.factors == []
