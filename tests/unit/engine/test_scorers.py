"""The registry of scorers: names of `Algorithm`, what they stand for, what can be combined."""

from __future__ import annotations

from array import array

import pytest

from dspamd.config.options import OPTIONS
from dspamd.engine.changes import joined
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
from dspamd.engine.scorers import CLASSIC, SCORERS, Classic, scorer
from dspamd.engine.tokenizer import Tokens, tokenize
from dspamd.mail.view import View
from dspamd.mail.views import VIEWS

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
def test_each_scorer_reads_any_view_or_one_that_exists(name: str) -> None:
    assert SCORERS[name].view in (None, *VIEWS)


def test_directives_take_the_names_of_the_registry() -> None:
    algorithm = OPTIONS["algorithm"].kind
    assert [algorithm.canonical(name.upper()) for name in SCORERS] == list(SCORERS)
    with pytest.raises(ValueError, match="graham"):
        algorithm.canonical("oracle")


def test_what_is_unknown_or_cannot_be_combined_is_named() -> None:
    with pytest.raises(ValueError, match="unknown algorithm oracle"):
        scorer(["graham", "oracle"])
    with pytest.raises(ValueError, match="cannot be combined: graham other"):
        scorer(["graham", "other"], {**SCORERS, "other": Classic()})


@pytest.mark.parametrize("name", [name for name, each in SCORERS.items() if each.block is None])
def test_a_scorer_of_hits_scores_recalls_and_takes_back(name: str) -> None:
    options, each = ScoreOptions(frozenset({name})), SCORERS[name]
    scoring = each.score(TOKENS, KNOWN, options)
    assert scoring.result.spam
    assert {token.name for token in scoring.reasons()} == {b"one", b"two"}
    shown = {factor.name.split()[-1] for factor in scoring.factors}
    assert shown >= {b"one", b"two"}
    recalled = each.recall(scoring.signature, TokenOptions("word"))
    assert recalled.values == TOKENS.values
    lesson = each.score(recalled, KNOWN, options, Lesson(Label.INNOCENT, Source.ERROR)).learned
    assert joined(lesson, each.take_back(lesson)).totals == Totals()
    back = each.take_back(lesson).tokens
    assert (list(back.spam), list(back.innocent)) == ([1, 1], [-1, -1])
    assert each.take_back(Learned.nothing()) == Learned.nothing()


@pytest.mark.parametrize("name", [name for name, each in SCORERS.items() if each.block is not None])
def test_a_scorer_of_weights_scores_recalls_joins_and_takes_back(name: str) -> None:
    options, each = ScoreOptions(frozenset({name})), SCORERS[name]
    features, sender = array("Q", [1 << 60 | 5 << 32, 2 << 60 | 9 << 32]), 77
    tokens, weights = Tokens.recalled(features, sender), each.weights(b"")
    known = Snapshot(Totals(), Hits.none(), (weights,))
    assert list(each.wanted(tokens)) == [sender]
    spam = each.score(tokens, known, options, Lesson(Label.SPAM, Source.CORPUS)).learned
    weights.add(spam.block)
    scoring = each.score(tokens, known, options)
    assert (scoring.result.spam, scoring.result.probability) == (False, 0.5)  # no ham is known
    assert len(scoring.explain()) == 2
    assert scoring.balance is not None
    assert scoring.balance.sum == pytest.approx(sum(reason.points for reason in scoring.reasons()))
    assert len(scoring.factors) == scoring.factor_count
    recalled = each.recall(scoring.signature, TokenOptions(view="modern"))
    assert sorted(recalled.values) == sorted(tokens.values)
    assert recalled.whitelist == sender
    weights.add(each.join(each.take_back(spam), spam).block)
    weights.add(each.take_back(spam).block)
    assert weights.write() == each.weights(b"").write()
    assert each.weights(weights.write()).write() == weights.write()
    assert each.recall(b"no signature of ours", TokenOptions()).values == array("Q")
