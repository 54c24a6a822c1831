"""The letter that lists a quarantine."""

from __future__ import annotations

from pathlib import Path

import pytest

from dspamd.delivery import digest
from dspamd.delivery.digest import Kept, compose, read
from dspamd.mail.kept import entry
from tests.support.day import EARLIER

NOW = EARLIER.timestamp()
TODAY, ID = "Thu Nov  5 2026", "6b000a80122151437417508"
PILLS = Kept(TODAY, "x@spam.example", "Cheap pills", ID)


def spam(*lines: str) -> bytes:
    return "\r\n".join([*lines, "", "From here on: text\r\nSubject: no header\r\n"]).encode()


def test_a_mailbox_is_read_as_it_was_written(tmp_path: Path) -> None:
    mailbox = tmp_path / "bob.mbox"
    first = spam("From: x@spam.example", "Subject: Cheap", " pills", f"X-DSPAM-Signature: {ID}")
    second = spam("From ann", "X-DSPAM-Signature: ../../etc")
    mailbox.write_bytes(
        entry(first, EARLIER.ctime()) + entry(second, EARLIER.ctime()) + b"From QUARANTINE torn"
    )
    assert read(mailbox) == [
        PILLS,
        Kept("", "", "<None Specified>", ""),
        Kept("", "", "<None Specified>", ""),
    ]


def test_no_mailbox_is_an_empty_one(tmp_path: Path) -> None:
    assert read(tmp_path / "bob.mbox") == []


@pytest.mark.parametrize(
    ("subject", "shown"),
    [
        ("=?utf-8?Q?Gr=C3=BC=C3=9Fe?= to you", "Grüße to you"),
        ("=?utf-8?Q?two=0D=0ABcc:_lines?=", "two Bcc: lines"),
        ("=?no-such-code?Q?=E4?=", "=?no-such-code?Q?=E4?="),
        ("=?utf-8?B?broken?=", "=?utf-8?B?broken?="),
        ("\x1b[2J\x00zero", "[2J zero"),
        ("bare \udce4 byte", "bare � byte"),
    ],
)
def test_subjects_are_decoded_to_one_line_of_text(tmp_path: Path, subject: str, shown: str) -> None:
    mailbox = tmp_path / "bob.mbox"
    mailbox.write_bytes(
        entry(b"Subject: " + subject.encode("utf-8", "surrogateescape") + b"\n\nx\n", EARLIER.ctime())
    )
    assert [kept.subject for kept in read(mailbox)] == [shown]


def test_places_of_the_text_are_filled_in() -> None:
    old = PILLS._replace(day="Wed Nov  4 2026", subject="Money $u")
    letter = compose(b"To: $u\nSubject: $d of $n\n\n$l\n", "bob", [old, PILLS], url="", clock=lambda: NOW)
    date, *lines = letter.decode().splitlines()
    assert date.startswith("Date: Thu, 05 Nov 2026 09:16:01 ")
    assert lines == [
        "To: bob",
        "Subject: 1 of 2",
        "",
        f"<tr><td>{TODAY}</td><td>x@spam.example</td><td>Cheap pills</td></tr>",
        "<tr><td>Wed Nov  4 2026</td><td>x@spam.example</td><td>Money $u</td></tr>",
    ]


def test_links_lead_to_the_message_and_to_its_release() -> None:
    letter = compose(b"$l", "bob+x@example.org", [PILLS], url="https://example.org/dspam/")
    link = f"dspam.cgi?template=quarantine&amp;user=bob%2Bx%40example.org&amp;signatureID={ID}&amp;command="
    assert f'<a href="https://example.org/dspam/{link}viewMessage">Cheap pills</a>'.encode() in letter
    assert f'<a href="https://example.org/dspam/{link}processFalsePositive">'.encode() in letter


def test_spam_puts_nothing_but_text_into_the_letter() -> None:
    evil = PILLS._replace(subject="<script>alert('x')</script>", sender='"><img src=x>', signature="")
    letter = compose(b"$l", "bob", [evil], url="https://example.org")
    assert b"<script>" not in letter
    assert b"<img" not in letter
    assert b"href" not in letter


def test_a_full_quarantine_makes_no_endless_letter() -> None:
    many = [PILLS._replace(subject="x" * 900)] * 1000
    letter = compose(b"$n $l", "bob", many, url="https://example.org")
    assert b"\n1000 <tr>" in letter
    assert letter.count(b"<tr>") == digest.LIMIT
    assert max(map(len, letter.splitlines())) < 998
