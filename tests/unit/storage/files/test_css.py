"""The kernel's hash tables do what a plain one does."""

from __future__ import annotations

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspamd.storage.files._css import (
    css_after,
    css_age,
    css_delete,
    css_find,
    css_joined,
    css_plan,
    css_pour,
    css_store,
)
from tests.model.css import HITS, Extent, HashTable

TOKENS = st.integers(1, 40) | st.integers(1, 2**64 - 1)
PLAIN = st.lists(st.integers(1, 20).map(Extent), min_size=1, max_size=3)
FOLDED = st.lists(st.sampled_from((1, 2, 8, 16)).map(lambda size: Extent(size, True)), min_size=1, max_size=3)
SOME = st.lists(TOKENS, unique=True, max_size=12)


@st.composite
def tables(draw: st.DrawFn) -> tuple[HashTable, dict[int, tuple[int, int]]]:
    """A table with tokens in it, and these tokens."""
    table = HashTable(draw(PLAIN | FOLDED), draw(st.integers(1, 8)), draw(st.booleans()))
    inside = {}
    for token in draw(st.lists(TOKENS, max_size=30)):
        hits = draw(st.tuples(st.integers(0, 9), st.integers(0, 9)))
        if table.store(token, *hits):
            inside[token] = hits
    return table, inside


def found(file: bytearray, seek: int, tokens: list[int]) -> dict[int, tuple[int, int]]:
    known, spam, innocent, _ = css_find(file, seek, array("Q", tokens))
    return dict(zip(known, zip(spam, innocent, strict=True), strict=True))


@given(tables(), SOME)
def test_finding(table: tuple[HashTable, dict[int, tuple[int, int]]], others: list[int]) -> None:
    plain, inside = table
    wanted = {token: hits for token in others if (hits := plain.hits(token)) is not None}
    assert found(plain.file(), plain.seek, others) == wanted
    assert found(plain.file(), plain.seek, [0, *inside]) == inside


@given(tables(), SOME)
def test_storing(table: tuple[HashTable, dict[int, tuple[int, int]]], tokens: list[int]) -> None:
    plain, _ = table
    file = plain.file()
    plain.released = False
    stored = css_store(file, plain.seek, array("Q", tokens), array("Q", tokens), array("Q", tokens), 0)
    assert [plain.store(token, token, token) for token in tokens[: stored + 1]] == (
        [True] * stored + [False] * (stored < len(tokens))
    )
    assert file == plain.file()


@pytest.mark.parametrize("seek", [3, 400])
def test_many_tokens_at_once(seek: int) -> None:
    """More than are looked up together, some of them twice, in extents that do not hold them all."""
    plain = HashTable([Extent(101), Extent(128, True), Extent(211)], seek)
    file = plain.file()
    tokens = array("Q", [7919 * n % 1009 + 1 for n in range(600) for _ in range(1 + (n % 50 == 0))])
    at = 0
    while at < len(tokens):
        at = css_store(file, seek, tokens, tokens, tokens, at) + 1
    inside = {token: (token, token) for token in tokens if plain.store(token, token, token)}
    assert 0 < len(inside) < len(set(tokens))
    assert file == plain.file()
    assert found(file, seek, list(tokens)) == inside


@given(tables(), SOME)
def test_deleting(table: tuple[HashTable, dict[int, tuple[int, int]]], others: list[int]) -> None:
    plain, inside = table
    file = plain.file()
    gone = set(others) | set(list(inside)[::2])
    assert css_delete(file, plain.seek, array("Q", gone)) == len(gone & inside.keys())
    rest = {token: hits for token, hits in inside.items() if token not in gone}
    assert found(file, plain.seek, list(inside)) == rest
    assert len(css_after(file, 0, 1_000)) == len(rest)


@given(st.lists(tables(), min_size=1, max_size=3), SOME)
def test_records_of_a_token_in_several_extents(
    several: list[tuple[HashTable, dict[int, tuple[int, int]]]], gone: list[int]
) -> None:
    """They count together, are listed once, go together, and are one record in a fresh file."""
    file, inside = bytearray(), dict[int, tuple[int, int]]()
    seek = max(plain.seek for plain, _ in several)
    for plain, some in several:
        if plain.seek == seek or len(several) == 1:
            file += plain.file()
            for token, (spam, innocent) in some.items():
                s, i = inside.get(token, (0, 0))
                inside[token] = s + spam, i + innocent
    assert css_after(file, 0, 1_000).tolist() == sorted(inside)
    assert joined(file, seek, [0, *inside]) == inside
    assert joined(file, 1, list(inside)).keys() == inside.keys()  # some only when looked for everywhere
    fresh = HashTable([Extent(997)], 1_000).file()
    assert css_pour(file, fresh, 1_000) == len(inside)
    assert found(fresh, 1_000, list(inside)) == inside
    assert css_delete(file, seek, array("Q", gone)) == len(inside.keys() & gone)
    assert joined(file, seek, list(inside)) == {t: hits for t, hits in inside.items() if t not in gone}


def joined(file: bytearray, seek: int, tokens: list[int]) -> dict[int, tuple[int, int]]:
    known, spam, innocent, _ = css_joined(file, seek, array("Q", tokens))
    return dict(zip(known, zip(spam, innocent, strict=True), strict=True))


def test_a_joined_token_has_the_age_of_the_younger_and_no_more_hits_than_fit() -> None:
    file = HashTable([Extent(7)], 1).file()
    token = array("Q", [3])
    css_store(file, 1, token, array("Q", [HITS]), array("Q", [2]), 0)
    css_age(file, 100)
    for days in (20, 3):
        css_age(file, days)
        file += HashTable([Extent(5)], 1).file()
        tail = bytearray(file[-(80 + 5 * 24) :])
        css_store(tail, 1, token, array("Q", [1]), array("Q", [5]), 0)
        file[-len(tail) :] = tail
    fresh = HashTable([Extent(97)], 5).file()
    css_pour(file, fresh, 5)
    ages = [[100 + 20 + 3, 3, 0], [0]]
    for each, seek in ((file, 1), (fresh, 5)):
        assert [column.tolist() for column in css_joined(each, seek, token)] == [
            [3],
            [HITS],
            [12],
            [min(ages[0])],
        ]


def test_who_passes_over_the_last_place_leaves_a_second_record_behind_it() -> None:
    """DSPAM 3.10.2 does; its branch, and we, put a record there."""
    token, other = 7 * 5 + 5, 7 * 3 + 5  # both with the home 5 of 7
    table = HashTable([Extent(7)], 5)
    table.store(other, 9, 9)
    table.store(token, 3, 4)
    extent = table.extents[0]
    assert extent.slots[6] == (token, 4, 3)
    extent.slots[0] = (token, 20, 10)
    file, fresh = table.file(), HashTable([Extent(11)], 5).file()
    wanted = {other: (9, 9), token: (13, 24)}
    assert joined(file, 5, [token, other]) == wanted
    assert css_after(file, 0, 10).tolist() == sorted(wanted)
    assert css_pour(file, fresh, 5) == 2
    assert found(fresh, 5, [token, other]) == wanted
    assert css_delete(file, 5, array("Q", [token])) == 1
    assert joined(file, 5, [token, other]) == {other: (9, 9)}


def test_a_removal_that_was_cut_short_counts_nothing_twice() -> None:
    """The record that closes the gap is in both places."""
    table = HashTable([Extent(7)], 5)
    for token in (7, 14, 21):
        table.store(token, 1, 2)
    table.extents[0].slots[0] = table.extents[0].slots[2]
    file, fresh = table.file(), HashTable([Extent(11)], 5).file()
    wanted = {21: (1, 2), 14: (1, 2)}
    assert joined(file, 5, [7, 14, 21]) == wanted
    assert css_pour(file, fresh, 5) == 2
    assert found(fresh, 5, [7, 14, 21]) == wanted


def test_a_file_in_which_tokens_have_no_place_is_too_small() -> None:
    file, small = HashTable([Extent(97)], 9).file(), HashTable([Extent(7)], 9).file()
    tokens = array("Q", range(1, 11))
    css_store(file, 9, tokens, tokens, tokens, 0)
    assert css_pour(file, small, 9) == -1


@given(tables(), st.integers(0, 2**64 - 1) | st.integers(0, 40), st.integers(0, 40))
def test_listing(table: tuple[HashTable, dict[int, tuple[int, int]]], after: int, limit: int) -> None:
    plain, inside = table
    wanted = sorted(token for token in inside if token > after)[:limit]
    assert css_after(plain.file(), after, limit).tolist() == wanted


@given(tables(), SOME, st.integers(-12, 12), st.integers(-12, 12), st.integers(0, 20))
def test_planning(
    table: tuple[HashTable, dict[int, tuple[int, int]]],
    others: list[int],
    spam: int,
    innocent: int,
    limit: int,
) -> None:
    plain, inside = table
    tokens = list(dict.fromkeys([*inside, *others, 0]))
    n = len(tokens)
    plan = css_plan(
        plain.file(),
        plain.seek,
        array("Q", tokens),
        array("i", [spam] * n),
        array("i", [innocent] * n),
        limit,
        HITS,
    )
    wanted = []
    for token in tokens[:-1]:
        hits = plain.hits(token)
        s, i = hits or (0, 0)
        new = min(max(0, s + spam), limit), max(0, i + innocent)
        if hits is not None or any(new):
            wanted.append((token, s, i, *new))
    assert list(zip(*plan, strict=True)) == wanted


@given(tables(), st.lists(st.integers(0, 300), max_size=4))
def test_ageing(table: tuple[HashTable, dict[int, tuple[int, int]]], days: list[int]) -> None:
    plain, inside = table
    file = plain.file()
    for more in days:
        css_age(file, more)
    assert found(file, plain.seek, list(inside)) == inside
    ages = css_find(file, plain.seek, array("Q", inside))[3]
    assert set(ages) <= {min(255, sum(days))}


@given(tables(), st.integers(0, 200), st.binary(max_size=100))
def test_broken_files_are_read_as_far_as_they_are_whole(
    table: tuple[HashTable, dict[int, tuple[int, int]]], cut: int, noise: bytes
) -> None:
    plain, inside = table
    file = plain.file()
    del file[max(0, len(file) - cut) :]
    file += noise
    known = found(file, plain.seek, list(inside))
    assert known.keys() <= inside.keys()
    css_delete(file, plain.seek, array("Q", inside))
    css_after(file, 0, 10)
    css_age(file, 1)
    assert found(file, plain.seek, list(inside)).keys() <= known.keys()


def test_each_token_needs_its_change() -> None:
    with pytest.raises(ValueError, match="each token"):
        css_plan(bytearray(), 1, array("Q", [1]), array("i"), array("i", [1]), 1, 1)
