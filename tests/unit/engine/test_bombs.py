"""Mail made to cost much: time and memory stay linear in its length.

Every bomb is a message that can be made n times as long.  It goes through all that looks at mail: the
engine, the search for parts and for a signature, and rewriting.  Measured is processor time, so that a
busy machine does not matter; a quadratic step would take 16 times as long for four times the length.
The bounds are those of docs/compatibility.md.
"""

from __future__ import annotations

import base64
import math
import subprocess
import sys
import time
from array import array
from collections.abc import Callable
from pathlib import Path

import pytest

from dspamd.engine._kernel import Run
from dspamd.engine.model import Hits, ScoreOptions, Snapshot, TokenOptions, Totals
from dspamd.engine.tokenizer import tokenize
from dspamd.filter.scan.blocklist import sender_domain
from dspamd.filter.scan.source import source
from dspamd.home.history import Fields
from dspamd.mail import mime, signature, view_classic, view_modern
from dspamd.mail.message import Message
from dspamd.mail.rewrite import Rewrite, rewrite
from dspamd.mail.transparency import END_OF_DATA, Collector, stuffed
from dspamd.mail.view import SignaturePass
from dspamd.request.retrain_address import in_header

pytestmark = pytest.mark.no_cover  # tracing would add to the times measured here

MILLION = 1_000_000
HTML = b"Content-Type: text/html\n\n"
TEXT = b"A: b\n\n"
QUOTED = b"X-DSPAM-Signature:"
FOLDED = b"Content-Type: multipart/mixed; "


def nested(n: int) -> bytes:
    announce = b'Content-Type: multipart/mixed; boundary="b%d"\n\n--b%d\n'
    return b"".join(announce % (i, i) for i in range(n))


def near_misses(n: int) -> bytes:
    """Lines that agree with all boundaries in their first hundred bytes."""
    announce = b"Content-Type: multipart/mixed; boundary=%s%d\n\n--%s%d\n"
    start = b"q" * 100
    return b"".join(announce % (start, i, start, i) for i in range(n)) + (b"--" + b"q" * 130 + b"\n") * n


def announced_in_body(n: int) -> bytes:
    return TEXT + b"".join(b"Content-Type: a; boundary=%d\n" % i for i in range(n)) + b"--q\n" * n


BOMBS: dict[str, Callable[[int], bytes]] = {
    "nested boundaries": lambda n: nested(n // 50),
    "near misses": lambda n: near_misses(n // 400),
    "boundaries in a body": lambda n: announced_in_body(n // 35),
    "parts": lambda n: FOLDED + b"boundary=x\n\n" + b"--x\nA: b\n\nhello\n" * (n // 16),
    "parts that continue a header": lambda n: FOLDED + b"boundary=x\n" + b"--x\n =?q?\n" * (n // 10),
    "one word": lambda n: TEXT + b"a" * n,
    "equal words": lambda n: TEXT + b"ab " * (n // 3),
    "different words": lambda n: TEXT + b"".join(b"%x " % i for i in range(n // 6)),
    "headers": lambda n: b"X: y z\n" * (n // 7),
    "different headers": lambda n: b"".join(b"X%d: y z\n" % i for i in range(n // 14)),
    "a folded header": lambda n: b"X: a\n" + b" b=\n" * (n // 4),
    "a folded type": lambda n: FOLDED + b"\n" + b" b=\n" * (n // 4),
    "a folded boundary name": lambda n: FOLDED + b"boundary\n" + b"    \n" * (n // 5),
    "a folded boundary value": lambda n: FOLDED + b"boundary=\n" + b"  ; \n" * (n // 5),
    "a folded encoded word": lambda n: b"Subject: =?\n" + b" ?=?\n" * (n // 5),
    "encoded words": lambda n: b"S: =?a?q?b?=\n" * (n // 13),
    "less-than signs": lambda n: HTML + b"<" * n,
    "unclosed tags": lambda n: HTML + b"<a" * (n // 2),
    "unclosed links": lambda n: HTML + b"<a href=http:" * (n // 13),
    "unclosed quotes": lambda n: HTML + b'<a href="http:' * (n // 14),
    "links without a value": lambda n: HTML + b"<a href        " * (n // 15),
    "cells": lambda n: HTML + b"</td><td" * (n // 8),
    "unclosed style": lambda n: HTML + b"<style>" + b"</styl" * (n // 6),
    "entities": lambda n: HTML + b"&;&#0;" * (n // 6),
    "zeros of an entity": lambda n: HTML + b"&#" + b"0" * n,
    "almost links": lambda n: TEXT + b"www:" * (n // 4),
    "links": lambda n: TEXT + b"http://a " * (n // 9),
    "exclamation marks": lambda n: TEXT + (b"!" * 49 + b" ") * (n // 50),
    "almost tags": lambda n: TEXT + b"!DSPAM" * (n // 6) + b"X-DSPAM-Signature:" * (n // 18),
    "quoted headers": lambda n: TEXT + QUOTED + (b"<" + QUOTED + b">") * (n // 20),
    "words of Received": lambda n: b"Received: " + b"from " * (n // 5),
    "Received": lambda n: b"Received: from a [10.0.0.1]\n" * (n // 28),
    "results": lambda n: b"Authentication-Results: a; " + b"(;a=b " * (n // 6),
    "line ends": lambda n: TEXT + b"\r\n.\r\n\n." * (n // 7),
    "subjects": lambda n: b"Subject: a\n" * (n // 11),
    "signatures": lambda n: b"X-DSPAM-Signature: \n" * (n // 20) + b"\n!DSPAM: " * (n // 9),
    "lines of dashes": lambda n: nested(16) + b"--y\n" * (n // 4),
    "originals in originals": lambda n: b"Content-Type: message/rfc822\n\n" * (n // 30),
    "ends of a page": lambda n: HTML + b"</bod" * (n // 5),
    "names too long": lambda n: (b"H" * 120 + b": " + b" ".join([b"w" * 49] * 5) + b"\n") * (n // 380),
}


EVERYTHING = Rewrite(lines=(b"X-A: b",), subject_tag=b"[SPAM]", text_tag=b"This is spam.", signature="1,6b0")


def engine(message: bytes, tokenizer: str) -> None:
    view = view_classic.view(message, signature_pass=SignaturePass(cut_tags=True))
    tokens = tokenize(view, TokenOptions(tokenizer, url_context=True, whitelist=True, noise=True))
    counts = array("Q", bytes(8 * len(tokens)))
    options = ScoreOptions(frozenset({"graham", "burton", "robinson", "chi-square"}), noise=True)
    run = Run(tokens, Snapshot(Totals(3000, 3000), Hits(tokens.values, counts, counts)), options)
    run.weigh(Hits.none())
    assert len(run.learned.tokens.tokens) * 16 == len(run.signature)


def features(message: bytes) -> None:
    view = view_modern.view(message, signature_pass=SignaturePass(cut_tags=True), our_hosts=frozenset([b"a"]))
    tokens = tokenize(view, TokenOptions(view="modern", whitelist=True))
    assert len(view) <= len(tokens) <= 10_000


def structure(message: bytes) -> None:
    """The parts, a signature, a message with both changed."""
    mail = Message(message)
    assert len(mail.parts) <= mime.MAX_PARTS
    signature.find(mail)
    signature.every(mail)
    assert len(rewrite(mail, EVERYTHING)) > len(message) // 2


def surroundings(message: bytes) -> None:
    """The wire in and out, and the fields that we read from headers."""
    Collector().feed(message + END_OF_DATA)
    assert sum(map(len, stuffed(message))) >= len(message)
    mail = Message(message)
    for reader in (Fields.of, in_header, sender_domain, source):
        reader(mail)


WAYS: dict[str, Callable[[bytes], None]] = {
    "chain": lambda message: engine(message, "chain"),
    "osb": lambda message: engine(message, "osb"),
    "features": features,
    "structure": structure,
    "surroundings": surroundings,
}


def seconds(way: Callable[[bytes], None], message: bytes, enough: float = 1.0) -> float:
    """The shortest of at most three runs: what else runs on the machine can only add time."""
    shortest = math.inf
    for _ in range(3):
        start = time.process_time()
        way(message)
        shortest = min(shortest, time.process_time() - start)
        if shortest < enough:
            break
    return shortest


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS.keys())
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_four_megabytes_take_less_than_two_seconds_and_grow_linearly(
    bomb: Callable[[int], bytes], way: Callable[[bytes], None]
) -> None:
    large = seconds(way, bomb(4 * MILLION))
    assert large < 2
    if large > 0.2:  # below, there is nothing to compare
        small = min(seconds(way, bomb(MILLION)) for _ in range(2))
        assert min(large, seconds(way, bomb(4 * MILLION), enough=12 * small)) < 12 * small


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(FOLDED + b"boundary=x\n\n" + b"--x\nA: b\n\nhello\n" * 10_000, id="10,000 parts"),
        pytest.param(nested(1_000), id="1,000 deep"),
        pytest.param(TEXT + b"a" * 50 * MILLION, id="a line of 50 MB"),
        pytest.param(b"X: y z\n" * MILLION, id="a million headers"),
    ],
)
@pytest.mark.parametrize("way", [WAYS["osb"], structure], ids=["osb", "structure"])
def test_famous_bombs_take_less_than_two_seconds(message: bytes, way: Callable[[bytes], None]) -> None:
    assert seconds(way, message) < 2


def wrapped(times: int) -> bytes:
    """An original with a signature, attached to an original, ..., each of them encoded."""
    message = b"X-DSPAM-Signature: 1,6b0\n\n"
    for _ in range(times):
        head = b"Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n"
        message = head + base64.encodebytes(message)
    return message


def test_what_is_too_deep_is_not_looked_at() -> None:
    assert signature.find(Message(wrapped(signature.MAX_DEPTH))) == "1,6b0"
    assert signature.find(Message(wrapped(signature.MAX_DEPTH + 1))) is None
    (leaf,) = mime.parts(nested(mime.MAX_DEPTH + 5))
    assert leaf.type == b"multipart"


LIMITED = """
import resource, sys
from tests.unit.engine.test_bombs import BOMBS, engine

def address_space():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[0]) * resource.getpagesize()

messages = [bomb(1_000_000) for bomb in BOMBS.values()]
times = int(sys.argv[1])
limit = address_space() + times * 1_000_000
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
failed = 0
for message in messages:
    try:
        engine(message, "osb")
    except MemoryError:
        failed += 1
print(failed)
"""


def failures_within(times: int) -> int:
    """How many bombs of a megabyte fail for want of memory, with that many megabytes to spare."""
    root = Path(__file__).parents[3]
    run = subprocess.run(
        [sys.executable, "-c", LIMITED, str(times)],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return int(run.stdout)


def test_memory_is_bounded_by_the_length() -> None:
    assert failures_within(128) == 0


def test_want_of_memory_is_an_exception() -> None:
    assert failures_within(4) > 0
