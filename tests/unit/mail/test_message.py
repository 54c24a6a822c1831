from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspamd.mail.message import Message

anything = st.lists(
    st.sampled_from([b"\r", b"\n", b"\r\n", b"A: b", b"x", b" ", b"\0", b"\xff", b"From QUARANTINE"])
).map(b"".join)


def kept(arrived: bytes) -> bytes:
    """All but a first line that the quarantine wrote."""
    first, end, rest = arrived.partition(b"\n")
    return rest if first.startswith(b"From QUARANTINE") else first + end + rest


@given(st.binary() | anything)
def test_the_bytes_stay_and_come_apart_without_loss(arrived: bytes) -> None:
    message, raw = Message(arrived), kept(arrived)
    assert message.raw == raw
    assert message.head + raw[message.head_end :] == raw
    assert raw[message.head_end : message.body_start] in (b"", b"\n", b"\r\n")
    assert len(message) == len(raw)


@given(st.binary() | anything)
def test_line_ends_of_both_forms(arrived: bytes) -> None:
    message, raw = Message(arrived), kept(arrived)
    assert message.lf == raw.replace(b"\r\n", b"\n")
    assert message.crlf == message.lf.replace(b"\n", b"\r\n")
    assert message.crlf.count(b"\r\n") == message.crlf.count(b"\n") == raw.count(b"\n")
    bare = raw.replace(b"\r", b"")
    assert message.lf.replace(b"\r", b"") == message.crlf.replace(b"\r", b"") == bare


@pytest.mark.parametrize(
    ("raw", "newline"),
    [(b"A: b\r\n\r\nx\n", b"\r\n"), (b"A: b\n\r\n", b"\n"), (b"A: b", b"\n"), (b"", b"\n"), (b"\n", b"\n")],
)
def test_the_style_of_line_ends_is_that_of_the_first_line(raw: bytes, newline: bytes) -> None:
    assert Message(raw).newline == newline


def test_forms_that_need_no_change_are_the_same_bytes() -> None:
    network, pipe = b"A: b\r\n\r\nx\r\n", b"A: b\n\nx\n"
    assert Message(network).crlf is network
    assert Message(pipe).lf == pipe
    assert Message(network).lf == pipe
    assert Message(pipe).crlf == network


def test_the_line_of_the_quarantine_is_dropped() -> None:
    assert Message(b"From QUARANTINE Fri Nov 20 08:56:05 2026\nA: b\n\nx").raw == b"A: b\n\nx"
    assert Message(b"From QUARANTINE").raw == b""
    assert Message(b"From x@example.org Thu Jan  1 00:00:00 2004\nA: b\n").raw.startswith(b"From x@")


def test_headers_are_those_of_the_top_block_only() -> None:
    message = Message(b"To: a\nTo: b,\n c\n\nTo: d\n")
    assert message.values("to") == [b"a", b"b, c"]
    assert message.first("TO") == b"a"
    assert message.first("Cc") is None
