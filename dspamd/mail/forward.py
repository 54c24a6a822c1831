"""A message forwarded inline, put together again as far as possible.

A mail program that forwards a message within its own text writes a few of its fields above it:

    see what I got!                                     Begin forwarded message:

    -------- Forwarded Message --------                 > From: Pills <x@example.net>
    Subject: Cheap pills                                > Subject: Cheap pills
    From: Pills <x@example.net>                         > To: bob@example.org
    To: bob@example.org                                 >
                                                        > Buy now
    Buy now

The names of the fields are those of the user's language.  The text above them is the user's own,
and so are the headers of the mail that brings it: neither is part of the forwarded message.

Linear in the size of the text.
"""

from __future__ import annotations

import re

from dspamd.mail import mime
from dspamd.mail.message import Message

_FROM = ("from", "von", "de", "da", "van", "fra", "från", "lähettäjä", "od", "от", "от кого")
_SUBJECT = (
    "subject", "betreff", "objet", "asunto", "assunto", "oggetto", "onderwerp", "emne", "ämne", "aihe",
    "temat", "předmět", "тема",
)  # fmt: skip
_FIELD = re.compile(rb"\*{0,2}([^\s:*<>@][^:*<>@]{0,31}):\*{0,2}(?=[ \t*]|\Z)[ \t*]*+(.*)", re.DOTALL)
_GAP = re.compile(rb"(?:\A|(?<=\n))(?:>?[ \t]*+\n)++")
_UNQUOTED = re.compile(rb"^> ?", re.MULTILINE)
_LINES = 40  # of a paragraph, in which fields are looked for
_CHARSET = re.compile(rb"[a-z0-9_.:-]{1,40}")


def forwarded(message: Message) -> bytes | None:
    """The message in the first text that holds one: From, Subject, and its text; None if there is none."""
    for part in message.parts:
        if (part.type, part.subtype) == (b"text", b"plain") and not part.attachment:
            text = mime.decoded(part.encoding, message.raw[part.body : part.end])
            if found := _put_together(text.replace(b"\r\n", b"\n"), part.charset):
                return found
    return None


def _put_together(text: bytes, charset: bytes) -> bytes | None:
    at = 0
    for gap in _GAP.finditer(text):
        paragraph, at = text[at : gap.start()], gap.end()
        if paragraph.count(b":") < 2:  # most, at a glance
            continue
        fields = _fields(paragraph)
        author, subject = _first(fields, _FROM), _first(fields, _SUBJECT)
        if author is not None and subject is not None:
            body = _UNQUOTED.sub(b"", text[at:]) if paragraph.startswith(b">") else text[at:]
            return _message(author, subject, body, charset) if body.strip() else None
    return None


def _fields(paragraph: bytes) -> dict[str, bytes]:
    """The lines of a paragraph that look like fields, by their names in small letters."""
    fields: dict[str, bytes] = {}
    for line in paragraph.splitlines()[:_LINES]:
        if match := _FIELD.match(line.lstrip(b"> \t")):
            fields.setdefault(_text(match[1].strip()).lower(), match[2].strip())
    return fields


def _text(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError:
        return name.decode("latin-1")


def _first(fields: dict[str, bytes], names: tuple[str, ...]) -> bytes | None:
    return next((fields[name] for name in names if name in fields), None)


def _message(author: bytes, subject: bytes, body: bytes, charset: bytes) -> bytes:
    known = charset if _CHARSET.fullmatch(charset) else b"utf-8"
    head = b"From: %b\nSubject: %b\nContent-Type: text/plain; charset=%b\n\n" % (author, subject, known)
    return head + body
