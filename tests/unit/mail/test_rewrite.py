from __future__ import annotations

import base64
from email.header import decode_header, make_header

import dkim
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspamd.mail import headers, mime, signature
from dspamd.mail.message import Message
from dspamd.mail.rewrite import Rewrite, rewrite

LINES = (b"X-DSPAM-Result: Spam", b"X-DSPAM-Factors: 1,", b"\tx, 0.99000")
STAMP = Rewrite(LINES)
MIXED = b"Content-Type: multipart/mixed; boundary=b\n\n"
DAMAGED = b"Content-Type: multipart/mixed; boundary=b\nThis is a message with many parts.\n"
EMBED = Rewrite(LINES, signature="abc1")

# A key made for this test alone.
KEY = b"""\
-----BEGIN RSA PRIVATE KEY-----
MIICXQIBAAKBgQDMCZc8nEXNN951x/aHWSAlkHoPRMfNSN/HfOR6+dkreWebm2jC
tVRR/9JmZ8DgzWfUxj5H2ZioL/9sA3Ku8Noagse7YiefolTDFtRDgB5pbl/kOell
LG33hyZRAaE9tcbtqz2+Q9smARADYRbhUraVoWQ0nZ6aD4EggR4dJiEnxQIDAQAB
AoGBAKPuhLtm11I1tB+vhGxkeEaWGOuRmHJgPaN6vdvsR8b9KPhF2dquc8vaHYK3
k6lKf0Td7oYt1tAymCaBcrAJxUEccAQdYRALPGGbG3UYaHE1qPQW4Ns+vSiDHw/T
myUaFG8psYNFRe2MBmcgexKRUJSzA+pjgusm6rSDkkCu9kc1AkEA/Qn012qvmUv+
iILoaPBLXcd3HqAUoxjYvPofICNI3zhERYuoBWajqeTM0Ia1OF0albzojMsR/BrX
eDicYMXiWwJBAM5s1n8fS58BWDPh6W0jwP1E0YOY6/TthySQ43r/8aIQ96wVAEn4
ynYSJRAKIFhaEGI3K+cRBVUCvy+N2QRe+F8CQQDeTiX+L2uQiXRYqHHY5+u+uyQL
Euaul4CrHi/EQ1udSMiqNNTr0c3N0Aak2QRTPXDCxtGkCDCHxWkx5MJ2PsPrAkBH
NNYdDd+ZHu6dHw3VfyLgeu/G9GZYm+MlYvGFiWqB3FaDPs9VtQOqDQJJ8SRNNew2
5Q846u8q7wKiVc0Jq/UDAkBRd4bs7uUIGS0vMdWBGoQW2Rkq2lCLM3xDz2XJpLV4
n4pBcFXwZUzYQ1PVjevIm2uMai4OTCEfbg9DLGEyvv99
-----END RSA PRIVATE KEY-----
"""
PUBLIC_KEY = (
    b"MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDMCZc8nEXNN951x/aHWSAlkHoPRMfNSN/HfOR6+dkreWebm2jCtVRR/9JmZ8Dg"
    b"zWfUxj5H2ZioL/9sA3Ku8Noagse7YiefolTDFtRDgB5pbl/kOellLG33hyZRAaE9tcbtqz2+Q9smARADYRbhUraVoWQ0nZ6aD4Eg"
    b"gR4dJiEnxQIDAQAB"
)

anything = st.lists(
    st.sampled_from(
        [
            b"\r\n",
            b"\n",
            b"A: b",
            b"X-DSPAM-Result: x",
            b"Content-Type: text/html",
            b"</body>",
            b" ",
            b"--b",
            b"\0\xff",
        ]
    )
).map(b"".join)
# test_message.py tests that the line of a quarantine is dropped.
mails = (st.binary() | anything).filter(lambda raw: not raw.startswith(b"From QUARANTINE"))


def stamped(raw: bytes, changes: Rewrite = STAMP) -> bytes:
    return rewrite(Message(raw), changes)


def decoded_body(raw: bytes) -> bytes:
    (part,) = mime.parts(raw)
    return mime.decoded(part.encoding, raw[part.body : part.end])


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"A: b\n\nx", b"A: b\nX-DSPAM-Result: Spam\nX-DSPAM-Factors: 1,\n\tx, 0.99000\n\nx"),
        (b"A: b\r\n\r\nx", b"A: b\r\nX-DSPAM-Result: Spam\r\nX-DSPAM-Factors: 1,\r\n\tx, 0.99000\r\n\r\nx"),
        (b"A: b", b"A: b\nX-DSPAM-Result: Spam\nX-DSPAM-Factors: 1,\n\tx, 0.99000\n"),
        (b"\nx", b"X-DSPAM-Result: Spam\nX-DSPAM-Factors: 1,\n\tx, 0.99000\n\nx"),
        (b"", b"X-DSPAM-Result: Spam\nX-DSPAM-Factors: 1,\n\tx, 0.99000\n"),
    ],
)
def test_lines_go_to_the_end_of_the_top_block(raw: bytes, expected: bytes) -> None:
    assert stamped(raw) == expected


def test_foreign_headers_go_and_the_text_about_them_stays() -> None:
    raw = b"x-dspam-result: Innocent\nA: b\nX-DSPAM-Evil:\n folded\n\nX-DSPAM-Result: quoted\n"
    assert stamped(raw, Rewrite()) == b"A: b\n\nX-DSPAM-Result: quoted\n"
    assert stamped(raw, Rewrite(drop_foreign=False)) == raw


def test_twins_that_came_in_go_only_where_they_are_ours() -> None:
    theirs = b"x-spam-flag : NO\r\nX-Spam-Status: No,\r\n\tscore=-9\r\n"
    others = b"X-Spam-Report: c\r\n\r\nX-Spam-Flag: NO\r\n"
    raw = theirs + others
    assert stamped(raw, Rewrite(drop_twins=True)) == others
    assert stamped(raw, Rewrite()) == raw


@given(mails)
def test_nothing_asked_for_changes_nothing(raw: bytes) -> None:
    assert stamped(raw, Rewrite(drop_foreign=False)) == raw


@given(mails)
def test_headers_are_inserted_into_otherwise_identical_bytes(raw: bytes) -> None:
    message = Message(raw)
    changed = stamped(raw, Rewrite(LINES, drop_foreign=False))
    added = message.newline.join(LINES) + message.newline
    if message.head and not message.head.endswith(b"\n"):
        added = message.newline + added
    assert changed == raw[: message.head_end] + added + raw[message.head_end :]


@given(mails)
def test_our_headers_drop_out_again(raw: bytes) -> None:
    clean = stamped(raw, Rewrite())
    if Message(clean).head.endswith(b"\n"):
        assert stamped(stamped(clean), Rewrite()) == clean


@given(mails)
def test_an_embedded_signature_comes_back(raw: bytes) -> None:
    message = Message(stamped(raw, EMBED))
    if message.first("Content-Type") is None and b"X-DSPAM-Signature" not in raw:
        assert signature.find(message) == "abc1"


def test_dkim_signatures_survive() -> None:
    raw = (
        b"From: a@example.org\r\nTo: b@example.net\r\nSubject:  folded\r\n  subject\r\n"
        b"X-DSPAM-Result: Innocent\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
        b"body \xc3\xa4 with  blanks \r\n\r\n..dots\r\n"
    )
    signed = dkim.sign(
        raw, b"test", b"example.org", KEY, canonicalize=(b"simple", b"simple"),
        include_headers=[b"From", b"To", b"Subject"],
    ) + raw  # fmt: skip

    def dns(name: bytes, timeout: int = 5) -> bytes:
        return b"v=DKIM1; k=rsa; p=" + PUBLIC_KEY

    assert dkim.verify(signed, dnsfunc=dns)
    assert dkim.verify(stamped(signed), dnsfunc=dns)
    assert not dkim.verify(stamped(signed, Rewrite(LINES, subject_tag=b"[SPAM]")), dnsfunc=dns)


def test_text_and_signature_go_behind_the_text() -> None:
    assert stamped(b"A: b\n\nx\n", Rewrite(text_tag=b"-- t\n", signature="id")) == (
        b"A: b\n\nx\n\n-- t\n\n!DSPAM:id!\n\n"
    )
    assert stamped(b"A: b\r\n\r\nx\r\n", Rewrite(text_tag=b"-- t\n", signature="id")) == (
        b"A: b\r\n\r\nx\r\n\r\n-- t\r\n\r\n!DSPAM:id!\r\n\r\n"
    )


@pytest.mark.parametrize("raw", [b"A: b", b"A: b\n", b"A: b\n\n"])
def test_a_message_without_text_gets_one(raw: bytes) -> None:
    assert stamped(raw, Rewrite(signature="id")) == b"A: b\n\n\n!DSPAM:id!\n\n"


def test_html_keeps_its_closing_tags_last() -> None:
    raw = b"Content-Type: text/html\n\n<BODY>x</BODY></HTML>\n"
    assert stamped(raw, Rewrite(text_tag=b"t")).endswith(b"<BODY>x\nt</BODY></HTML>\n")
    raw = b"Content-Type: text/html\n\n<HTML>x</HTML>\n"
    assert stamped(raw, Rewrite(signature="id")).endswith(b"x\n!DSPAM:id!\n\n</HTML>\n\n\n")


def test_ids_of_earlier_passes_are_removed_from_texts() -> None:
    raw = b"A: b\n\n> !DSPAM:old1! and !DSPAM:old2\nX-DSPAM-Signature: quoted1\n"
    changed = stamped(raw, EMBED)
    assert b"old" not in changed
    assert signature.find(Message(changed.replace(b"X-DSPAM-Signature: abc1", b""))) == "abc1"


@pytest.mark.parametrize("encoding", [b"base64", b"quoted-printable"])
@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
def test_encoded_texts_are_encoded_again(encoding: bytes, newline: bytes) -> None:
    text = "Größe = 12\n!DSPAM:old1!\n".encode() * 10
    head = b"Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: " + encoding + b"\n\n"
    raw = (head + mime.encoded(encoding, text, b"\n")).replace(b"\n", newline)
    changed = stamped(raw, Rewrite(signature="id"))
    expected = text.replace(b"!DSPAM:old1!", b"") + b"\n!DSPAM:id!\n\n"
    assert decoded_body(changed).replace(b"\r\n", b"\n") == expected
    assert changed.isascii()
    assert changed.count(b"\n") == changed.count(newline)
    assert all(len(line) <= 76 for line in changed.splitlines())


@given(st.binary())
def test_base64_texts_keep_every_byte(text: bytes) -> None:
    head = b"Content-Transfer-Encoding: base64\n\n"
    changed = decoded_body(stamped(head + base64.encodebytes(text), Rewrite(text_tag=b"t")))
    assert changed in (text + b"\nt", text + b"\r\nt")


@pytest.mark.parametrize(
    "raw",
    [
        b"Content-Type: text/plain; charset=utf-16le\n\nx\0y\0",
        b"Content-Type: image/png\nContent-Transfer-Encoding: base64\n\nUE5H\n",
        b"Content-Transfer-Encoding: base64\n\nQQ==\n--\nfooter of a list\n",
        b"Content-Disposition: attachment; filename=a.txt\n\nx\n",
        b"Content-Type: multipart/mixed\n\nno boundary\n",
        MIXED + b"--b\nContent-Type: image/gif\n\nGIF\n--b--\n!DSPAM:x1!\n",
        MIXED + b"--b\nContent-Type: text/calendar; method=REQUEST\n\nBEGIN:VCALENDAR\n--b--\n",
        MIXED + b"--b\nContent-Type: text/rfc822-headers\n\nSubject: x\n--b--\n",
        MIXED + b"--b\nContent-Type: Text/VCard (a card)\n\nBEGIN:VCARD\n--b--\n",
        MIXED + b"--b\nContent-Type: text/x-amp-html\n\n<html></html>\n--b--\n",
        b"Content-Type: text/csv\n\n1,2\n",
        b"Content-Type: application/json\n\n{}\n",
        b"Content-Type: message/rfc822\n\nA: b\n\nx\n",
        b"Content-Type: application/pkcs7-mime; name=smime.p7m\n\nMIIB\n",
        b"Content-Type: multipart/encrypted; boundary=s\n\n--s\n\ntext\n--s--\n",
        b"Content-Type: text/plain\nContent-Transfer-Encoding: x-uuencode\n\nbegin 644 x\n",
        # A preamble without an empty line before it: these are the headers of parts, not of the message.
        DAMAGED + b"--b\nContent-Transfer-Encoding: quoted-printable\n\na =3D b=20\n\n--b\n\nx\n--b--\n",
        DAMAGED + b"--b\nContent-Transfer-Encoding: base64\n\nQUJD\n--b--\n",
        DAMAGED + b"--b\nContent-Type: text/html\n\n<body>x</body>\n--b--\n",
        DAMAGED.replace(b"mixed", b"signed") + b"--b\n\nx\n--b--\n",
        DAMAGED.replace(b"\n", b"\r\n") + b"--b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b--\r\n",
        DAMAGED,
        MIXED + b"--b\nContent-Type: message/rfc822\n\nA: b\n\nx\n--b--\n",
        MIXED + b"--b\nContent-Type: multipart/signed; boundary=s\n\n--s\n\nsigned\n--s--\n--b--\n",
    ],
)
def test_parts_that_cannot_take_text_stay_as_they_came(raw: bytes) -> None:
    assert stamped(raw, Rewrite(text_tag=b"t", signature="id")) == raw


@pytest.mark.parametrize(
    "encoding",
    [b"quoted-printable;", b"Quoted-Printable ; x=y", b'"quoted-printable"', b"quoted-printable (z)"],
)
def test_an_encoding_is_known_by_its_first_word(encoding: bytes) -> None:
    raw = b"Content-Transfer-Encoding: " + encoding + b"\n\nGr=C3=B6=C3=9Fe =3D 12\n"
    changed = stamped(raw, Rewrite(text_tag="ü".encode()))
    assert changed == raw + b"\n=C3=BC"


def test_a_damaged_header_block_that_says_nothing_of_the_body_is_no_reason() -> None:
    raw = b"From: a\nlost line\n\nx\n"
    assert stamped(raw, Rewrite(signature="id")) == raw + b"\n!DSPAM:id!\n\n"


def test_what_is_signed_within_a_text_stays_as_it_is() -> None:
    raw = b"A: b\n\n-----BEGIN PGP SIGNED MESSAGE-----\n\n!DSPAM:old1!\n-----END PGP SIGNATURE-----\n"
    assert stamped(raw, Rewrite(signature="id")) == raw + b"\n!DSPAM:id!\n\n"


@pytest.mark.parametrize(
    ("subject", "tagged"),
    [
        (b"Subject: hello", b"Subject: =?utf-8?b?W1NQw4RNXQ==?= hello"),
        (b"Subject: =?utf-8?q?=C3=A4?=", b"Subject: =?utf-8?b?W1NQw4RNXSA=?= =?utf-8?q?=C3=A4?="),
        (b"Subject: =?utf-8?b?W1NQw4RNXQ==?= hello", b"Subject: =?utf-8?b?W1NQw4RNXQ==?= hello"),
        (b"X: y", b"X: y\nSubject: =?utf-8?b?W1NQw4RNXQ==?="),
    ],
)
def test_a_subject_tag_that_is_not_ascii_is_an_encoded_word(subject: bytes, tagged: bytes) -> None:
    tag = "[SPÄM]".encode()
    changed = stamped(subject + b"\n\nx\n", Rewrite(subject_tag=tag))
    assert changed == tagged + b"\n\nx\n"
    assert changed.isascii()
    shown = str(make_header(decode_header(Message(changed).values("Subject")[0].decode())))
    assert shown.rstrip() in ("[SPÄM] hello", "[SPÄM] ä", "[SPÄM]")


def test_a_subject_tag_in_internationalized_mail_stays_utf_8() -> None:
    tag = "[SPÄM]".encode()
    changed = stamped(b"Subject: hello\n\nx\n", Rewrite(subject_tag=tag, utf8=True))
    assert changed == b"Subject: " + tag + b" hello\n\nx\n"


@given(
    st.text(st.characters(codec="utf-8", categories=["L", "N", "So"]), min_size=1) | st.just("[SPÄM]" * 20)
)
def test_long_tags_become_several_encoded_words(text: str) -> None:
    words = headers.encoded_word(text.encode())
    assert max(map(len, words.split())) <= 75
    assert str(make_header(decode_header(words.decode()))) == text


def test_a_tag_in_latin_1_says_so() -> None:
    assert headers.encoded_word(b"[SP\xc4M]") == b"=?iso-8859-1?b?W1NQxE1d?="


def test_only_the_parts_that_take_text_change() -> None:
    raw = (
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\npreamble\r\n--b\r\n\r\nx\r\n"
        b"--b\r\nContent-Type: image/gif\r\n\r\nGIF\n\0\r\n--b--  \r\nepilogue: x\r\n"
    )
    changed = stamped(raw, Rewrite(signature="id"))
    assert changed == raw.replace(b"\r\nx\r\n", b"\r\nx\r\n\r\n!DSPAM:id!\r\n\r\n", 1)


def test_what_is_signed_is_wrapped_whole() -> None:
    entity = b"--s\r\n\r\nsigned\r\n--s\r\nContent-Type: application/pgp-signature\r\n\r\nabc\r\n--s--\r\n"
    type_ = b"Content-Type: multipart/signed;\r\n boundary=s\r\n"
    raw = b"A: b\r\n" + type_ + b"MIME-Version: 1.0\r\n\r\n" + entity
    changed = stamped(raw, Rewrite(LINES, text_tag=b"t", signature="12,abc"))
    assert type_ + b"\r\n" + entity in changed
    assert Message(changed).first("Content-Type") == b"multipart/mixed; boundary=DSPAM_MULTIPART_EX-abc"
    *signed, id_part = mime.parts(changed)
    assert [part.sealed for part in signed] == [True, True]
    assert changed[id_part.body : id_part.end] == b"!DSPAM:12,abc!\r\n"
    assert signature.find(Message(changed.replace(b"!DSPAM", b"!"))) == "12,abc"
    assert stamped(raw, Rewrite(text_tag=b"t")) == raw


def test_the_wrapping_takes_a_boundary_that_is_free() -> None:
    raw = b"Content-Type: multipart/signed; boundary=s\n\n--s\n\n--DSPAM_MULTIPART_EX-abc\n--s--\n"
    changed = stamped(raw, Rewrite(signature="abc"))
    assert Message(changed).first("Content-Type") == b"multipart/mixed; boundary=DSPAM_MULTIPART_EX-abcx"
