"""Pieces for the rules of view and tokens (reference/engine.md 1 and 2), and mail made of them."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.golden.data import messages

MAIL = list(messages("real_messages.tar.gz").values())

MIME_PIECES = [
    b'Content-Type: multipart/mixed; boundary="x"\n',
    b"Content-Type: multipart/signed; boundary=x-\n",
    b"Content-Type: message/rfc822\n",
    b"Content-Type: text/html\n",
    b"Content-Transfer-Encoding: base64\n",
    b"Content-Transfer-Encoding: quoted-printable\n",
    b"Content-Transfer-Encoding: 8bit\n",
    b"Content-Disposition: attachment\n",
    *(b"\n", b"\n\n", b"\n ", b"\n\t", b"--x\n", b"--x-\n", b"--", b"boundary=", b"aGVsbG8gd29ybGQ=", b"\r"),
    *(
        b"Subject: =?utf-8?q?",
        b"=?a?b?",
        b"?=",
        b"=?",
        b"!DSPAM:",
        b"X-DSPAM-Signature: ",
        b"=41",
        b"%41",
        b"=\n",
    ),
]
HTML_PIECES = [
    *(
        b'<a href="http:',
        b"<a href='",
        b"<img ",
        b"src=",
        b"<script>",
        b"</script>",
        b"<style",
        b"</td>",
        b"<td",
    ),
    *(
        b"<p",
        b"<br>",
        b"<",
        b">",
        b'"',
        b"'",
        b"&#",
        b"&#0",
        b"65;",
        b"&amp;",
        b"&AMP",
        b"&thetasym",
        b";",
        b"<!--",
    ),
]
WORD_PIECES = [
    *(b"From: ", b"From", b"X-DSPAM-R: ", b"x-i: ", b"bnr.x: ", b"a+#: ", b"H" * 200 + b": ", b"w" * 600),
    *(
        b" ",
        b":",
        b".",
        b"_",
        b"+",
        b"#",
        b"!",
        b"wow!! ",
        b"w" * 49,
        b"w" * 50,
        b"\xe4",
        b"one two three four ",
    ),
    *(b"http://", b"www.", b"href="),
]

pieces = st.sampled_from(MIME_PIECES + HTML_PIECES + WORD_PIECES) | st.binary(max_size=3)


@st.composite
def mutated_mail(draw: st.DrawFn, longest: int = 6000) -> bytes:
    """Recorded mail with pieces put in."""
    message = bytearray(draw(st.sampled_from(MAIL))[:longest])
    for _ in range(draw(st.integers(1, 20))):
        at = draw(st.integers(0, len(message)))
        message[at : at + draw(st.sampled_from([0, 1, 5, 100]))] = draw(pieces)
    return bytes(message)
