from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspamd.engine.model import Factor, Result, Source
from dspamd.filter.verdict import Verdict, header_lines, summary_line, twin_lines, unfiltered_lines
from tests.support.day import EARLIER

SPAM = Result(True, "Spam", 1.0, 0.9899)
WHITELISTED = Result(False, "Whitelisted", 0.0, 0.9899)


def test_all_headers_in_the_order_of_the_original() -> None:
    factors = (Factor(b"free+money", 0.99), Factor(b"100%", 0.01))
    verdict = Verdict(SPAM, EARLIER, signature="6b0", user="bob", factors=factors, improbability=True)
    assert header_lines(verdict) == [
        b"X-DSPAM-Result: Spam",
        b"X-DSPAM-Processed: Thu Nov  5 09:16:01 2026",
        b"X-DSPAM-Confidence: 0.9899",
        b"X-DSPAM-Improbability: 1 in 9802 chance of being ham",
        b"X-DSPAM-Probability: 1.0000",
        b"X-DSPAM-Signature: 6b0",
        b"X-DSPAM-User: bob",
        b"X-DSPAM-Factors: 2,",
        b"\tfree+money, 0.99000,",
        b"\t100%25, 0.01000",
    ]


def test_a_correction_tells_the_class_alone() -> None:
    verdict = Verdict(SPAM, EARLIER, Source.ERROR, signature="6b0", improbability=True)
    assert header_lines(verdict) == [b"X-DSPAM-Reclassified: Spam"]


@pytest.mark.parametrize(
    ("result", "score", "stars"),
    [
        (SPAM, "9.9", 9),
        (Result(True, "Spam", 0.5123, 0.1), "5.1", 5),
        (Result(True, "Virus", 0.3, 1.0), "5.0", 5),
        (Result(False, "Innocent", 0.89, 0.1), "4.9", 4),
        (Result(False, "Innocent", 0.234, 0.5), "2.3", 2),
        (WHITELISTED, "0.0", 0),
    ],
)
def test_the_fields_of_spamassassin_agree_with_the_verdict(result: Result, score: str, stars: int) -> None:
    word = "Yes" if result.spam else "No"
    expected = ["X-Spam-Flag: YES"] * result.spam + [
        f"X-Spam-Score: {score}",
        f"X-Spam-Status: {word}, score={score} required=5.0 tests=DSPAM_{result.name.upper()}",
    ]
    expected += [f"X-Spam-Level: {'*' * stars}"] * bool(stars)
    assert twin_lines(Verdict(result)) == [line.encode() for line in expected]


@pytest.mark.parametrize("source", [Source.CORPUS, Source.INOCULATION])
def test_taught_mail_is_not_said_to_be_processed(source: Source) -> None:
    assert header_lines(Verdict(WHITELISTED, EARLIER, source)) == [
        b"X-DSPAM-Result: Whitelisted",
        b"X-DSPAM-Confidence: 0.9899",
        b"X-DSPAM-Probability: 0.0000",
    ]


@pytest.mark.parametrize(
    ("confidence", "odds"), [(1.0, 98689409), (0.9999999, 98689409), (0.5, 101), (0.0, 1)]
)
def test_odds_in_single_precision(confidence: float, odds: int) -> None:
    verdict = Verdict(Result(False, "Innocent", 0.0, confidence), improbability=True)
    assert b"X-DSPAM-Improbability: 1 in %d chance of being spam" % odds in header_lines(verdict)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"a b~", b"a b~"),
        (b"caf\xe9%\n\x7f", b"caf%e9%25%0a%7f"),
        (b"x" * 113, b"x" * 112),
        (b"\xff" * 40, b"%ff" * 38),
    ],
)
def test_names_of_factors_are_printable_and_bounded(name: bytes, shown: bytes) -> None:
    assert header_lines(Verdict(SPAM, factors=(Factor(name, 0.5),)))[-1] == b"\t" + shown + b", 0.50000"


def test_no_factors_are_a_header_too() -> None:
    assert header_lines(Verdict(SPAM, factors=()))[-1] == b"X-DSPAM-Factors: 0"


@given(st.lists(st.binary(max_size=120), min_size=60, max_size=300))
def test_a_cut_list_of_factors_leaves_no_empty_line(names: list[bytes]) -> None:
    verdict = Verdict(SPAM, factors=tuple(Factor(name, 0.99) for name in names))
    lines = header_lines(verdict)[3:]
    assert len(b"\n".join(lines)) <= 10239
    assert all(line.strip() for line in lines)
    assert all(line.startswith(b"\t") for line in lines[1:])


def test_summary_lines() -> None:
    line = summary_line("bob", Verdict(WHITELISTED, signature="6b000c46"))
    assert line == (
        b'X-DSPAM-Result: bob; result="Innocent"; class="Whitelisted"; '
        b"probability=0.0000; confidence=0.99; signature=6b000c46"
    )
    line = summary_line("bob smith", Verdict(Result(True, "Virus", 1.0, 1.0)))
    assert line == (
        b'X-DSPAM-Result: bob smith; result="Spam"; class="Virus"; '
        b"probability=1.0000; confidence=1.00; signature=N/A"
    )


def test_unfiltered_mail_says_why() -> None:
    assert unfiltered_lines("storage: down") == [
        b"X-DSPAM-Result: Unfiltered",
        b"X-DSPAM-Reason: storage: down",
    ]


@given(st.text(st.characters(codec="utf-8")) | st.just("a\r\nX-DSPAM-Result: Innocent") | st.just("\udcff"))
def test_no_name_can_add_a_header(name: str) -> None:
    told = [
        *header_lines(Verdict(SPAM, user=name)),
        *unfiltered_lines(name),
        summary_line(name, Verdict(SPAM)),
    ]
    assert all(not set(line) & set(b"\r\n\0") for line in told)
