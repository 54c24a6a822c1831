"""Messages that mail programs forwarded inline."""

from __future__ import annotations

import base64

import pytest

from dspamd.mail.forward import forwarded
from dspamd.mail.message import Message

AUTHOR, SUBJECT, TEXT = "Pills <x@example.net>", "Cheap pills", "Buy now:\nall of it\n\nUnsubscribe\n"

THUNDERBIRD = f"""\
see this

-------- Forwarded Message --------
Subject: \t{SUBJECT}
Date: \tSun, 1 Nov 2026 10:00:00 +0000
From: \t{AUTHOR}
To: \tbob@example.org

{TEXT}"""
GMAIL = f"""\
---------- Forwarded message ---------
From: {AUTHOR}
Date: Sun, Nov 1, 2026 at 10:00 AM
Subject: {SUBJECT}
To: <bob@example.org>


{TEXT}"""
BOLD = f"""\
*From:* {AUTHOR}
*Sent:* Sunday, November 1, 2026 10:00
*To:* bob@example.org
*Subject:* {SUBJECT}

{TEXT}"""
APPLE = "Look: a fine offer\n\nBegin forwarded message:\n\n" + "".join(
    f"> {line}\n"
    for line in (f"From: {AUTHOR}", f"Subject: {SUBJECT}", "To: bob@example.org", "", *TEXT.splitlines())
)
MUTT = f"""\
----- Forwarded message from {AUTHOR} -----

Date: Sun, 1 Nov 2026 10:00:00 +0000
From: {AUTHOR}
To: bob@example.org
Subject: {SUBJECT}

{TEXT}"""
GERMAN = GMAIL.replace("From:", "Von:").replace("Subject:", "Betreff:").replace("Date:", "Gesendet:")
FRENCH = GMAIL.replace("From:", "De :").replace("Subject:", "Objet :")
SWEDISH = GMAIL.replace("From:", "Från:").replace("Subject:", "Ämne:")


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("text", [THUNDERBIRD, GMAIL, BOLD, APPLE, MUTT, GERMAN, FRENCH, SWEDISH])
def test_author_subject_and_text_are_found(text: str, newline: str) -> None:
    content = f"From: bob@example.org\n\n{text}".replace("\n", newline).encode()
    assert forwarded(Message(content)) == message()


def message(charset: str = "utf-8", text: str = TEXT) -> bytes:
    head = f"From: {AUTHOR}\nSubject: {SUBJECT}\nContent-Type: text/plain; charset={charset}\n\n"
    return (head + text).encode(charset)


def test_the_encoding_is_undone_and_the_charset_kept() -> None:
    body = base64.encodebytes(SWEDISH.replace("all of it", "räksmörgås").encode("latin-1"))
    head = b"Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: base64\n\n"
    wanted = message("iso-8859-1", TEXT.replace("all of it", "räksmörgås"))
    assert forwarded(Message(head + body)) == wanted
    parts = b"Content-Type: multipart/alternative; boundary=b\n\n--b\n" + head + body + b"\n--b--\n"
    assert forwarded(Message(parts)) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "",
        "look at this",
        f"From: {AUTHOR}\n\nSubject: {SUBJECT}\n\n{TEXT}",
        f"From: {AUTHOR}\nDate: today\n\n{TEXT}",
        f"From:{AUTHOR}\nSubject:{SUBJECT}\n\n{TEXT}",
        f"From: {AUTHOR}\nSubject: {SUBJECT}",
        f"From: {AUTHOR}\nSubject: {SUBJECT}\n\n \n",
    ],
)
def test_what_is_no_forwarded_message(text: str) -> None:
    assert forwarded(Message(b"Subject: Fwd\n\n" + text.encode())) is None


def test_only_shown_text_is_looked_at() -> None:
    for type_ in (b"text/html", b"text/plain\nContent-Disposition: attachment", b"image/png"):
        assert forwarded(Message(b"Content-Type: " + type_ + b"\n\n" + GMAIL.encode())) is None
