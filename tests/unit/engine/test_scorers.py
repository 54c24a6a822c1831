"""The registry of scorers: names of `Algorithm`, what they stand for, what can be combined."""

from __future__ import annotations

from array import array

import pytest

from dspamd.config.options import OPTIONS
from dspamd.engine.model import (
    Hits,
    Label,
    Learned,
    Lesson,
    ScoreOptions,
    Snapshot,
    Source,
    TokenOptions,
    Totals,
)
from dspamd.engine.scorers import CLASSIC, SCORERS, Classic, Knowledge, scorer
from dspamd.engine.tokenizer import tokenize
from dspamd.mail.view import View

TOKENS = tokenize(View(b"", b"one two"), TokenOptions("word"))
KNOWN = Snapshot(Totals(50, 50), Hits(TOKENS.values, array("Q", [9, 9]), array("Q", [0, 0])))


def test_the_scorers_of_the_original_are_one_that_combines_them() -> None:
    original = ["naive", "graham", "burton", "robinson", "chi-square"]
    assert list(SCORERS)[:5] == original
    assert [name for name, each in SCORERS.items() if each is CLASSIC] == original
    assert scorer(["graham", "burton"]) is scorer(original) is scorer([]) is CLASSIC


@pytest.mark.parametrize("name", [name for name, each in SCORERS.items() if each is not CLASSIC])
def test_other_scorers_stand_alone(name: str) -> None:
    assert scorer([name]) is SCORERS[name]
    with pytest.raises(ValueError, match="cannot be combined"):
        scorer([name, "graham"])


@pytest.mark.parametrize("name", SCORERS)
def test_each_scorer_says_what_it_needs(name: str) -> None:
    assert SCORERS[name].knowledge in Knowledge
    assert (SCORERS[name].block is not None) == (Knowledge.BLOCK in SCORERS[name].knowledge)


def test_directives_take_the_names_of_the_registry() -> None:
    algorithm = OPTIONS["algorithm"].kind
    assert [algorithm.canonical(name.upper()) for name in SCORERS] == list(SCORERS)
    with pytest.raises(ValueError, match="graham"):
        algorithm.canonical("logistic")


def test_what_is_unknown_or_cannot_be_combined_is_named() -> None:
    with pytest.raises(ValueError, match="unknown algorithm logistic"):
        scorer(["graham", "logistic"])
    with pytest.raises(ValueError, match="cannot be combined: graham other"):
        scorer(["graham", "other"], {**SCORERS, "other": Classic()})


@pytest.mark.parametrize("name", SCORERS)
def test_a_scorer_scores_recalls_and_takes_back(name: str) -> None:
    options, each = ScoreOptions(frozenset({name})), SCORERS[name]
    scoring = each.score(TOKENS, KNOWN, options)
    assert scoring.result.spam
    assert {factor.name for factor in scoring.factors} == {b"one", b"two"}
    recalled = each.recall(scoring.signature, TokenOptions("word"))
    assert recalled.values == TOKENS.values
    lesson = each.score(recalled, KNOWN, options, Lesson(Label.INNOCENT, Source.ERROR)).learned
    assert lesson.joined(each.take_back(lesson)).totals == Totals()
    back = each.take_back(lesson).tokens
    assert (list(back.spam), list(back.innocent)) == ([1, 1], [-1, -1])
    assert each.take_back(Learned.nothing()) == Learned.nothing()
