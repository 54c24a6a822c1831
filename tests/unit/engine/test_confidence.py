"""Algorithm confidence: against a plain model, and what must hold whatever a dictionary contains."""

from __future__ import annotations

import math
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspamd.engine._kernel import Run
from dspamd.engine.model import (
    Hits,
    Label,
    Lesson,
    Mode,
    ScoreOptions,
    Snapshot,
    Source,
    TokenOptions,
    Totals,
)
from dspamd.engine.reasons import FACTORS
from dspamd.engine.scorers import CONFIDENCE
from dspamd.engine.tokenizer import tokenize
from dspamd.mail.view import View
from tests.model import confidence as model
from tests.support.engine import body_run, hits, learned

OPTIONS = ScoreOptions(frozenset({"confidence"}))
TONE = ScoreOptions(frozenset({"confidence"}), mode=Mode.TONE)
SEEN = Totals(spam_learned=500, innocent_learned=500)
FROM = b"From: Bob <bob@example.org>\n"

counters = st.integers(0, 2**63 - 1) | st.integers(0, 40)
pairs = st.tuples(counters, counters)
lessons = st.integers(0, 3000) | st.integers(0, 2**62)


def run_of(
    known: list[model.Pair], totals: Totals, options: ScoreOptions = OPTIONS, *, times: int = 1
) -> Run:
    """A message with a token for each pair of hits, which occurs so many times."""
    words = [b"w%d" % n for n in range(len(known))]
    body = b" ".join(word for word in words for _ in range(times))
    return body_run(body, dict(zip(words, known, strict=True)), totals, options)


@given(st.lists(pairs, min_size=1, max_size=30), lessons, lessons)
def test_the_model_agrees(known: list[model.Pair], spam: int, innocent: int) -> None:
    totals = Totals(spam_learned=spam, innocent_learned=innocent)
    run = run_of(known, totals)
    wanted = [model.probability(pair, spam, innocent) for pair in known]
    got = {(token.spam, token.innocent): token.probability for token in run.explain()}
    for pair, p in zip(known, wanted, strict=True):
        assert got[pair] == pytest.approx(p, rel=1e-9, abs=1e-12)
    # With the engine's own probabilities: near 1, odds magnify rounding errors.
    evidence = model.evidence(got[pair] for pair in known)
    chance = model.chance_of_spam(evidence, spam, innocent)
    assert run.result.probability == pytest.approx(chance, rel=1e-9)
    assert run.result.confidence == pytest.approx(abs(2 * chance - 1), abs=1e-9)
    if abs(evidence) > 1e-9:
        assert run.result.spam == (evidence > 0)


@given(st.lists(pairs, max_size=30), lessons, lessons, st.booleans())
def test_every_number_is_one(known: list[model.Pair], spam: int, innocent: int, bias: bool) -> None:
    totals = Totals(spam_learned=spam, innocent_learned=innocent)
    run = run_of(known, totals, ScoreOptions(frozenset({"confidence"}), bias=bias, mode=Mode.TONE))
    assert 0 < run.result.probability < 1
    assert 0 <= run.result.confidence < 1
    assert all(0 < token.probability < 1 for token in run.explain())
    assert all(0 < factor.value < 1 for factor in run.factors)
    assert run.learned.totals.spam_learned + run.learned.totals.innocent_learned in (0, 1)


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 400)), min_size=1, max_size=20))
def test_classes_can_be_exchanged(known: list[model.Pair]) -> None:
    one = run_of(known, Totals(400, 300)).result.probability
    other = run_of([(innocent, spam) for spam, innocent in known], Totals(300, 400)).result.probability
    assert one + other == pytest.approx(1)


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_more_spam_never_speaks_for_innocence(spam: int, innocent: int) -> None:
    one, more = (model.probability((n, innocent), 2000, 2000) for n in (spam, spam + 1))
    probability = [
        run_of([(n, innocent)], Totals(2000, 2000)).explain()[0].probability for n in (spam, spam + 1)
    ]
    assert probability == pytest.approx([one, more])
    if spam or innocent:
        assert probability[0] <= probability[1] or spam < innocent


def test_nothing_is_known_without_lessons_of_both_classes() -> None:
    for totals in (Totals(), Totals(spam_learned=9), Totals(innocent_learned=9)):
        run = run_of([(9, 0)], totals)
        assert run.result == (False, "Innocent", 0.5, 0.0)
        assert run.reasons() == []
        assert run.balance == (0, 0, 0, 0, (totals.spam_learned, totals.innocent_learned), ())


@pytest.mark.parametrize(("lessons", "most"), [(1, 0.957), (10, 0.982), (1000, 0.99996)])
def test_few_lessons_make_no_verdict_sure(lessons: int, most: float) -> None:
    run = run_of([(lessons, 0)] * 1000, Totals(lessons, lessons))
    assert run.result.spam
    assert 0.5 < run.result.probability < most


def test_how_often_a_token_occurs_does_not_matter() -> None:
    occurrence = ScoreOptions(frozenset({"confidence"}), occurrence=True)
    once, often = (
        run_of([(9, 0), (0, 3)], SEEN, occurrence),
        run_of([(9, 0), (0, 3)], SEEN, occurrence, times=5),
    )
    assert once.result == often.result
    assert set(often.learned.tokens.spam) == {1}


def test_what_other_algorithms_are_asked_changes_nothing() -> None:
    known, plain = [(9, 0), (0, 3), (2, 2)], run_of([(9, 0), (0, 3), (2, 2)], SEEN)
    for pvalue in ("bcr", "robinson", "markov"):
        options = ScoreOptions(frozenset({"confidence"}), pvalue=pvalue, sedation=10, noise=True)
        run = run_of(known, SEEN, options)
        assert run.result == plain.result
        assert run.patterns is None


def test_it_stands_alone() -> None:
    with pytest.raises(ValueError, match="not combined"):
        run_of([(1, 0)], SEEN, ScoreOptions(frozenset({"confidence", "graham"})))


def test_bias_gives_the_benefit_of_the_doubt() -> None:
    known = [(14, 0)]
    doubtful = run_of(known, SEEN)
    assert doubtful.result.spam
    assert 0.5 < doubtful.result.probability < 0.69
    biased = run_of(known, SEEN, ScoreOptions(frozenset({"confidence"}), bias=True))
    assert biased.result == doubtful.result._replace(spam=False, name="Innocent")
    sure = run_of([(300, 0)], SEEN, ScoreOptions(frozenset({"confidence"}), bias=True))
    assert sure.result.spam


def test_factors_are_the_tokens_with_the_most_weight() -> None:
    run = body_run(
        b"vile fine bad even",
        {b"vile": (90, 0), b"fine": (0, 300), b"bad": (30, 0), b"even": (50, 50)},
        SEEN,
        OPTIONS,
    )
    assert [reason.name for reason in run.reasons()] == [b"fine", b"vile", b"bad"]
    assert [reason.name for reason in run.reasons(2)] == [b"fine", b"vile"]
    assert [factor.value > 0.5 for factor in run.factors[2:]] == [False, True, True]
    assert run.balance is not None
    assert run.balance.sum == pytest.approx(sum(reason.points for reason in run.reasons()))
    assert [token.name for token in run.explain()] == [b"fine", b"vile", b"bad", b"even"]
    many = run_of([(90, 0)] * 500, SEEN)
    assert len(many.factors) == many.factor_count == 2 + FACTORS


def test_known_senders_pass_and_do_not_vote() -> None:
    options = ScoreOptions(frozenset({"confidence"}), whitelist=True)
    sender = b"From*Bob <bob@example.org>"

    def from_bob(innocent: int, spam: int = 0) -> Run:
        known = {b"vile": (300, 0), sender: (spam, innocent)}
        return body_run(b"vile", known, SEEN, options, headers=FROM)

    assert (from_bob(11).result.spam, from_bob(11).result.name) == (False, "Whitelisted")
    assert from_bob(10).result == from_bob(0).result
    assert from_bob(10).result.spam
    assert b"From*Bob <bob@example.org>" not in {factor.name for factor in from_bob(10).factors}
    assert from_bob(11, 1).result.name == "Spam"


def test_tone_learns_within_the_margin_of_the_model() -> None:
    for hits_ in (0, 5, 9, 12, 20, 60, 300):
        for count in (1, 8, 400):
            for margin in (0.0, 0.5, 1.0, 3.0):
                options = ScoreOptions(frozenset({"confidence"}), mode=Mode.TONE, margin=margin)
                run = run_of([(hits_, 0)] * 8 + [(0, 0)] * count, SEEN, options)
                evidence = model.evidence([model.probability((hits_, 0), 500, 500)] * 8)
                wanted = model.learns(evidence, 8 + count, spam=evidence > 0, margin=margin)
                assert run.provisional == wanted, (hits_, count, margin)
                assert (learned(run, b"w0") != [None]) == wanted


def test_tone_learns_the_first_of_a_class_and_what_a_known_sender_writes() -> None:
    assert run_of([(0, 300)] * 99, Totals(spam_learned=0, innocent_learned=500), TONE).provisional
    assert not run_of([(0, 300)] * 99, SEEN, TONE).provisional
    options = ScoreOptions(frozenset({"confidence"}), mode=Mode.TONE, whitelist=True)
    known = {b"vile%d" % n: (300, 0) for n in range(99)} | {b"From*Bob <bob@example.org>": (0, 20)}
    run = body_run(b" ".join(list(known)[:99]), known, SEEN, options, headers=FROM)
    assert run.result.name == "Whitelisted"
    assert run.provisional, "the words say spam: what the sender writes is not known well"
    assert run.learned.totals == Totals(innocent_learned=1)


def test_lessons_by_text_and_by_signature_teach_alike() -> None:
    tokens = tokenize(View(b"", b"one two"), TokenOptions("word"))
    known = Snapshot(SEEN, hits({b"one": (3, 1)}))
    lesson = Lesson(Label.SPAM, Source.ERROR)
    by_text = CONFIDENCE.score(tokens, known, TONE, lesson)
    recalled = CONFIDENCE.recall(by_text.signature, TokenOptions("word"))
    by_signature = CONFIDENCE.score(recalled, known, TONE, lesson)
    assert by_text.learned == by_signature.learned
    assert by_text.result.spam
    assert by_text.factors == by_signature.factors == []
    assert not by_text.provisional


def test_counters_of_merged_groups_are_summed() -> None:
    tokens = tokenize(View(b"", b"one"), TokenOptions("word"))
    own, group = (
        Snapshot(Totals(100, 100), Hits(tokens.values, array("Q", [n]), array("Q", [0]))) for n in (5, 25)
    )
    whole = Snapshot(Totals(200, 200), Hits(tokens.values, array("Q", [30]), array("Q", [0])))
    assert CONFIDENCE.score(tokens, own.joined(group), OPTIONS).result == (
        CONFIDENCE.score(tokens, whole, OPTIONS).result
    )
    assert not math.isnan(CONFIDENCE.score(tokens, whole, OPTIONS).result.probability)
