"""The classic view, rule by rule; the test vectors of engine.md 12.3."""

from __future__ import annotations

import base64

import pytest

from dspamd.mail import view_classic
from dspamd.mail.view import SignaturePass, View

INBOUND = SignaturePass(cut_tags=True)
PROTECTED = SignaturePass(headers_only=True, cut_tags=True)


def html(page: bytes) -> bytes:
    return view_classic.view(b"Content-Type: text/html\n\n" + page).body


@pytest.mark.parametrize(
    ("page", "text"),
    [
        (b"a<b>c</b>d", b"acd"),
        (b"x</td> <td>y", b"x y"),
        (b"1 < 2 <b>z</b>", b"1 < 2 b>z"),
        (b'<a href="http://e.x/p">l</a>', b" http://e.x/p l"),
        (b'<a class="c" href=http://e.x/p target=t>l</a>', b" http://e.x/p target=t l"),
        (b"<A HREF = 'ftp://e.x/'>l</a>", b" ftp://e.x/ l"),
        (b'<a href="mailto:x">l</a>', b"l"),
        (b'<a href="http://e.x/a>b">l</a>', b' http://e.x/a>b b">l'),
        (b"<a " + b" " * 50 + b"href=http://e.x/>l", b" http://e.x/ l"),
        (b"<a " + b" " * 51 + b"href=http://e.x/>l", b"l"),
        (b"<script>k</script>v", b"v"),
        (b'<script type="t">k</script>v', b"kv"),
        (b"<style type=x>k<b>m</style>v", b"v"),
        (b"<style>never closed", b""),
        (b"<!-- h <i>i</i> -->j", b"i -->j"),
        (b"vi<!-- x -->agra", b"viagra"),
        (b"&eacute;&Alpha;&nbsp;&amp;&#65;&#160;q", b"\xc9 &Aq"),
        (b"a&#65; b", b"aAb"),
        (b"&#0065;&#0233;&#x41;&#233;z", b"A" + b"z"),
        (b"&unknown; &amp &thetasymx", b"&unknown; &amp x"),
        (b"l1<br>l2<p>l3", b"l1\nl2\nl3"),
        (b"end <", b"end <"),
        (b"end &#", b"end "),
    ],
)
def test_html(page: bytes, text: bytes) -> None:
    assert html(page) == text


@pytest.mark.parametrize(
    ("header", "line"),
    [
        (b"Subject: =?utf-8?B?aGVsbG8=?= lost", b"Subject: hello\n\n"),
        (b"Subject: a =?utf-8?q?b=20c_d?= lost =?utf-8?q?too?=", b"Subject: a b c_d\n"),
        (b"Subject: =?utf-8\n ?q?folded?=", b"Subject: folded\n"),
        (b"Subject: =?utf-8?x?y?=", b"Subject: =?utf-8?x?y?=\n"),
        (b"Subject: =?utf-8?q", b"Subject: =?utf-8?q\n"),
        (b"Subject: =?utf-8?q?a=00b?=", b"Subject: a\n"),
        (b"Subject: \t x", b"Subject: x\n"),
        (b"no colon", b"no colon: \n"),
        (b"Subject: one\n\ttwo", b"Subject: one\n\ttwo\n"),
        (b"X: " + b"y" * 2000, b"X: " + b"y" * 1020),
        (b"X" * 2000 + b": y", b"X" * 1023),
    ],
)
def test_header(header: bytes, line: bytes) -> None:
    assert view_classic.view(header + b"\n\n").headers == line


@pytest.mark.parametrize(
    ("encoding", "body", "text"),
    [
        (b"base64", b"aGVs\nbG8=ignored", b"hello\n"),
        (b"base64", b"aGVsbG8K", b"hello\n"),
        (b"BASE64", b"aGVsb", b"hel\n"),
        (b"base64", b"YQBi", b"a\n"),
        (b"base64", b"", b""),
        (b"quoted-printable", b"a=\nb=\r\nc=41=4x=\n", b"abcA=4x"),
        (b"quoted-printable", b"a=00b", b"a"),
        (b"quoted-printable", b"end=", b"end="),
        (b"8bit", b"50%25 %4 %zz", b"50% %4 %zz"),
        (b"7bit", b"50%25", b"50%25"),
        (b"unknown", b"YQ==", b"YQ=="),
    ],
)
def test_transfer_encoding(encoding: bytes, body: bytes, text: bytes) -> None:
    message = b"Content-Transfer-Encoding: " + encoding + b"\n\n" + body
    assert view_classic.view(message).body == text


def part(headers: bytes, body: bytes) -> bytes:
    return b"--b\n" + headers + b"\n\n" + body + b"\n"


def multipart(*parts: bytes, subtype: bytes = b"mixed") -> bytes:
    return b"Content-Type: multipart/" + subtype + b'; boundary="b"\n\n' + b"".join(parts) + b"--b--\n"


def test_parts() -> None:
    view = view_classic.view(
        multipart(
            part(b"Content-Type: text/plain", b"one"),
            part(b"Content-Type: image/png", b"no text"),
            part(b"Content-Type: text/html", b"<b>two</b>"),
            part(b"Content-Type: text/plain\nContent-Disposition: attachment", b"three"),
            b"--b\n\nwithout headers\n",
        )
        + b"epilogue\n"
    )
    assert view.body == b"one\ntwo\nthree\n"
    assert b"image/png" in view.headers
    assert view.headers.endswith(b"epilogue: \n")


def test_boundaries_match_by_prefix_and_never_expire() -> None:
    message = multipart(part(b"A: 1", b"one"), b"--bcd\nA: 2\n\ntwo\n") + b"\n--b\nA: 3\n\nthree\n"
    assert view_classic.view(message).body == b"one\ntwo\nthree\n"


def test_boundary_of_a_forwarded_message() -> None:
    inner = (
        b'Subject: x\nContent-Type: multipart/mixed;\n boundary="inner"\n\n--inner\nA: b\n\ntext\n--inner--\n'
    )
    message = b"Content-Type: message/rfc822\n\n" + inner
    assert view_classic.view(message) == View(
        b"Content-Type: message/rfc822\nA: b\n",
        b'Subject: x\nContent-Type: multipart/mixed;\n boundary="inner"\n\ntext\n',
    )


@pytest.mark.parametrize(
    "fold", [b"; boundary=b", b";\n boundary=b", b";\n boundary\n =\n b", b'; boundary="\n b"']
)
def test_folded_boundary_parameter(fold: bytes) -> None:
    message = b"Content-Type: multipart/mixed" + fold + b"\n\npreamble\n--b\nA: b\n\ntext\n"
    assert view_classic.view(message).body == b"preamble\ntext\n"


def test_continuation_at_the_start_of_a_part_belongs_to_the_last_header() -> None:
    message = b"Content-Type: multipart/mixed; boundary=b\nSubject: x\n\n--b\n more\nA: b\n\ntext\n"
    assert (
        view_classic.view(message).headers
        == b"Content-Type: multipart/mixed; boundary=b\nSubject: x\n more\nA: b\n"
    )


def test_signature_pass_decodes_for_good() -> None:
    encoded = base64.encodebytes(b"50%25 off")
    message = b"Content-Transfer-Encoding: base64\n\n" + encoded
    as_sent = b"Content-Transfer-Encoding: base64\n"
    assert view_classic.view(message) == (as_sent, b"50%25 off\n")
    assert view_classic.view(message, signature_pass=PROTECTED) == (as_sent, b"50%25 off\n")
    assert view_classic.view(message, signature_pass=INBOUND) == (
        b"Content-Transfer-Encoding: 8bit\n",
        b"50% off\n",
    )


def test_signed_messages_are_protected() -> None:
    message = multipart(
        part(b"Content-Transfer-Encoding: quoted-printable", b"50%25 !DSPAM:1! =41"), subtype=b"signed"
    )
    view = view_classic.view(message, signature_pass=INBOUND)
    assert view.body == b"50%25 !DSPAM:1! A\n"
    assert b"8bit" not in view.headers


@pytest.mark.parametrize(
    ("body", "rest"),
    [
        (b"a !DSPAM:4c87,3d4a!b !DSPAM:5!", b"a b !DSPAM:5!"),
        (b"a !DSPAM:4c87", b"a "),
        (b"> X-DSPAM-Signature: 4c87\nb", b"> b"),
        (b"> X-DSPAM-Signature:4c87\nb", b"> X-DSPAM-Signature:4c87\nb"),
        (b"!DSPAM:" + b"1" * 128 + b"!", b"!DSPAM:" + b"1" * 128 + b"!"),
        (b"!DSPAM:" + b"1" * 127 + b"!", b""),
        (b"nothing", b"nothing"),
    ],
)
def test_signature_tags_are_cut(body: bytes, rest: bytes) -> None:
    message = b"A: b\n\n" + body
    assert view_classic.view(message, signature_pass=INBOUND).body == rest
    assert view_classic.view(message, signature_pass=PROTECTED).body == body
    assert view_classic.view(message, signature_pass=SignaturePass()).body == body


def test_nul_bytes_are_dropped() -> None:
    assert view_classic.view(b"A: b\0c\n\nd\0e") == (b"A: bc\n", b"de")


@pytest.mark.parametrize("text", [b"Subject: hi\n\nyou", b"no header", b"\n", b".\n..\n"])
def test_a_document_is_text_from_its_first_line_on(text: bytes) -> None:
    assert view_classic.view(text, document=True) == (b": \n", text)
    assert view_classic.view(text, signature_pass=PROTECTED, document=True) == (b": \n", text)


@pytest.mark.parametrize("message", [b"", b"\n", b"\n\n", b"A", b"--", b" ", b"\r\n"])
def test_next_to_nothing(message: bytes) -> None:
    view = view_classic.view(message)
    assert view.body == b""
    assert view.headers in (b"", message + b": \n")
