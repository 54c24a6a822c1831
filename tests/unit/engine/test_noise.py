"""Bayesian noise reduction (engine.md 5)."""

from __future__ import annotations

from array import array

import pytest

from dspamd.engine._kernel import Run
from dspamd.engine.model import Hits, Label, Lesson, ScoreOptions, Source, Totals
from dspamd.engine.tokenizer import crc64
from tests.support.engine import body_run, hits, learned

NOISE = ScoreOptions(noise=True)
COLLECTING = Totals(1500, 1500)  # above 1000 innocent messages: patterns are learned
REDUCING = Totals(3000, 3000)  # above 2500: they count
TOTAL = b"bnr.t|"


def patterns(run: Run) -> set[int]:
    assert run.patterns is not None
    return set(run.patterns)


def test_names_have_the_numbers_of_the_original() -> None:
    assert crc64(TOTAL) == 5334511981350707200
    assert crc64(b"bnr.s|0.00_0.00_0.40_") == 15748594722413705151
    assert crc64(b"bnr.s|0.40_1.00_0.05_") == 15746850072255231935


def test_a_window_of_three_probabilities_slides_over_words_and_over_pairs() -> None:
    known = {b"two": (1400, 0), b"three": (0, 1400)}  # 0.9993 and 0.0005
    run = body_run(b"one two three", known, COLLECTING, NOISE, tokenizer="chain")
    names = [
        *(b"bnr.s|0.00_0.00_0.40_", b"bnr.s|0.00_0.40_1.00_", b"bnr.s|0.40_1.00_0.00_"),
        *(b"bnr.c|0.00_0.00_0.40_", b"bnr.c|0.00_0.40_0.40_"),
        TOTAL,
    ]
    assert patterns(run) == set(map(crc64, names))


@pytest.mark.parametrize(
    ("probability_hits", "rounded"), [((0, 30), b"0.05"), ((7, 10), b"0.45"), ((21, 30), b"0.45")]
)
def test_probabilities_are_rounded_up_to_twentieths(
    probability_hits: tuple[int, int], rounded: bytes
) -> None:
    run = body_run(b"one", {b"one": probability_hits}, COLLECTING, NOISE)
    assert crc64(b"bnr.s|0.00_0.00_" + rounded + b"_") in patterns(run)


def test_few_innocent_messages_make_no_patterns() -> None:
    assert body_run(b"one", {}, Totals(5000, 600, innocent_classified=400), NOISE).patterns is None
    assert body_run(b"one", {}, Totals(5000, 600, innocent_classified=401), NOISE).patterns is not None
    assert body_run(b"one", {}, COLLECTING, ScoreOptions()).patterns is None


def test_patterns_are_learned_and_signed_like_tokens() -> None:
    run = body_run(b"one two", {}, COLLECTING, NOISE)
    asked = run.patterns
    assert asked is not None
    run.weigh(Hits.none())
    changes = run.learned.tokens
    assert set(asked) < set(changes.tokens)
    assert learned(run, b"one", TOTAL) == [(0, 1), (0, 1)]
    signed = [int.from_bytes(run.signature[at : at + 8], "little") for at in range(0, len(run.signature), 16)]
    assert signed == list(changes.tokens)
    assert signed == sorted(signed, key=lambda token: token % 24593)


def test_tokens_that_a_decided_pattern_contradicts_lose_that_occurrence() -> None:
    """An innocent pattern around a spammy word: the word is there to confuse us."""
    known = {b"fine": (0, 300), b"spammy": (300, 0)}
    decided = {TOTAL: (1000, 1000), b"bnr.s|0.00_1.00_0.00_": (1, 900)}
    score = ScoreOptions(noise=True, algorithms=frozenset({"graham"}))
    run = body_run(b"fine spammy fine", known, REDUCING, score)
    run.weigh(hits(decided))
    assert [factor.name for factor in run.factors] == [b"fine"]
    undecided = body_run(b"fine spammy fine", known, REDUCING, score)
    undecided.weigh(hits({TOTAL: (1000, 1000)}))
    assert {factor.name for factor in undecided.factors} == {b"fine", b"spammy"}


def test_lessons_are_not_freed_of_noise() -> None:
    known = {b"fine": (0, 300), b"spammy": (300, 0)}
    lesson = Lesson(Label.INNOCENT, Source.CORPUS)
    run = body_run(b"fine spammy fine", known, REDUCING, NOISE, lesson)
    run.weigh(hits({TOTAL: (1000, 1000), b"bnr.s|0.00_1.00_0.00_": (1, 900)}))
    assert learned(run, b"spammy", b"bnr.s|0.00_1.00_0.00_") == [(0, 1), (0, 1)]
    frequencies = {
        run.signature[at : at + 8]: run.signature[at + 8] for at in range(0, len(run.signature), 16)
    }
    assert frequencies[crc64(b"spammy").to_bytes(8, "little")] == 1


def test_patterns_must_be_weighed_once_and_first() -> None:
    run = body_run(b"one", {}, COLLECTING, NOISE)
    for ask in (
        lambda: run.result,
        lambda: run.factors,
        lambda: run.learned,
        lambda: run.signature,
        run.explain,
    ):
        with pytest.raises(RuntimeError, match="weighed first"):
            ask()
    run.weigh(Hits.none())
    assert run.result.name == "Innocent"
    with pytest.raises(RuntimeError, match="no patterns"):
        run.weigh(Hits.none())
    with pytest.raises(RuntimeError, match="no patterns"):
        body_run(b"one", {}, Totals(), NOISE).weigh(Hits.none())


def test_hits_must_be_parallel() -> None:
    run = body_run(b"one", {}, COLLECTING, NOISE)
    with pytest.raises(ValueError, match="parallel"):
        run.weigh(Hits(array("Q", [1]), array("Q"), array("Q")))
