"""Changes of many tokens: in order, in pieces, two as one."""

from __future__ import annotations

from array import array
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspamd.engine.changes import AT_ONCE, ascending, extend, pieces, portions
from dspamd.engine.model import TokenChange

token = st.one_of(
    st.integers(0, 3), st.integers(0, 2**64 - 1), st.sampled_from([2**63 - 1, 2**63, 2**64 - 1])
)
step = st.integers(-3, 3)
rows = st.lists(st.tuples(token, step, step), max_size=30)


def change(rows: list[tuple[int, int, int]]) -> TokenChange:
    return TokenChange(*(array(code, [row[n] for row in rows]) for n, code in enumerate("Qii")))


@given(st.lists(rows, max_size=3), st.sampled_from([0, 2**63]))
def test_changes_in_order_are_their_sum(several: list[list[tuple[int, int, int]]], first: int) -> None:
    spam, innocent = Counter[int](), Counter[int]()
    for n, more_spam, more_innocent in (row for rows in several for row in rows):
        spam[n] += more_spam
        innocent[n] += more_innocent
    tokens = sorted(spam, key=lambda n: (n - first) % 2**64)
    wanted = change([(n, spam[n], innocent[n]) for n in tokens])
    assert ascending(*map(change, several), first=first) == wanted


def test_steps_end_where_their_numbers_end() -> None:
    most = 2**31 - 1
    one, other = change([(1, most, -most)]), change([(1, most, -most)])
    assert ascending(one, other) == one


def test_a_change_must_be_parallel() -> None:
    with pytest.raises(ValueError, match="parallel"):
        ascending(TokenChange(array("Q", [1]), array("i"), array("i")))


@pytest.mark.parametrize("count", [0, 1, AT_ONCE, AT_ONCE + 1, 3 * AT_ONCE])
def test_pieces_are_the_whole(count: int) -> None:
    whole = TokenChange(array("Q", range(count)), array("i", [1] * count), array("i", [2] * count))
    again, tokens = TokenChange.none(), array("Q")
    for piece in pieces(whole):
        assert len(piece.tokens) <= AT_ONCE
        extend(again, piece)
    for portion in portions(whole.tokens):
        assert len(portion) <= AT_ONCE
        tokens.extend(portion)
    assert (again, tokens) == (whole, whole.tokens)
    assert len(list(pieces(whole))) == len(list(portions(whole.tokens))) == max(1, -(-count // AT_ONCE))
