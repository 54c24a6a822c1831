from __future__ import annotations

import base64
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspamd.mail import signature
from dspamd.mail.message import Message

ORIGINAL = b"From: a@example.org\nX-DSPAM-Signature: original1\n\ntext\n!DSPAM:text1!\n"


def found(raw: bytes, headers_only: bool = False) -> str | None:
    both = [signature.find(Message(form), headers_only) for form in (raw, raw.replace(b"\n", b"\r\n"))]
    assert both[0] == both[1]
    return both[0]


def part(body: bytes, *lines: bytes) -> bytes:
    return b"--b\n" + b"".join(line + b"\n" for line in lines) + b"\n" + body + b"\n"


def multipart(*parts: bytes, head: bytes = b"") -> bytes:
    return head + b"Content-Type: multipart/mixed; boundary=b\n\n" + b"".join(parts) + b"--b--\n"


def test_the_parts_of_an_id() -> None:
    assert signature.new_id(0x4C873D4A, 27473, 1062099999, 168729) == "4c873d4a274731062016872"
    assert signature.new_id(0x4C873D4A, 1, 2, 3, uid=12) == "12,4c873d4a123"
    assert signature.valid(signature.new_id(0xFFFFFFFF, 4194304, 2**31, 2**31, uid=99999))
    assert len(signature.new_id(0xFFFFFFFF, 4194304, 2**31, 2**31, uid=999999)) == 32


@pytest.mark.parametrize("id_", ["a", "1,2b", "a" * 127])
def test_an_id_is_fit_for_a_file_name(id_: str) -> None:
    assert signature.valid(id_)


@pytest.mark.parametrize("id_", ["", "a" * 128, "../x", "a b", "a\n", "é"])
def test_anything_else_is_no_id(id_: str) -> None:
    assert not signature.valid(id_)


@pytest.mark.parametrize(
    "raw",
    [
        b"X-DSPAM-Signature: abc1\n\nbody\n",
        b"x-dspam-signature:abc1\n\nbody\n",
        b"X-DSPAM-Signature:\n abc1\n\nbody\n",
        b"X-DSPAM-Signature: !DSPAM:abc1!\n\nbody\n",
        b"A: b\n\nbody\n!DSPAM:abc1!\n",
        b"A: b\n\nbody\n> > !DSPAM:abc1!\n",
        b"A: b\n\n!DSPAM:abc1",
        b"A: b\n\nbody\n> X-DSPAM-Signature: abc1\n> \n> text\n",
        b"A: b\n\n*X-DSPAM-Signature: * abc1\n",
        b"Content-Type: text/html\n\n<p>!DSPAM:abc1!</p>",
        b"Content-Type: text/html\n\n<tr><th>X-DSPAM-Signature: </th>\n<td>abc1</td></tr>",
        b"A: b\n\nX-DSPAM-Signature:<X-DSPAM-Signature:>abc1\n",
        b"A: b\n\nX-DSPAM-Signature: (none)\nX-DSPAM-Signature: abc1\n",
        b"Content-Type: text/html\n\n<b>X-DSPAM-Signature:</b>&nbsp;abc1<br>",
        b"Content-Transfer-Encoding: quoted-printable\n\nlong line !DSPAM:ab=\nc1!\n",
        b"Content-Transfer-Encoding: base64\n\n" + base64.encodebytes(b"text\n\n!DSPAM:abc1!\n\n"),
        multipart(part(b"hello"), part(b"!DSPAM:abc1!", b"Content-Type: text/plain")),
        multipart(part(base64.encodebytes(b"x !DSPAM:abc1!"), b"Content-Transfer-Encoding: base64")),
        b"Content-Type: message/rfc822\n\nA: b\n\n!DSPAM:abc1!\n",
        b"Content-Type: application/octet-stream\n\nx\n!DSPAM:abc1!\n",
        b"Content-Type: multipart/mixed; boundary=lost\n\npreamble !DSPAM:abc1!\n",
        b"no headers !DSPAM:zz!\n\n!DSPAM:abc1!",
    ],
)
def test_found_wherever_mail_programs_leave_it(raw: bytes) -> None:
    assert found(raw) == "abc1"


MESSAGE, FILE = b"Content-Type: message/rfc822", b"Content-Type: application/octet-stream"
BASE64 = b"Content-Transfer-Encoding: base64"
FORWARDED = part(ORIGINAL, MESSAGE).replace(b"--b", b"--inner")


@pytest.mark.parametrize(
    "attached",
    [
        part(ORIGINAL, MESSAGE),
        part(ORIGINAL, MESSAGE, b"Content-Disposition: attachment"),
        part(base64.encodebytes(ORIGINAL), MESSAGE, BASE64),
        part(base64.encodebytes(ORIGINAL), FILE + b'; name="Fwd.EML"', BASE64),
        part(ORIGINAL, FILE, b"Content-Disposition: attachment; filename=a.eml"),
        part(b"Content-Type: multipart/mixed; boundary=inner\n\n" + FORWARDED + b"--inner--\n", MESSAGE),
    ],
)
def test_found_in_attached_originals(attached: bytes) -> None:
    assert found(multipart(part(b"please learn"), attached)) == "original1"
    assert found(multipart(part(b"please learn"), attached), headers_only=True) == "original1"


def test_the_outermost_message_wins() -> None:
    attached = part(ORIGINAL, MESSAGE)
    assert found(multipart(part(b"!DSPAM:outer1!"), attached)) == "outer1"
    assert found(multipart(part(b"!DSPAM:outer1!"), attached, head=b"X-DSPAM-Signature: top1\n")) == "top1"


def test_a_header_wins_over_a_tag_and_a_tag_over_a_quoted_header() -> None:
    assert found(b"X-DSPAM-Signature: top1\n\n!DSPAM:tag1!\n") == "top1"
    assert found(b"A: b\n\nX-DSPAM-Signature: quoted1\n\n!DSPAM:tag1!\n") == "tag1"


def test_the_last_header_and_the_last_part_win_and_within_a_part_the_first() -> None:
    assert found(b"X-DSPAM-Signature: forged\nX-DSPAM-Signature: ours1\n\nx") == "ours1"
    assert found(multipart(part(b"!DSPAM:a1!"), part(b"!DSPAM:b1! !DSPAM:b2!"), part(b"none"))) == "b1"
    originals = [part(ORIGINAL.replace(b"1", n), MESSAGE) for n in (b"1", b"2")]
    assert found(multipart(*originals)) == "original2"


@pytest.mark.parametrize(
    "raw",
    [
        b"A: b\n\nno signature\n",
        b"X-DSPAM-Signature: ../../etc/passwd\n\nx",
        b"X-DSPAM-Signature:\n\nx",
        b"A: b\n\n!DSPAM:" + b"a" * 128 + b"!",
        b"A: b\n\n!DSPAM:!",
        multipart(part(base64.encodebytes(b"!DSPAM:abc1!"), b"Content-Type: image/png", BASE64)),
        b"",
    ],
)
def test_what_is_no_id_is_passed_over(raw: bytes) -> None:
    assert found(raw) is None


def test_a_bad_id_does_not_hide_a_good_one() -> None:
    assert found(b"X-DSPAM-Signature: good1\nX-DSPAM-Signature: b/ad\n\nx") == "good1"
    assert found(b"A: b\n\n!DSPAM:" + b"a" * 128 + b"! !DSPAM:good1!") == "good1"


def test_headers_only_passes_over_texts() -> None:
    assert found(b"A: b\n\n!DSPAM:tag1!\nX-DSPAM-Signature: quoted1\n", headers_only=True) is None


def test_originals_in_originals_are_searched_to_a_bounded_depth() -> None:
    def nested(depth: int) -> bytes:
        return b"Content-Type: message/rfc822\n\n" * depth + b"X-DSPAM-Signature: deep1\n\nx"

    assert found(nested(signature.MAX_DEPTH), headers_only=True) == "deep1"
    assert found(nested(signature.MAX_DEPTH + 1), headers_only=True) is None


@given(st.binary())
def test_whatever_is_found_is_an_id(raw: bytes) -> None:
    for start in (b"", b"X-DSPAM-Signature:", b"A: b\n\n!DSPAM:", b"A: b\n\nX-DSPAM-Signature:"):
        id_ = signature.find(Message(start + raw))
        assert id_ is None or signature.valid(id_)


@given(st.from_regex(re.compile("[0-9A-Za-z,]{1,127}"), fullmatch=True), st.binary())
def test_a_tag_is_found_behind_anything(id_: str, text: bytes) -> None:
    text = text.replace(b"!DSPAM:", b"").replace(b"X-DSPAM", b"")
    assert signature.find(Message(b"A: b\n\n" + text + b"\n" + signature.tag(id_) + b"\n")) == id_


def test_every_id_of_a_forwarded_mail() -> None:
    attached = part(b"x-dspam-signature: inner1\n\n!DSPAM:tag2! X-DSPAM-Signature: quoted2", MESSAGE)
    raw = multipart(part(b"!DSPAM:tag1! !DSPAM:top1!"), attached, head=b"X-DSPAM-Signature: top1\n")
    message = Message(raw)
    assert signature.every(message) == ["top1", "tag1", "inner1", "quoted2", "tag2"]
    assert signature.every(message, in_texts=False) == ["top1", "inner1", "quoted2"]
    assert signature.every(message, in_headers=False) == ["tag1", "top1", "tag2"]
    assert signature.every(Message(b"A: b\n\nnothing\n")) == []
    broken = Message(b"Content-Type: multipart/mixed; boundary=lost\n\npreamble !DSPAM:abc1!\n")
    assert signature.every(broken) == ["abc1"]
    assert signature.every(broken, in_texts=False) == []


def about(raw: bytes) -> list[str | None]:
    """The ids of the messages that a report is about; None for one that has none."""
    reported = signature.reported(Message(raw))
    ids = [each.signature for each in reported]
    assert (signature.find(Message(raw)) or None) == next(filter(None, reversed(ids)), None)
    return ids


def original(id_: bytes) -> bytes:
    return part(ORIGINAL.replace(b"original1", id_).replace(b"!DSPAM:text1!", b"words"), MESSAGE)


NO_ID = part(b"Subject: x\n\nwords", MESSAGE)
DIGEST = b"Content-Type: multipart/digest; boundary=b\n\n"


@pytest.mark.parametrize(
    ("raw", "ids"),
    [
        (multipart(part(b"please learn"), original(b"a1"), original(b"b1")), ["a1", "b1"]),
        (multipart(original(b"a1"), original(b"b1"), head=b"X-DSPAM-Signature: top1\n"), ["top1"]),
        (multipart(part(b"!DSPAM:outer1!"), original(b"a1")), ["outer1"]),
        (multipart(original(b"a1"), NO_ID, original(b"b1")), ["a1", None, "b1"]),
        (multipart(NO_ID, NO_ID), [None, None]),
        (
            DIGEST + b"--b\n\nX-DSPAM-Signature: a1\n\nx\n--b\n\nX-DSPAM-Signature: b1\n\ny\n--b--\n",
            ["a1", "b1"],
        ),
        (b"Content-Type: message/rfc822\n\n" + multipart(original(b"a1"), original(b"b1")), ["a1", "b1"]),
        (b"Content-Type: message/rfc822\n\n" + multipart(NO_ID), [None]),
        (b"Content-Type: multipart/mixed; boundary=lost\n\n!DSPAM:abc1!\n", ["abc1"]),
        (b"Subject: Fwd\n\nno signature\n", []),
    ],
)
def test_a_report_is_about_each_message_attached_to_it(raw: bytes, ids: list[str | None]) -> None:
    assert about(raw) == ids


def test_a_report_brings_the_originals_as_they_were() -> None:
    raw = multipart(part(b"please learn"), original(b"a1"), NO_ID)
    assert [each.content for each in signature.reported(Message(raw))] == [
        b"From: a@example.org\nX-DSPAM-Signature: a1\n\ntext\nwords\n\n",
        b"Subject: x\n\nwords\n",
    ]


def test_a_report_is_about_a_thousand_messages_at_most() -> None:
    deep = multipart(*[original(b"a1")] * 900)
    head = b"Content-Type: multipart/mixed; boundary=outer\n\n"
    two = head + b"".join(b"--outer\nContent-Type: message/rfc822\n\n" + deep + b"\n" for _ in "ab")
    assert len(signature.reported(Message(two + b"--outer--\n"))) == 1000
