"""Tokens of small messages, rule by rule; the test vectors of engine.md 12.1 and 12.2."""

from __future__ import annotations

import functools
import operator
import struct

import pytest

from dspamd.engine.model import TokenOptions
from dspamd.engine.tokenizer import Tokens, crc64, tokenize, tokens_from_signature
from dspamd.mail import view_classic
from dspamd.mail.view import View

V1 = b"""\
Received: from mx (mx.example.com [192.0.2.7])
\tby in.example.net; Mon, 01 Jan 2024 10:20:30 +0000
From: Bob <bob@example.org>
Subject: Buy now!!! =?utf-8?Q?50%_off?= today
X-Note: a_b c
Content-Type: text/plain

See http://www.example.com/a-b?x=1 now! Heute Abend war ich mit
"""

V1_WORDS = (
    b"Url*http|Url*//www|Url*example|Url*com/a|Url*b?x=1|Received*from|Received*mx|"
    b"Received*(mx.example.com|Received*[192.0.2.7])|Received*by|Received*in.example.net|Received*Mon|"
    b"Received*01|Received*Jan|Received*2024|Received*10|From*Bob <bob@example.org>|From*Bob|From*<bob|"
    b"From*example.org>|Subject*Buy|Subject*now!|Subject*50%_off|X-Note*a_b|X-Note*c|"
    b"Content-Type*text/plain|See|now!|Heute|Abend|war|ich|mit"
).split(b"|")


def options(tokenizer: str = "word", *ignored: bytes) -> TokenOptions:
    return TokenOptions(
        tokenizer, url_context=True, whitelist=True, noise=True, ignore_headers=frozenset(ignored)
    )


def names(tokens: Tokens) -> list[bytes]:
    return [tokens.name(i) for i in range(len(tokens))]


def tokens_of(message: bytes, tokenizer: str = "word", *ignored: bytes) -> Tokens:
    return tokenize(view_classic.view(message), options(tokenizer, *ignored))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"", 0),
        (b"123456789", 5090661014116757502),
        (b"Heute", 6716984897371635712),
        (b"mit", 5158417007107899392),
        (b"Heute+Abend", 9299536586222406967),
        (b"Heute+#+#+#+mit", 2006452661602586241),
        (b"war+#+mit", 15707817493435847227),
        (b"war+ich+mit", 6905336139605378569),
        (b"FREE", 7717766825815048192),
        (b"From*Bob <bob@example.org>", 2869292908417816720),
        (b"Content-Transfer-Encoding*8bit", 13343502070202338006),
        (b"$$CONTROL$$", 11624422384514212933),
        (b"bnr.t|", 5334511981350707200),
        (b"bnr.s|0.00_0.00_0.40_", 15748594722413705151),
        (b"bnr.s|0.40_1.00_0.05_", 15746850072255231935),
    ],
)
def test_number_of_a_token(name: bytes, value: int) -> None:
    assert crc64(name) == value
    for cut in range(len(name)):
        assert crc64(name[cut:], crc64(name[:cut])) == value


@pytest.mark.parametrize(
    ("tokenizer", "count", "xor", "order", "chained"),
    [
        ("word", 33, 0x1D52F4FBC4D20041, 7, 0),
        ("chain", 53, 0xFB5BCC623B42CC85, 7, 6),
        ("osb", 59, 0x1A0FBABB0C7F438E, 53, 0),
        ("sbph", 175, 0x68A4802F841165CC, 169, 0),
    ],
)
def test_reference_message(tokenizer: str, count: int, xor: int, order: int, chained: int) -> None:
    tokens = tokens_of(V1, tokenizer)
    assert len(tokens) == count
    assert set(tokens.frequencies) == {1}
    assert functools.reduce(operator.xor, tokens.values) == xor
    assert (len(tokens.order_stream), len(tokens.chained_stream)) == (order, chained)
    assert tokens.whitelist == crc64(b"From*Bob <bob@example.org>")


def test_words_of_the_reference_message() -> None:
    tokens = tokens_of(V1)
    assert set(names(tokens)) == set(V1_WORDS)
    assert names(tokens)[:5] == [
        b"Received*[192.0.2.7])",
        b"Url*b?x=1",
        b"From*<bob",
        b"Subject*Buy",
        b"From*Bob <bob@example.org>",
    ]


@pytest.mark.parametrize(
    ("tokenizer", "name", "value"),
    [
        ("osb", b"Received*from+mx", 9203407501248785774),
        ("osb", b"Received*from+#+mx.example.com", 1608145407314215098),
        ("osb", b"Received*Mon+#+#+#+10", 16124594259293077695),
        ("osb", b"Subject*Buy+#+#+_off", 7349722201959839542),
        ("osb", b"See+now!", 11021790163982167301),
        ("osb", b"See+#+#+#+war", 2194888978337260777),
        ("osb", b"Content-Type*text+plain", 13884833415944681423),
        ("chain", b"Received*2024+10", 2181239922500205742),
        ("chain", b"From*<bob+example.org>", 2965222534155393353),
        ("chain", b"now!+Heute", 3697684186060646389),
    ],
)
def test_pairs_of_the_reference_message(tokenizer: str, name: bytes, value: int) -> None:
    tokens = tokens_of(V1, tokenizer)
    assert tokens.name(tokens.index(value)) == name


def test_iteration_order_is_by_remainder_and_then_by_first_touch() -> None:
    body = b" ".join(b"w%d" % i for i in range(5000))
    tokens = tokenize(View(b"", body), TokenOptions("word"))
    touched = {crc64(word): None for word in body.split()}
    assert list(tokens.values) == sorted(touched, key=lambda value: value % 24593)


def test_long_header_swallows_the_next_one() -> None:
    tokens = tokens_of(b"X-Long: " + b"w " * 600 + b"\nSubject: hello there\n\n")
    counts = dict(zip(names(tokens), tokens.frequencies, strict=True))
    assert counts == {b"X-Long*w": 507, b"X-Long*wSubject": 1, b"X-Long*hello": 1, b"X-Long*there": 1}


@pytest.mark.parametrize(
    ("header", "name"),
    [
        (b"From: X: y", b"From*X: y"),
        (b'From: "A Very Long Name"\n <a.user@b.example>', b"From*ser@b.example>"),
        (b"From:  two", b"From*two"),
        (b"From: x\r", b"From*x\r"),
        (b"From: a\n b", b"From*"),
        (b"From: a\n bcdef: g", b"From*f"),
        (b"From: " + b"x" * 300, b"From*" + b"x" * 250),
    ],
)
def test_whitelist_token(header: bytes, name: bytes) -> None:
    tokens = tokens_of(header + b"\n\nhello\n")
    assert tokens.whitelist == crc64(name)
    assert tokens.name(tokens.index(crc64(name))) == name


@pytest.mark.parametrize("header", [b"FROM: x", b"from: x", b"X-From: x", b"Subject: From: x"])
def test_no_whitelist_token(header: bytes) -> None:
    assert tokens_of(header + b"\n\nhello\n").whitelist is None


def test_ignored_headers_give_no_words() -> None:
    message = b"X-Spam: a b\n c\nX-DSPAM-Result: Spam\nx-dspam-result: Ham\nFrom: me\nTo: you\n\n"
    assert set(names(tokens_of(message, "word", b"x-spam", b"from"))) == {
        b"x-dspam-result*Ham",
        b"From*me",
        b"To*you",
    }


def test_words_are_trimmed_behind_an_exclamation_mark() -> None:
    tokens = tokenize(View(b"", b"now!!! wow!a a!b !b ok!"), TokenOptions("word"))
    assert set(names(tokens)) == {b"now!", b"wow!", b"a!", b"!", b"ok!"}


def test_words_of_fifty_bytes_are_invisible_to_windows() -> None:
    tokens = tokenize(View(b"", b"a " + b"x" * 50 + b" b " + b"y" * 49), TokenOptions("osb"))
    assert set(names(tokens)) == {b"a+b", b"a+#+" + b"y" * 49, b"b+" + b"y" * 49}


@pytest.mark.parametrize("tokenizer", ["osb", "sbph"])
def test_long_names_are_cut_before_they_are_numbered(tokenizer: str) -> None:
    words = b" ".join(bytes([letter]) * 49 for letter in b"abcde")
    tokens = tokenize(View(b"H" * 200 + b": " + words + b"\n", b""), TokenOptions(tokenizer))
    assert max(map(len, names(tokens))) == (255 if tokenizer == "sbph" else 233)
    assert [crc64(name) for name in names(tokens)] == list(tokens.values)


def test_signature_gives_the_tokens_back() -> None:
    tokens = tokens_of(V1, "chain")
    signature = tokens.signature()
    assert signature == b"".join(
        struct.pack("<QB7x", value, frequency)
        for value, frequency in zip(tokens.values, tokens.frequencies, strict=True)
    )
    again = tokens_from_signature(signature, options("chain"))
    assert again.values == tokens.values
    assert again.frequencies == tokens.frequencies
    assert again.signature() == signature
    assert again.name(0) == b""


@pytest.mark.parametrize("place", range(3))
def test_the_pseudo_token_of_sql_drivers_is_none(place: int) -> None:
    """Its number may stand across two records by chance, too (engine.md 7.6)."""
    control = 11624422384514212933
    across = struct.pack("<QQ", control << 32 & 2**64 - 1, control >> 32)
    records = [struct.pack("<QB7x", 5, 1), across]
    whole = records.copy()
    whole.insert(place, struct.pack("<QB7x", control, 1))
    tokens = tokens_from_signature(b"".join(whole), options("osb"))
    assert tokens.values == tokens_from_signature(b"".join(records), options("osb")).values
    assert control not in tokens.values


def test_signature_keeps_one_byte_of_the_frequency_and_the_last_of_equals() -> None:
    tokens = tokenize(View(b"", b"a " * 300), TokenOptions("word"))
    assert tokens.signature()[8] == 300 % 256
    records = struct.pack("<QB7xQB7x", 7, 1, 7, 0) + b"odd"
    again = Tokens.from_signature(records)
    assert (list(again.values), list(again.frequencies)) == ([7], [0])


def test_sbph_signature_is_text() -> None:
    view = view_classic.view(V1)
    tokens = tokenize(view, options("sbph"))
    assert tokens.signature() == view.headers + b"\x01" + view.body + b"\0"
    again = tokens_from_signature(tokens.signature(), options("sbph"))
    assert (names(again), again.values) == (names(tokens), tokens.values)


@pytest.mark.parametrize("tokenizer", ["word", "chain", "osb", "sbph"])
def test_nothing_gives_no_tokens(tokenizer: str) -> None:
    tokens = tokenize(View(b"", b""), options(tokenizer))
    assert (len(tokens), list(tokens.values), tokens.whitelist) == (0, [], None)
    assert len(tokens_from_signature(tokens.signature(), options(tokenizer))) == 0


def test_what_cannot_be_asked_for() -> None:
    tokens = tokenize(View(b"", b"hello"), TokenOptions("word"))
    with pytest.raises(IndexError):
        tokens.name(1)
    with pytest.raises(ValueError, match="not a token"):
        tokens.index(1)
    with pytest.raises(ValueError, match="no tokenizer"):
        tokenize(View(b"", b""), TokenOptions("letters"))
