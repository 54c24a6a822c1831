"""The exact effect of a correction takes the correction back."""

from __future__ import annotations

import struct
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspamd.engine.model import Hits, Label, Learned, Snapshot, TokenChange, Totals
from dspamd.storage.contract import BlockChange, Correct, Correction
from dspamd.storage.correction import correction, in_effect, pack, record, rises, unpack

tokens = st.lists(st.integers(0, 2**64 - 1), unique=True, max_size=20)
changes = st.integers(-10, 10)
hits = st.integers(0, 5)
eight = st.tuples(*[changes] * 8)


@st.composite
def lessons(draw: st.DrawFn) -> tuple[Learned, Snapshot]:
    """A change, and counters that know some of its tokens."""
    asked = draw(tokens)
    known = draw(st.lists(st.sampled_from(asked), unique=True)) if asked else []

    def column(code: str, values: st.SearchStrategy[int], n: int) -> array[int]:
        return array(code, draw(st.lists(values, min_size=n, max_size=n)))

    n, k = len(asked), len(known)
    learned = Learned(
        Totals(*draw(eight)), TokenChange(array("Q", asked), column("i", changes, n), column("i", changes, n))
    )
    before = Hits(array("Q", known), column("Q", hits, k), column("Q", hits, k))
    return learned, Snapshot(Totals(*map(abs, draw(eight))), before)


def counters(snapshot: Snapshot) -> dict[int, tuple[int, int]]:
    return {token: (spam, innocent) for token, spam, innocent in zip(*snapshot.hits, strict=True)}


def after(learned: Learned, before: dict[int, tuple[int, int]]) -> dict[int, tuple[int, int]]:
    """The hits that a store has after a change."""
    hits = dict(before)
    for token, spam, innocent in zip(*learned.tokens, strict=True):
        s, i = hits.get(token, (0, 0))
        hits[token] = max(0, s + spam), max(0, i + innocent)
    return hits


@given(lessons())
def test_effect_is_what_the_store_does(lesson: tuple[Learned, Snapshot]) -> None:
    learned, before = lesson
    effect = in_effect(learned, before)
    assert after(effect, counters(before)) == after(learned, counters(before))
    assert before.totals.plus(effect.totals) == before.totals.plus(learned.totals)


@given(lessons())
def test_negated_effect_restores(lesson: tuple[Learned, Snapshot]) -> None:
    learned, before = lesson
    back = in_effect(learned, before).negated()
    known = dict.fromkeys(learned.tokens.tokens, (0, 0)) | counters(before)
    assert after(back, after(learned, counters(before))) == known
    assert before.totals.plus(learned.totals).plus(back.totals) == before.totals


@given(lessons())
def test_packed_comes_back(lesson: tuple[Learned, Snapshot]) -> None:
    learned, _ = lesson
    assert unpack(pack(learned)) == (learned, None)


@given(lessons(), st.from_regex("[a-z][a-z0-9_-]{0,31}", fullmatch=True), st.binary())
def test_packed_comes_back_with_a_block(lesson: tuple[Learned, Snapshot], name: str, data: bytes) -> None:
    learned, block = lesson[0], BlockChange(name, data)
    assert unpack(pack(learned, block)) == (learned, block)


def test_packed_form_is_fixed() -> None:
    learned = Learned(Totals(1, -1), TokenChange(array("Q", [2**64 - 1]), array("i", [1]), array("i", [-1])))
    packed = "0100000000000000" + "ff" * 8 + "00" * 48 + "ff" * 8 + "01000000" + "ffffffff"
    assert pack(learned).hex() == packed
    block = "0000000000000080" + "01" + "02000000" + "77" + "abcd"
    assert pack(learned, BlockChange("w", b"\xab\xcd")).hex() == block + packed


@given(lessons(), st.sampled_from(Label), st.booleans(), st.none() | st.just(BlockChange("w", b"data")))
def test_recorded_comes_back(
    lesson: tuple[Learned, Snapshot], label: Label, provisional: bool, block: BlockChange | None
) -> None:
    kept = record(Correct("id", None, label, provisional), lesson[0], block)
    assert correction(label.value, kept) == Correction(label, lesson[0], block, provisional)


def test_recorded_form_is_fixed() -> None:
    """A correction that a user makes has that of its change alone, as it always had."""
    changes = pack(Learned.nothing())
    assert record(Correct("id", None, Label.SPAM), Learned.nothing(), None) == changes
    provisional = record(Correct("id", None, Label.SPAM, provisional=True), Learned.nothing(), None)
    assert provisional == bytes.fromhex("0100000000000080") + changes


@given(lessons())
def test_what_only_rises_is_its_own_effect(lesson: tuple[Learned, Snapshot]) -> None:
    (totals, (asked, spam, innocent), _), before = lesson
    rising = TokenChange(asked, array("i", map(abs, spam)), array("i", map(abs, innocent)))
    learned = Learned(Totals(*map(abs, totals)), rising)
    assert rises(learned)
    assert in_effect(learned, before) == learned
    fallen = Learned(learned.totals._replace(spam_corpusfed=-1), learned.tokens)
    assert not rises(fallen)


def test_anything_else_is_refused() -> None:
    block = pack(Learned.nothing(), BlockChange("w", b"data"))
    for damaged in (b"", bytes(63), bytes(64 + 15), block[:12], block[:20], block[:-1]):
        with pytest.raises(struct.error):
            unpack(damaged)
