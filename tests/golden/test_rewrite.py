"""Messages after the pass, byte by byte as the original wrote them.

The statistics are not run here: result, probability, confidence, id and factors
are taken from the recorded output.  Where we write something else on purpose, one
of the functions below turns the recorded output into ours and says why.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import pytest

from dspamd.engine.model import Factor, Result
from dspamd.filter.verdict import Verdict, header_lines
from dspamd.mail import headers, mime, signature
from dspamd.mail.message import Message
from dspamd.mail.rewrite import Rewrite, rewrite
from tests.golden.cases import Case, cases
from tests.golden.data import rows

SETUP, *ROWS = rows("rewrite.jsonl")
MESSAGES: dict[str, bytes] = {name: text.encode("latin-1") for name, text in SETUP["messages"].items()}
CASES = [row for row in ROWS if "message" in row]

EMBEDS = {"message", "message-tagboth", "attachment", "no-prefs"}  # signatureLocation is not "headers"
TAGS_TEXT = {"message-tagboth", "headers-tagboth"}  # tagSpam and tagNonspam are on
TAGS_SUBJECT = {"spamsubject-long": b"***** JUNK MAIL"}  # spamSubject, as cut to 15 bytes; else [SPAM]


def given(row: dict[str, Any]) -> bytes:
    """The input: `Broken lineStripping` removes carriage returns on arrival."""
    raw = MESSAGES[row["message"]]
    return raw.replace(b"\r\n", b"\n") if row["id"] == "linestripping" else raw


def ours(row: dict[str, Any], recorded: bytes) -> bytes:
    verdict = verdict_of(row, Message(recorded))
    tagged = TAGS_SUBJECT.get(row["id"], b"[SPAM]")
    if not verdict.result.spam or tagged not in recorded:  # spamAction was not "tag" in this row
        tagged = b""
    changes = Rewrite(
        lines=tuple(header_lines(verdict)),
        subject_tag=tagged,
        text_tag=text_tag(verdict) if row["id"] in TAGS_TEXT else b"",
        signature=verdict.signature if row["id"] in EMBEDS else None,
    )
    return rewrite(Message(given(row)), changes)


def text_tag(verdict: Verdict) -> bytes:
    text: str = SETUP["msgtag.spam" if verdict.result.spam else "msgtag.nonspam"]
    return text.encode()


def verdict_of(row: dict[str, Any], recorded: Message) -> Verdict:
    def told(name: str) -> str | None:
        values = recorded.values(name)
        return values[-1].decode("latin-1") if values else None

    name, confidence = told("X-DSPAM-Result") or "", float(told("X-DSPAM-Confidence") or "nan")
    odds = re.match(r"1 in (\d+) ", told("X-DSPAM-Improbability") or "")
    if odds:  # the printed confidence has too few digits to give the odds
        share = (int(odds[1]) - 1) / 100
        assert f"{share / (1 + share):.4f}" == f"{confidence:.4f}"
        confidence = share / (1 + share)
    return Verdict(
        Result(name == "Spam", name, float(told("X-DSPAM-Probability") or "nan"), confidence),
        processed=datetime.strptime(told("X-DSPAM-Processed") or "", "%a %b %d %H:%M:%S %Y"),
        signature=told("X-DSPAM-Signature"),
        factors=factors_of(told("X-DSPAM-Factors")),
        improbability=odds is not None,
    )


def factors_of(header: str | None) -> tuple[Factor, ...] | None:
    if header is None:
        return None
    count, *factors = header.split(",\t")
    assert len(factors) == int(count)
    pairs = [factor.rpartition(", ") for factor in factors]
    return tuple(Factor(name.encode(), float(value)) for name, _, value in pairs)


# --- our improvements ----------------------------------------------------------------------


def one_style_of_line_ends(raw: bytes, recorded: bytes) -> bytes:
    """The original puts LF lines into a CR LF message; ours have the message's line ends."""
    return recorded.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") if b"\r\n" in raw else recorded


def epilogue_as_it_came(raw: bytes, recorded: bytes) -> bytes:
    """Q-M8: the original takes an epilogue for headers and adds `: `, and an empty line after a multipart."""
    for end in (b"--BB--\n", b"--outer--\n"):
        if end in raw:
            return recorded[: recorded.index(end)] + raw[raw.index(end) :]
    return recorded.replace(b"--SS--\n\n", b"--SS--\n", 1) if recorded.endswith(b"--SS--\n\n") else recorded


def signed_stays_closed(raw: bytes, recorded: bytes) -> bytes:
    """As Q-M8: no empty line behind our own wrapping; its boundary comes from the id, not from the pid."""
    match = re.search(rb"DSPAM_MULTIPART_EX-\d+", recorded)
    if match is None:
        return recorded
    id_ = signature.find(Message(recorded))
    assert id_ is not None
    return recorded.replace(match[0], b"DSPAM_MULTIPART_EX-" + id_.encode()).removesuffix(b"\n")


def foreign_headers_dropped(raw: bytes, recorded: bytes) -> bytes:
    """Q-M17: we remove the X-DSPAM headers of incoming mail, so that no sender can forge a verdict."""
    for line in re.findall(rb"(?m)^X-DSPAM-[^\n]*\n", Message(raw).head):
        recorded = recorded.replace(line, b"", 1)
    return recorded


def untouched_subject(raw: bytes, recorded: bytes) -> bytes:
    """The original rewrites all headers, so that an empty one gets a blank; ours stay as they came."""
    return recorded.replace(b"\nSubject: \n", b"\nSubject:\n") if b"\nSubject:\n" in raw else recorded


def texts_for_people_only(raw: bytes, recorded: bytes) -> bytes:
    """The original puts text into whatever a message consists of, programs and attached messages too."""
    if mime.media_type(Message(raw).head)[0] not in (b"application", b"message"):
        return recorded
    return recorded[: headers.block_end(recorded)] + raw[headers.block_end(raw) :]


BETTER = (
    one_style_of_line_ends,
    epilogue_as_it_came,
    signed_stays_closed,
    foreign_headers_dropped,
    untouched_subject,
    texts_for_people_only,
)


def expected(raw: bytes, recorded: bytes) -> bytes:
    for better in BETTER:
        recorded = better(raw, recorded)
    return recorded


def encoding_of(raw: bytes) -> bytes:
    values = Message(raw).values("Content-Transfer-Encoding")
    return values[0] if values else b""


def name_of(row: dict[str, Any]) -> str:
    return f"{row['id']}-{row['state']}-{row['message']}"


RE_ENCODED = [
    row
    for row in CASES
    if row["id"] in EMBEDS | TAGS_TEXT and encoding_of(given(row)) in (b"base64", b"quoted-printable")
]
SAME = [row for row in CASES if row not in RE_ENCODED]


@pytest.mark.parametrize("row", SAME, ids=name_of)
def test_written_as_the_original_wrote_it(row: dict[str, Any]) -> None:
    recorded = row["output"].encode("latin-1")
    assert ours(row, recorded) == expected(given(row), recorded)


@pytest.mark.parametrize("row", RE_ENCODED, ids=name_of)
def test_encoded_parts_stay_encoded(row: dict[str, Any]) -> None:
    """Q-M9: the original sends the decoded text as 8bit; ours is encoded as its header says."""
    recorded, encoding = row["output"].encode("latin-1"), encoding_of(given(row))
    written, before = Message(ours(row, recorded)), Message(recorded)
    text = before.raw[before.body_start :]
    if encoding_of(recorded) == encoding:  # with signatureLocation=headers the original forgets the text tag
        text = mime.decoded(encoding, text) + b"\n" + text_tag(verdict_of(row, before))
    assert mime.decoded(encoding, written.raw[written.body_start :]) == text
    head = before.head.replace(b"Encoding: 8bit", b"Encoding: " + encoding)
    assert written.head == head
    assert written.raw.isascii()
    assert max(map(len, written.raw[written.body_start :].split(b"\n"))) <= 76
    assert headers.block_end(written.raw) == len(written.head)


def test_nothing_recorded_is_left_out() -> None:
    assert len(CASES) == 272
    assert {row["message"] for row in RE_ENCODED} == {"html-b64", "html-qp", "plain-b64", "plain-qp"}


@pytest.mark.parametrize("case", cases("rewrite"), ids=lambda case: case.name)
def test_case(case: Case) -> None:
    facts = case.facts
    if "recorded" in facts:
        id_, state, message = facts["recorded"]
        (row,) = (row for row in CASES if (row["id"], row["state"], row["message"]) == (id_, state, message))
        assert case.given == given(row)
        assert case.wanted == expected(case.given, row["output"].encode("latin-1"))
    changes = Rewrite(
        lines=tuple(line.encode("latin-1") for line in facts["lines"]),
        subject_tag=facts["subject_tag"].encode("latin-1"),
        text_tag=facts["text_tag"].encode("latin-1"),
        signature=facts["signature"] or None,
    )
    assert rewrite(Message(case.given), changes) == case.wanted
