from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspamd.mail import headers

BLOCK = b"Received: by a\n\tfor b\nSubject: one\nTo: x,\n y\nsubject:two\nX-DSPAM-Result: Spam\n"

line = st.sampled_from(
    [
        b"Subject: a",
        b" folded",
        b"X-DSPAM-Result: Spam",
        b"x-dspam-factors: 1,",
        b"\ttoken",
        b"To: b",
        b"junk",
    ]
)
block = st.lists(line).map(lambda lines: b"".join(line + b"\n" for line in lines))


@pytest.mark.parametrize(
    ("data", "end", "body"),
    [
        (b"A: b\n\nbody", 5, 6),
        (b"A: b\r\n\r\nbody", 6, 8),
        (b"A: b\r\n\nbody", 6, 7),
        (b"\nbody", 0, 1),
        (b"\r\nbody", 0, 2),
        (b"A: b\n", 5, 5),
        (b"A: b", 4, 4),
        (b"A: b\n\n", 5, 6),
        (b"", 0, 0),
    ],
)
def test_the_block_ends_at_the_first_empty_line(data: bytes, end: int, body: int) -> None:
    assert headers.block_end(data) == end
    assert headers.after_empty_line(data, end) == body


def test_values_are_unfolded_and_found_in_any_case() -> None:
    assert headers.values(BLOCK, b"SUBJECT") == [b"one", b"two"]
    assert headers.values(BLOCK, b"to") == [b"x, y"]
    assert headers.values(BLOCK, b"received") == [b"by a\tfor b"]
    assert headers.values(BLOCK, b"sub") == []


def test_values_with_carriage_returns() -> None:
    assert headers.values(b"To: x,\r\n y\r\n", b"To") == [b"x, y"]


def test_a_name_in_a_folded_line_is_no_header() -> None:
    assert headers.values(b"A: b\n Subject: c\n", b"subject") == []


def test_drop_takes_folded_lines_along() -> None:
    kept, dropped = headers.drop(b"A: b\nX-DSPAM-Factors: 1,\n\tx, 0.9\nC: d\n", b"X-DSPAM-")
    assert (kept, dropped) == (b"A: b\nC: d\n", b"X-DSPAM-Factors: 1,\n\tx, 0.9\n")


def test_append_never_continues_a_line_of_somebody_else() -> None:
    assert headers.append(b"A: b", [b"X: y"], b"\r\n") == b"A: b\r\nX: y\r\n"
    assert headers.append(b"", [b"X: y"], b"\n") == b"X: y\n"
    assert headers.append(b"A: b", [], b"\n") == b"A: b"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"Subject: x\n", b"Subject: [S] x\n"),
        (b"SUBJECT:  x\n", b"SUBJECT:  [S] x\n"),
        (b"Subject:x\n", b"Subject: [S] x\n"),
        (b"Subject:\n", b"Subject: [S] \n"),
        (b"Subject:\n folded\n", b"Subject: [S] \n folded\n"),
        (b"Subject: [S] x\n", b"Subject: [S] x\n"),
        (b"Subject:\n [S] x\n", b"Subject:\n [S] x\n"),
        (b"A: b\n", b"A: b\nSubject: [S]\n"),
        (b"A: b", b"A: b\nSubject: [S]\n"),
        (b"Subject: x\nA: b\nSubject: y", b"Subject: [S] x\nA: b\nSubject: [S] y"),
    ],
)
def test_subject_tag(before: bytes, after: bytes) -> None:
    assert headers.prefix_subject(before, b"[S]", b"\n") == after


@given(block)
def test_dropping_keeps_all_other_lines_in_order(block: bytes) -> None:
    kept, dropped = headers.drop(block, b"x-dspam-")
    assert b"x-dspam-" not in kept.lower()
    assert sorted((kept + dropped).splitlines()) == sorted(block.splitlines())
    assert headers.drop(kept, b"x-dspam-") == (kept, b"")


@given(block)
def test_a_subject_tag_can_be_taken_out_again(block: bytes) -> None:
    tagged = headers.prefix_subject(block, b"[S]", b"\n")
    assert headers.prefix_subject(tagged, b"[S]", b"\n") == tagged
    if headers.values(block, b"subject"):
        assert tagged.replace(b"[S] ", b"") == block
    else:
        assert tagged == block + b"Subject: [S]\n"


@given(st.binary(), st.sampled_from([b"\n", b"\r\n"]))
def test_anything_is_a_block(block: bytes, newline: bytes) -> None:
    kept, dropped = headers.drop(block, b"x-dspam-")
    assert len(kept) + len(dropped) == len(block)
    assert headers.append(block, [b"X-DSPAM-Result: Spam"], newline).startswith(block)
