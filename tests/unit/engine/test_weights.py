"""Weights and counters of a user: the kernel against a plain model, lessons as sums, tables as bytes."""

from __future__ import annotations

import math
import random
import zlib
from array import array

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dspamd.engine._weights import Evidence, Table, negated, packed, unpacked
from tests.model import weights as model

FEATURES = st.lists(st.integers(0, 40), max_size=30, unique=True).map(
    lambda numbers: [(number % 7) << 28 | number * 2654435 % 2**28 for number in numbers]
)
LESSONS = st.lists(
    st.tuples(FEATURES, st.booleans(), st.sampled_from([0.0, 0.5, 1.0, 2.0, 1e9])), max_size=12
)


def values(features: list[int]) -> array[int]:
    return array("Q", (feature << 32 | 7 for feature in features))


def same(table: Table, plain: model.Table) -> bool:
    numbers = (table.lessons, table.readings, table.spam, table.innocent)
    slots = all(table.slot(slot) == known for slot, known in plain.slots.items())
    used = sum(1 for known in plain.slots.values() if any(known))
    return (
        numbers == (plain.lessons, plain.readings, plain.spam, plain.innocent)
        and slots
        and len(table) == used
    )


@settings(max_examples=150, deadline=None)
@given(LESSONS, FEATURES, st.booleans())
def test_the_kernel_computes_what_the_plain_model_does(
    lessons: list[tuple[list[int], bool, float]], asked: list[int], counted: bool
) -> None:
    table, plain, seed, plain_seed = Table(), model.Table(), Table(), model.Table()
    for k, (features, spam, margin) in enumerate(lessons):
        own, own_plain = (seed, plain_seed) if k % 5 == 4 else (table, plain)
        turns = k % 3 != 2
        change = Evidence(values(features), (own,), counted=counted).lesson(spam, margin, turns)
        expected = model.lesson(features, [own_plain], spam, margin, counted=counted, turns=turns)
        assert bool(change) == (expected is not None)
        own.add(change)
        if expected is not None:
            own_plain.add(expected)
        assert same(own, own_plain)
    for tables, plains in (((table,), [plain]), ((table, seed), [plain, plain_seed])):
        evidence = Evidence(values(asked), tables, counted=counted)
        assert evidence.logit == model.logit(asked, plains, counted=counted)
        assert evidence.familiar == pytest.approx(model.experts(asked, plains, counted=counted).familiar)
        shares = [evidence.share(part)[-1] for part in range(evidence.length)]
        assert sum(shares) == pytest.approx(evidence.logit, abs=1e-9)


@settings(max_examples=80, deadline=None)
@given(LESSONS, st.randoms(use_true_random=False))
def test_lessons_are_sums_that_can_be_taken_back_in_any_order(
    lessons: list[tuple[list[int], bool, float]], shuffled: random.Random
) -> None:
    table, changes, before = Table(), [], Table()
    for features, spam, margin in lessons:
        changes.append(Evidence(values(features), (table,)).lesson(spam, margin))
        table.add(changes[-1])
    other = Table()
    other.add(b"".join(shuffled.sample(changes, len(changes))))
    assert other.write() == table.write()
    for change in shuffled.sample(changes, len(changes)):
        table.add(negated(change))
    assert table.write() == before.write()


@settings(max_examples=60, deadline=None)
@given(LESSONS)
def test_a_table_is_the_same_after_it_was_written_and_read(
    lessons: list[tuple[list[int], bool, float]],
) -> None:
    table = Table()
    for features, spam, margin in lessons:
        table.add(Evidence(values(features), (table,)).lesson(spam, margin))
    read = Table.read(table.write())
    assert (read.lessons, read.readings) == (table.lessons, table.readings)
    assert (read.spam, read.innocent) == (table.spam, table.innocent)
    assert read.write() == table.write()
    assert len(read) == len(table)


@given(st.binary(max_size=200))
def test_damaged_bytes_are_refused_and_change_nothing(data: bytes) -> None:
    table = Table()
    for damaged in (data, b"dspamd weights 1\n" + data, b"dspamd weights 2\n" + data):
        try:
            table.add(damaged)
        except ValueError:
            assert len(table) == 0
            assert table.lessons == 0
        table = Table()
        if damaged:
            with pytest.raises(ValueError, match="weights"):
                Table.read(damaged)


def test_a_table_of_the_first_form_says_what_it_said_and_its_reader_of_words_begins() -> None:
    numbers = [18, 40, 9, 8, 2, 3, 1, 5, 6, 100, 7, 2, 0, 0, 9]  # slots 2 and 3 with weights -3 and 3
    table = Table.read(b"dspamd weights 1\n" + zlib.compress(bytes(numbers)))
    assert (table.lessons, table.spam, table.innocent, table.readings) == (40, 9, 8, 0)
    assert (table.slot(2), table.slot(3)) == ((-3, 100, 2, 0), (3, 7, 0, 9))
    word = next(n for n in range(2**28) if model.slot_of(n) == 3)
    before = Evidence(values([word]), (table,))
    plain = model.Table({2: model.Slot(-3, 100, 2, 0), 3: model.Slot(3, 7, 0, 9)}, 40, 0, 9, 8)
    asked = model.experts([word], [plain], counted=True)
    assert before.logit == asked.weighed + 6 * math.tanh(6.25 * asked.counted_up / 6)
    table.add(before.lesson(True))
    assert table.readings == 1
    assert Table.read(table.write()).readings == 1


def test_a_cut_table_or_change_is_refused_at_every_byte() -> None:
    table = Table()
    change = Evidence(values([1, 2, 2**28 + 5]), (table,)).lesson(True)
    table.add(change)
    written = table.write()
    for size in range(1, len(written)):
        with pytest.raises(ValueError, match="weights"):
            Table.read(written[:size])
    for record in (change, change[: records(change)[0]]):
        for size in set(range(1, len(record))) - set(records(change)):
            with pytest.raises(ValueError, match="damaged"):
                Table().add(record[:size])
            with pytest.raises(ValueError, match="damaged"):
                negated(record[:size])


def records(change: bytes) -> list[int]:
    """Where the records of a change of small numbers end."""
    ends = [0]
    while ends[-1] < len(change):
        reader, at = iter(change[ends[-1] :]), 0
        for count in range(10**6):
            at += 1
            while next(reader) >= 128:
                at += 1
            if count == 3:
                slots = change[ends[-1] + at - 1]
            if count >= 3 and count == 3 + 3 * slots:
                break
        ends.append(ends[-1] + at)
    return ends[1:]


def taught(lessons: int) -> tuple[Table, list[int], list[int]]:
    """A table that knows two kinds of mail well, and features of either."""
    table = Table()
    spam, ham = [list(range(k << 20, (k << 20) + 60)) for k in (1, 2)]
    for k in range(lessons):
        features = [*(spam if k % 2 else ham), 5 << 20 | k]
        table.add(Evidence(values(features), (table,)).lesson(k % 2 == 1, 1e9))
    return table, spam, ham


@pytest.mark.parametrize("label", [True, False])
def test_a_label_against_a_very_sure_verdict_turns_that_mail_and_counts_nothing(label: bool) -> None:
    table, spam, ham = taught(400)
    known = ham if label else spam
    mail, others = [*known[:40], *range(7 << 20, (7 << 20) + 20)], [known, known[20:]]
    before = Evidence(values(mail), (table,))
    sure = [Evidence(values(other), (table,)).logit for other in others]
    assert (before.logit > before.threshold) != label
    assert abs(before.logit - before.threshold) > 8.5
    change = before.lesson(label)
    counters = table.spam, table.innocent
    table.add(change)
    after = Evidence(values(mail), (table,))
    assert abs(after.logit - after.threshold) == pytest.approx(1, abs=0.1)
    assert (after.logit > after.threshold) == label
    assert (table.spam, table.innocent) == counters
    for other, was in zip(others, sure, strict=True):
        assert abs(Evidence(values(other), (table,)).logit - was) < 2  # new features take the blame
    table.add(negated(change))
    assert Evidence(values(mail), (table,)).logit == before.logit


@settings(max_examples=60, deadline=None)
@given(LESSONS, FEATURES.filter(bool), st.booleans(), st.booleans())
def test_a_mail_that_comes_again_follows_what_the_user_said_of_it(
    lessons: list[tuple[list[int], bool, float]], mail: list[int], label: bool, counted: bool
) -> None:
    table = Table()
    for features, spam, margin in lessons:
        table.add(Evidence(values(features), (table,), counted=counted).lesson(spam, margin))
    before = Evidence(values(mail), (table,), counted=counted)
    if (before.logit > before.threshold) != label:
        table.add(before.lesson(label, 0))
    after = Evidence(values(mail), (table,), counted=counted)
    # Before much ham is known mail is ham in doubt, but the weights follow the user at once.
    known = model.Table(spam=table.spam, innocent=table.innocent)
    bound = after.threshold if after.lopsided == 0 else model.doubt([known])
    assert (after.logit > bound) == label or not (label or after.logit > after.threshold)


def test_what_is_little_more_than_doubtful_is_ham_and_more_so_while_little_is_known() -> None:
    thresholds = [Evidence(array("Q"), (taught(lessons)[0],)).threshold for lessons in (0, 30, 400)]
    assert thresholds[0] == math.inf  # nothing is spam before some ham is known
    assert 0.8 <= thresholds[1] < 0.9
    assert 0.3 < thresholds[2] < 0.6


@pytest.mark.parametrize("counted", [True, False])
def test_the_less_ham_is_known_beside_the_spam_the_less_is_spam(counted: bool) -> None:
    asked = []
    for spam, innocent in ((10, 0), (10, 1), (10, 3), (10, 10), (1, 3)):
        table = Table()
        for label in [True] * spam + [False] * innocent:
            table.add(written(1, label, not label, 1, 0, 0))
        asked.append(Evidence(array("Q"), (table,), counted=counted).lopsided)
    assert asked == sorted(asked, reverse=True)
    assert asked[0] == math.inf
    assert asked[1] > 9
    assert asked[-1] == 0


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 700), st.sampled_from([1, -1, 90, 300, -300, 40_000]), st.integers(-300, 300)
        ),
        max_size=60,
    ),
    st.integers(0, 2),
)
def test_slots_are_exact_whatever_they_hold(moves: list[tuple[int, int, int]], label: int) -> None:
    table, plain = Table(), model.Table()
    for slot, step, squares in moves:
        counts = (int(label == 1), int(label == 2))
        table.add(written(1, *counts, slot + 1, step, squares))
        plain.add(model.Lesson(1, 0, *counts, {slot: (step, squares)}, {}))
    assert same(table, plain)
    assert table.copy().write() == table.write() == Table.read(table.write()).write()
    assert table.copy().memory <= table.memory
    merged = table.copy()
    merged.merge(table)
    for slot, known in plain.slots.items():
        assert merged.slot(slot)[0] == min(32767, max(-32768, 2 * known.weight))


def written(lessons: int, spam: int, innocent: int, gap: int, step: int, squares: int) -> bytes:
    """A record of a change with one slot."""
    signed = (lessons, spam, innocent, step, squares)
    head = [2 * n if n >= 0 else -2 * n - 1 for n in signed]
    out = bytearray()
    for number in (*head[:3], 1, gap, *head[3:]):
        rest = number
        while rest >= 128:
            out.append(rest & 127 | 128)
            rest >>= 7
        out.append(rest)
    return bytes(out)


def test_a_young_user_takes_little_memory() -> None:
    """A hundred messages of 600 features, a third of which every message has."""
    table = Table()
    for k in range(100):
        features = [*range(200 << 8, 400 << 8, 1 << 8), *((k * 400 + n) << 10 | 7 << 28 for n in range(400))]
        table.add(Evidence(values(features), (table,)).lesson(k % 2 == 1, 1e9))
    assert len(table) > 35_000
    assert table.memory < 64 * 2**20 / 200


def test_a_million_lessons_stay_below_a_mebibyte() -> None:
    """Every slot used, with numbers that vary as much as those of a large mailbox."""
    drawn, table, everything = random.Random(1), Table(), array("Q")
    everything = array("Q", (n << 32 for n in range(0, 2**28, 2**8)))
    for _ in range(60):
        features = array("Q", (everything[drawn.randrange(len(everything))] for _ in range(40_000)))
        table.add(Evidence(features, (table,)).lesson(drawn.random() < 0.5, 1e9))
    assert len(table) > 200_000
    assert len(table.write()) < 2**20


def test_a_signature_keeps_the_features_but_not_the_sender() -> None:
    tokens = array("Q", [1 << 60, 2 << 60 | 5, 3 << 60])
    assert unpacked(packed(tokens, 1)) == array("Q", [1 << 60, 3 << 60])
    assert unpacked(packed(tokens) + b"xyz") == array("Q", [1 << 60, 2 << 60, 3 << 60])
    assert len(packed(tokens)) == 12


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="0 tables"):
        Evidence(array("Q"), ())
    with pytest.raises(ValueError, match="5 tables"):
        Evidence(array("Q"), (Table(),) * 5)
    with pytest.raises(IndexError):
        Evidence(array("Q"), (Table(),)).share(0)
