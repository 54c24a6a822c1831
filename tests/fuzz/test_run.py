"""The kernel and the plain reference weigh alike, whatever the mail, the counters and the options."""

from __future__ import annotations

import math
from array import array

import pytest
from hypothesis import given, settings
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
from dspamd.engine.tokenizer import Tokens, tokenize
from dspamd.mail import view_classic
from dspamd.mail.view import View
from tests.fuzz.pieces import mutated_mail
from tests.model import tokens as plain_tokens
from tests.model.run import Reference

WORDS = [
    b"one",
    b"two",
    b"two",
    b"three",
    b"#",
    b"a!!",
    b"http://x.y/z",
    b"bnr.",
    *(b"w%d" % n for n in range(40)),
]
HEADINGS = [b"From", b"Subject", b"A+B", b"bnr.s|0.05_", b"X-DSPAM-Result"]

words = st.lists(st.sampled_from(WORDS), max_size=60).map(b" ".join)
lines = st.tuples(st.sampled_from(HEADINGS), words).map(b": ".join)
views = st.builds(
    View, st.lists(lines, max_size=4).map(lambda found: b"".join(b"%s\n" % line for line in found)), words
)
totals = st.builds(Totals, *[st.sampled_from([0, 1, 50, 100, 101, 300, 999, 1001, 1500, 2501, 9000])] * 8)
lessons = st.none() | st.builds(Lesson, st.sampled_from(Label), st.sampled_from(Source), st.booleans())
algorithms = st.sets(st.sampled_from(["naive", "graham", "burton", "robinson", "chi-square"]), min_size=1)
options = st.builds(
    ScoreOptions,
    algorithms.map(frozenset),
    st.sampled_from(["bcr", "robinson", "markov"]),
    st.sampled_from(Mode),
    bias=st.booleans(),
    noise=st.booleans(),
    whitelist=st.booleans(),
    whitelist_threshold=st.sampled_from([1, 10]),
    sedation=st.integers(0, 10),
    occurrence=st.booleans(),
    strict=st.booleans(),
    control_token=st.booleans(),
)


class Dictionary:
    """Counters of tokens, made up as they are asked for."""

    def __init__(self, data: st.DataObject) -> None:
        self.random = data.draw(st.randoms(use_true_random=False))
        self.counts: dict[int, tuple[int, int]] = {}

    def read(self, tokens: array[int]) -> Hits:
        choices = [0, 0, 0, 1, 2, 3, 5, 9, 15, 50, 100, 299]
        known = [token for token in tokens if self.random.random() < 0.7]
        self.random.shuffle(known)
        for token in known:
            self.counts.setdefault(token, (self.random.choice(choices), self.random.choice(choices)))
        counts = [self.counts[token] for token in known]
        return Hits(array("Q", known), array("Q", [s for s, _ in counts]), array("Q", [i for _, i in counts]))


def weigh(
    tokens: Tokens, dictionary: Dictionary, totals: Totals, score: ScoreOptions, lesson: Lesson | None
) -> Run:
    run = Run(tokens, Snapshot(totals, dictionary.read(tokens.values)), score, lesson)
    if run.patterns is not None:
        run.weigh(dictionary.read(run.patterns))
    return run


def assert_same(run: Run, reference: Reference) -> None:
    assert run.result[:2] == reference.result[:2]
    assert same(run.result.probability, reference.result.probability)
    assert same(run.result.confidence, reference.result.confidence)
    assert run.learned.totals == reference.totals_change
    tokens, spam, innocent = run.learned.tokens
    assert dict(zip(tokens, zip(spam, innocent, strict=True), strict=True)) == reference.token_changes
    assert len(tokens) == len(reference.token_changes)
    assert [value for _, value in run.factors] == pytest.approx([value for _, value in reference.factors])


def same(a: float, b: float) -> bool:
    return (math.isnan(a) and math.isnan(b)) or math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-7)


@given(
    data=st.data(),
    view=views | mutated_mail(1000).map(view_classic.view),
    tokenizer=st.sampled_from(["word", "chain", "osb", "sbph"]),
    totals=totals,
    score=options,
    lesson=lessons,
)
@settings(deadline=None, max_examples=500)
def test_messages(
    data: st.DataObject,
    view: View,
    tokenizer: str,
    totals: Totals,
    score: ScoreOptions,
    lesson: Lesson | None,
) -> None:
    tokens = tokenize(view, TokenOptions(tokenizer, True, score.whitelist, score.noise))
    dictionary = Dictionary(data)
    run = weigh(tokens, dictionary, totals, score, lesson)
    table = plain_tokens.Tokenizer(tokenizer, True, score.whitelist)(*view)
    reference = Reference(table, totals, dictionary.counts, score, lesson)
    assert_same(run, reference)
    assert [name for name, _ in run.factors] == [name for name, _ in reference.factors]
    explained = {entry.name: entry for entry in run.explain()}
    known = [entry for entry in reference.entries if not entry.pattern]
    assert explained.keys() == {entry.name for entry in known}
    for entry in known:
        assert explained[entry.name][1:3] == (entry.spam, entry.innocent)
        assert same(explained[entry.name].probability, entry.probability)
    if tokenizer != "sbph":
        assert run.signature == reference.signature


@given(
    data=st.data(),
    records=st.dictionaries(
        st.integers(0, 2**64 - 1) | st.integers(0, 80000), st.integers(0, 255), max_size=60
    ),
    totals=totals,
    score=options,
    lesson=lessons,
)
@settings(deadline=None, max_examples=300)
def test_signatures(
    data: st.DataObject, records: dict[int, int], totals: Totals, score: ScoreOptions, lesson: Lesson | None
) -> None:
    blob = b"".join(
        token.to_bytes(8, "little") + bytes([count]) + bytes(7) for token, count in records.items()
    )
    dictionary = Dictionary(data)
    run = weigh(Tokens.from_signature(blob), dictionary, totals, score, lesson)
    table = plain_tokens.from_signature(blob)
    assert_same(run, Reference(table, totals, dictionary.counts, score, lesson, from_signature=True))
