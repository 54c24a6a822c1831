"""Dot-stuffing, the end of data, and stray line ends."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dspamd.mail import transparency
from dspamd.mail._view import line_ends
from dspamd.mail.transparency import PIECE, Collector, stuffed
from tests.model.transparency import all_mixes, mixes, received, sent

# Bytes that matter on the wire, much more often than in random data.
WIRE = st.lists(
    st.sampled_from(
        [b"\r\n", b"\r", b"\n", b".", b"..", b"\r\n.", b"a", b"\0", b"\xff", b"\r\n.\r", b"\n.\r\n"]
    )
).map(b"".join)
CANONICAL = st.lists(st.sampled_from([b"", b".", b"..", b". x", b"a", b"\0\xff", b"x" * 100])).map(
    lambda lines: b"".join(line + b"\r\n" for line in lines)
)

# To count the lines of each of a million runs would take twice the time of the runs.
many_times = pytest.mark.no_cover


def collected(*chunks: bytes, limit: int = 0) -> tuple[Collector, bytes]:
    """Feed `chunks`, each of which is not empty; the collector and what follows the message."""
    collector = Collector(limit)
    rest = b""
    for chunk in chunks:
        if collector.complete:
            rest += chunk
        elif chunk:
            rest = collector.feed(chunk)
    return collector, rest


@given(CANONICAL)
def test_what_is_stuffed_is_collected_unchanged(content: bytes) -> None:
    wire = b"".join(stuffed(content)) + b".\r\n"
    collector, rest = collected(wire + b"QUIT\r\n")
    assert collector.complete
    assert rest == b"QUIT\r\n"
    assert collector.size == len(content)
    assert collector.take() == content


@given(WIRE, st.lists(st.integers(0, 200)))
@example(b"\r\n.\r\n", [1, 2, 3, 4])
def test_the_way_a_message_is_cut_does_not_matter(wire: bytes, cuts: list[int]) -> None:
    wire += b"\r\n.\r\nrest"
    edges = [0, *sorted(cut for cut in cuts if cut < len(wire)), len(wire)]
    chunks = [wire[a:b] for a, b in itertools.pairwise(edges)]
    whole, whole_rest = collected(wire)
    parts, parts_rest = collected(*chunks)
    assert (parts.take(), parts.size, parts_rest) == (whole.take(), whole.size, whole_rest)


@given(WIRE)
def test_no_message_can_hide_another(content: bytes) -> None:
    wire = b"".join(stuffed(content))
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)", wire)
    assert not re.search(rb"(?:^|\n)\.\r?\n", wire)
    assert wire.endswith(b"\r\n") or not wire


@many_times
@pytest.mark.parametrize("size", range(8))
def test_every_mix_of_line_ends_and_dots_is_received_however_it_is_cut(size: int) -> None:
    """All strings of so many bytes, in two pieces with each border between them, and byte by byte."""
    for text in mixes(size):
        wire = text + b"\r\n.\r\nQ"
        expected = received(wire)
        singly = [wire[at : at + 1] for at in range(len(wire))]
        for chunks in (singly, [wire], *((wire[:at], wire[at:]) for at in range(1, size + 5))):
            collector, rest = collected(*chunks)
            assert (collector.take(), rest) == expected, chunks


@many_times
@pytest.mark.parametrize("size", range(8))
def test_every_mix_of_line_ends_and_dots_is_sent_however_it_is_cut(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for text in mixes(size):
        wire = sent(text)
        for piece in range(1, size + 1):
            monkeypatch.setattr(transparency, "PIECE", piece)
            assert b"".join(stuffed(text)) == wire, (text, piece)


def test_a_text_with_every_mix() -> None:
    text = all_mixes(3)
    assert len(text) == 5**3 + 2
    assert all(mix in text for mix in mixes(3))


@given(WIRE)
def test_what_could_not_stay_as_it_is_on_the_wire(text: bytes) -> None:
    bare, dots = line_ends(text)
    assert bare == bool(re.search(rb"(?<!\r)\n|\r(?!\n)", text))
    assert dots == (b"\r\n." in text)


def test_proper_lines_are_not_copied() -> None:
    content = b"a\r\nb\r\n"
    (piece,) = stuffed(content)
    assert piece is content


@pytest.mark.parametrize(
    ("wire", "content"),
    [
        (b".\r\n", b""),
        (b"\r\n.\r\n", b"\r\n"),
        (b"a\r\n..\r\n.\r\n", b"a\r\n.\r\n"),
        (b"..\r\n.\r\n", b".\r\n"),
        (b".a\r\n.\r\n", b"a\r\n"),
        (b"a\n.\nb\r\n.\r\n", b"a\r\n.\r\nb\r\n"),
        (b"a\r\n.\nMAIL FROM:<x>\r\n.\r\n", b"a\r\n\r\nMAIL FROM:<x>\r\n"),
        (b"a\n.\r\nb\r\n.\r\n", b"a\r\n.\r\nb\r\n"),
        (b"a\r.\r\nb\r\n.\r\n", b"a .\r\nb\r\n"),
        (b"a\r\r\n.\r\n", b"a \r\n"),
        (b"a\rb\r\n..dot\r\n.\r\n", b"a b\r\n.dot\r\n"),
        (b"a\0\xff\r\n.\r\n", b"a\0\xff\r\n"),
    ],
)
def test_what_is_on_the_wire_means(wire: bytes, content: bytes) -> None:
    collector, rest = collected(wire)
    assert (collector.complete, collector.take(), rest) == (True, content, b"")


@pytest.mark.parametrize("wire", [b"a\n.\n", b"a\r.\r", b"a\r\n.\n", b"a\n.\r\n", b"a\r\n.\r", b"a\r\n."])
def test_nothing_else_ends_a_message(wire: bytes) -> None:
    collector, _ = collected(wire)
    assert not collector.complete


def test_a_message_over_the_limit_is_read_to_its_end() -> None:
    line = b"x" * 98 + b"\r\n"
    collector, rest = collected(*[line] * 20, b".\r\nQUIT\r\n", limit=1000)
    assert collector.complete
    assert collector.discarding
    assert collector.held == 0
    assert collector.size == 2000
    assert rest == b"QUIT\r\n"


def test_a_message_at_the_limit_is_kept() -> None:
    collector, _ = collected(b"x" * 998 + b"\r\n.\r\n", limit=1000)
    assert not collector.discarding
    assert collector.held == collector.size == 1000


@pytest.mark.parametrize("shift", range(-3, 4))
def test_dots_and_line_ends_between_pieces(shift: int) -> None:
    content = b"a" * (PIECE + shift) + b"\r\n.b\r\n"
    assert b"".join(stuffed(content)) == content.replace(b"\r\n.", b"\r\n..")


def test_a_missing_last_line_end_is_added() -> None:
    assert b"".join(stuffed(b"a")) == b"a\r\n"
    assert b"".join(stuffed(b"")) == b""
