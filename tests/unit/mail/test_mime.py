from __future__ import annotations

import base64
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspamd.mail import mime

MIXED = b"""Content-Type: multipart/mixed; boundary="b 1"

preamble
--b 1
Content-Type: TEXT/HTML; charset="UTF-8"
Content-Transfer-Encoding: Base64

QQ==
--b 1
Content-Type: multipart/alternative;
\tboundary=b

--b

plain
--b--
epilogue
--b 1
Content-Type: message/rfc822
Content-Disposition: attachment; filename="Mail.EML"

Content-Type: multipart/mixed; boundary=inner

--inner

text
--inner--
--b 1--
epilogue
"""

word = st.sampled_from(
    [
        b"Content-Type: multipart/mixed; boundary=",
        b"a",
        b"b",
        b"\n",
        b"\n\n",
        b"\r\n",
        b"--",
        b"Content-Type: text/html",
        b"x",
    ]
)
soup = st.lists(word, max_size=60).map(b"".join)


def bodies(data: bytes) -> list[bytes]:
    return [data[part.body : part.end] for part in mime.parts(data)]


def test_leaves_of_nested_multiparts() -> None:
    html, plain, original = mime.parts(MIXED)
    assert (html.type, html.subtype, html.encoding, html.charset) == (b"text", b"html", b"base64", b"utf-8")
    assert (plain.type, plain.subtype, plain.encoding) == (b"text", b"plain", b"")
    assert (original.type, original.subtype, original.filename) == (b"message", b"rfc822", b"mail.eml")
    assert original.attachment and not plain.attachment
    assert bodies(MIXED)[:2] == [b"QQ==\n", b"plain\n"]
    assert bodies(MIXED)[2].endswith(b"--inner--\n")


def test_the_same_with_carriage_returns() -> None:
    assert [body.replace(b"\r\n", b"\n") for body in bodies(MIXED.replace(b"\n", b"\r\n"))] == bodies(MIXED)


def test_a_message_without_structure_is_one_leaf() -> None:
    (part,) = mime.parts(b"Subject: x\n\nbody")
    assert part.top and (part.type, part.subtype, part.body, part.end) == (b"text", b"plain", 12, 16)
    assert bodies(b"no headers at all") == [b""]
    assert bodies(b"\nonly body") == [b"only body"]
    assert bodies(b"") == [b""]


def test_a_boundary_that_never_comes_gives_no_leaf() -> None:
    assert mime.parts(b"Content-Type: multipart/mixed; boundary=x\n\ntext\n") == []


def test_missing_end_and_missing_empty_line() -> None:
    assert bodies(b"Content-Type: multipart/mixed; boundary=x\n\n--x\n\ntext\n") == [b"text\n"]
    assert bodies(b"Content-Type: multipart/mixed; boundary=x\n\n--x\nA: b\n--x\n\ntext\n--x--") == [
        b"",
        b"text\n",
    ]


def test_an_outer_boundary_ends_inner_multiparts() -> None:
    data = (
        b"Content-Type: multipart/mixed; boundary=o\n\n"
        b"--o\nContent-Type: multipart/mixed; boundary=i\n\n--i\n\n1\n--o\n\n2\n--o--\n"
    )
    assert bodies(data) == [b"1\n", b"2\n"]


def test_a_boundary_that_is_the_beginning_of_another() -> None:
    data = (
        b"Content-Type: multipart/mixed; boundary=b\n\n"
        b"--b\nContent-Type: multipart/mixed; boundary=bb\n\n--bb\n\n1\n--bb--\n--b--\n"
    )
    assert bodies(data) == [b"1\n"]


def test_parts_of_a_digest_are_messages() -> None:
    (part,) = mime.parts(b"Content-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: x\n\ny\n--b--\n")
    assert (part.type, part.subtype) == (b"message", b"rfc822")


def test_what_is_signed_is_sealed_at_any_depth() -> None:
    data = (
        b"Content-Type: multipart/mixed; boundary=o\n\n--o\nContent-Type: multipart/signed; boundary=s\n\n"
        b"--s\nContent-Type: multipart/mixed; boundary=i\n\n--i\n\n1\n--i--\n--s--\n--o\n\n2\n--o--\n"
    )
    assert [part.sealed for part in mime.parts(data)] == [True, False]


def test_bombs_are_bounded() -> None:
    many = b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\nx\n" * (2 * mime.MAX_PARTS)
    assert len(mime.parts(many)) == mime.MAX_PARTS - 1
    deep = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (i, i) for i in range(1000))
    assert len(mime.parts(deep)) == 1


@pytest.mark.no_cover  # tracing would add to the times measured here
@pytest.mark.parametrize(
    "line", [b"--x\n", b"\n", b"--b\nA: b\n", b"--b\n\nx\n", b" ;\n", b"Content-Type: ;boundary\n"]
)
def test_the_time_is_linear(line: bytes) -> None:
    start = b"Content-Type: multipart/mixed; boundary=b\n\n"

    def seconds(size: int) -> float:
        data = start + line * (size // len(line))
        begun = time.process_time()
        mime.parts(data)
        return time.process_time() - begun

    assert seconds(2_000_000) < 20 * seconds(200_000) + 0.2


@given(soup | st.binary())
def test_parts_lie_in_the_message_in_order(data: bytes) -> None:
    at = 0
    for part in mime.parts(data):
        assert at <= part.start <= part.body <= part.end <= len(data)
        at = part.end


@given(st.binary())
def test_base64_round_trip(text: bytes) -> None:
    for newline in (b"\n", b"\r\n"):
        body = mime.encoded(b"base64", text, newline)
        assert mime.reversible(b"base64", body)
        assert mime.decoded(b"base64", body) == text


@given(st.lists(st.binary(max_size=100).map(lambda line: line.translate(None, b"\r\n"))))
def test_quoted_printable_round_trip(lines: list[bytes]) -> None:
    text = b"\n".join(lines)
    for newline in (b"\n", b"\r\n"):
        body = mime.encoded(b"quoted-printable", text, newline)
        assert body.isascii()
        assert all(len(line) <= 76 for line in body.split(newline))
        assert mime.decoded(b"quoted-printable", body) == text.replace(b"\n", newline)


@given(st.binary(), st.sampled_from([b"base64", b"quoted-printable", b"8bit", b""]))
def test_decoding_never_fails(body: bytes, encoding: bytes) -> None:
    assert len(mime.decoded(encoding, body)) <= len(body)


def test_base64_of_any_length() -> None:
    whole = base64.b64encode(b"any carnal pleasure")
    for length in range(len(whole)):
        assert b"any carnal pleasure".startswith(mime.decoded(b"base64", whole[:length]))


@pytest.mark.parametrize(
    ("body", "clean"),
    [
        (b"QUJD\n", True),
        (b"QQ==\n\n", True),
        (b"QQ==\n--\nlist footer\n", False),
        (b"Q-UJD", False),
        (b"QUJDR", False),
    ],
)
def test_what_lies_behind_the_padding_must_not_get_lost(body: bytes, clean: bool) -> None:
    assert mime.reversible(b"base64", body) is clean
