"""A run as a whole: hits, whitelist, explanation, signature."""

from __future__ import annotations

from array import array
from dataclasses import replace

import pytest

from dspamd.engine._kernel import Run
from dspamd.engine.changes import joined
from dspamd.engine.model import (
    Hits,
    Label,
    Learned,
    Lesson,
    ScoreOptions,
    Snapshot,
    Source,
    TokenChange,
    TokenOptions,
    Totals,
)
from dspamd.engine.tokenizer import crc64, tokenize, tokens_from_signature
from dspamd.mail.view import View
from tests.support.engine import body_run, learned

TOTALS = Totals(200, 200)
SENDER = b"From*Bob <bob@example.org>"
HEADERS = b"From: Bob <bob@example.org>\n"
WHITELISTING = ScoreOptions(whitelist=True)
SPAMMY = {b"w%d" % n: (100, 0) for n in range(20)}
SPAM_BODY = b" ".join(SPAMMY)


def test_hits_may_come_in_any_order_and_name_strangers() -> None:
    tokens = tokenize(View(b"", b"one two three"), TokenOptions("word"))
    names = [b"stranger", b"three", b"one"]
    known = Hits(array("Q", map(crc64, names)), array("Q", [9, 3, 1]), array("Q", [9, 30, 10]))
    run = Run(tokens, Snapshot(TOTALS, known), ScoreOptions(), None)
    found = {token.name: token[1:3] for token in run.explain()}
    assert found == {b"one": (1, 10), b"two": (0, 0), b"three": (3, 30)}


def test_two_dictionaries_are_judged_by_their_sums() -> None:
    """Merged groups (engine.md 9.5)."""
    tokens = tokenize(View(b"", b"one two three"), TokenOptions("word"))
    own = Hits(array("Q", map(crc64, [b"one", b"two"])), array("Q", [1, 2]), array("Q", [0, 7]))
    group = Hits(array("Q", map(crc64, [b"three", b"two"])), array("Q", [5, 40]), array("Q", [6, 1]))
    both = Snapshot(Totals(100, 150), own).joined(Snapshot(Totals(100, 50), group))
    run = Run(tokens, both, ScoreOptions(), Lesson(Label.SPAM, Source.ERROR))
    known = {b"one": (1, 0), b"two": (42, 8), b"three": (5, 6)}
    assert {token.name: token[1:3] for token in run.explain()} == known
    assert both.totals == TOTALS
    assert learned(run, b"one", b"two", b"three") == [(1, -1)] * 3


def test_changes_join_to_one() -> None:
    one = Learned(
        Totals(innocent_learned=1), TokenChange(array("Q", [1, 2]), array("i", [0, 0]), array("i", [1, 1]))
    )
    other = Learned(
        Totals(spam_learned=1, innocent_learned=-1),
        TokenChange(array("Q", [2, 3]), array("i", [1, 1]), array("i", [-1, -1])),
    )
    totals, tokens, block = joined(one, other)
    assert totals == Totals(spam_learned=1)
    assert sorted(zip(*tokens, strict=True)) == [(1, 0, 1), (2, 1, 0), (3, 1, -1)]
    assert block == b""


def test_only_a_scorer_joins_what_it_alone_understands() -> None:
    plain, blocky = Learned.nothing(), Learned.nothing()._replace(block=b"step")
    assert joined(plain, blocky) == joined(blocky, plain) == blocky.negated() == blocky
    with pytest.raises(ValueError, match="two changes of a block"):
        joined(blocky, blocky)
    own, group = (Snapshot(TOTALS, Hits.none(), weights=(name,)) for name in ("own", "group"))
    assert own.joined(group).weights == ("own", "group")


def test_hits_must_be_parallel() -> None:
    tokens = tokenize(View(b"", b"one"), TokenOptions("word"))
    with pytest.raises(ValueError, match="parallel"):
        Run(tokens, Snapshot(TOTALS, Hits(array("Q", [1]), array("Q"), array("Q"))), ScoreOptions())


def test_a_message_without_tokens_is_innocent() -> None:
    run = body_run(b"", {}, TOTALS, ScoreOptions())
    assert run.result[:2] == (False, "Innocent")
    assert (run.factors, run.explain(), run.signature) == ([], [], b"")


def test_explanation_begins_with_the_most_interesting() -> None:
    known = {b"fine": (0, 100), b"doubtful": (60, 40), b"vile": (150, 0)}
    run = body_run(b"doubtful new fine vile", known, TOTALS, ScoreOptions())
    names = [b"vile", b"fine", b"doubtful", b"new"]
    assert [token.name for token in run.explain()] == names
    for most in range(6):
        assert [token.name for token in run.explain(most)] == names[:most]


@pytest.mark.parametrize(
    ("sender", "name"),
    [
        ((0, 10), "Spam"),
        ((0, 11), "Whitelisted"),
        ((1, 14), "Spam"),
        ((1, 15), "Whitelisted"),
        ((2, 29), "Spam"),
    ],
)
def test_known_senders_pass(sender: tuple[int, int], name: str) -> None:
    run = body_run(SPAM_BODY, SPAMMY | {SENDER: sender}, TOTALS, WHITELISTING, headers=HEADERS)
    assert run.result.name == name
    assert run.result.spam is (name == "Spam")
    assert run.result.probability > 0.9  # the probability of the statistics stays
    assert learned(run, b"w1") == [(1, 0) if run.result.spam else (0, 1)]


def test_whitelisting_has_a_threshold_and_can_be_off() -> None:
    known = SPAMMY | {SENDER: (0, 4)}
    eager = replace(WHITELISTING, whitelist_threshold=3)
    assert body_run(SPAM_BODY, known, TOTALS, eager, headers=HEADERS).result.name == "Whitelisted"
    known = SPAMMY | {SENDER: (0, 100)}
    assert body_run(SPAM_BODY, known, TOTALS, ScoreOptions(), headers=HEADERS).result.name == "Spam"


def test_lessons_know_no_whitelist() -> None:
    lesson = Lesson(Label.SPAM, Source.ERROR)
    run = body_run(SPAM_BODY, {SENDER: (0, 100)}, TOTALS, WHITELISTING, lesson, headers=HEADERS)
    assert run.result.name == "Spam"


def test_the_sender_is_found_behind_patterns() -> None:
    """Merging the noise reduction patterns moves entries; the whitelist token stays the same."""
    options = replace(WHITELISTING, noise=True)
    run = body_run(
        SPAM_BODY, SPAMMY | {SENDER: (0, 100)}, Totals(2000, 2000), options, headers=HEADERS, tokenizer="osb"
    )
    run.weigh(Hits.none())
    assert run.result.name == "Whitelisted"


def test_signature_brings_the_tokens_back() -> None:
    options = TokenOptions("chain")
    tokens = tokenize(View(b"Subject: a\n", b"one two one"), options)
    run = Run(tokens, Snapshot(TOTALS, Hits.none()), ScoreOptions())
    again = tokens_from_signature(run.signature, options)
    assert again.values == tokens.values
    assert again.frequencies == tokens.frequencies


def test_sbph_signature_is_the_text() -> None:
    options = TokenOptions("sbph", noise=True)
    view = View(b"Subject: a b c\n", b"one two three one")
    tokens = tokenize(view, options)
    run = Run(tokens, Snapshot(Totals(2000, 2000), Hits.none()), ScoreOptions(noise=True))
    run.weigh(Hits.none())
    assert run.signature == b"Subject: a b c\n\x01one two three one\0"
    assert tokens_from_signature(run.signature, options).values == tokens.values
