"""The changes that we make in a message, as one edit: bytes in, bytes out.

`Rewrite` lists the changes, `rewrite` makes them.  Our own header lines come and
go; all other header lines, and the body, stay bit-identical unless an option
changes the text: a tag for spam (`tagSpam`), or the signature
(`signatureLocation=message`).  With neither, a signed message still verifies
(RFC 6376), and we read only its header block.

The text changes as in reference/protocols.md 9.3 and 9.4, with these
differences:

* base64 and quoted-printable parts are encoded again, as their header says; the
  original sent them as bare 8-bit text.
* Only texts for people get one: text/plain and text/html.  Texts for
  programs (text/calendar, text/vcard, text/rfc822-headers, ...) stay as they came.
* Parts that ASCII text would damage do not change: UTF-16 and UTF-32, base64 with
  bytes after its padding, encodings that we do not know.
* A multipart/signed that is not the outermost part, encrypted parts, and attached
  messages do not change: a change would break signatures of others.
* A message or part with a damaged header block does not change if the block has types or
  encodings: the block may reach into the body, and the encoding may be that of another part.
* The text around the parts (preamble, epilogue) stays as it came.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from dspamd.mail import headers, mime, signature
from dspamd.mail.message import Message

_HTML_END = (re.compile(rb"(?i)</body"), re.compile(rb"(?i)</html"))
TWINS = (b"x-spam-flag", b"x-spam-score", b"x-spam-status", b"x-spam-level")
"""Fields that say a verdict as SpamAssassin does (`SpamHeaders`), lower case."""

_FOR_PEOPLE = (b"plain", b"html")
_ENCODINGS = (b"", b"7bit", b"8bit", b"binary", b"base64", b"quoted-printable")
_ARMOR = b"-----BEGIN PGP "
_NO_ASCII = (b"utf-16", b"utf-32", b"utf16", b"utf32", b"ucs-2", b"ucs-4")


@dataclass(frozen=True, slots=True)
class Rewrite:
    """The changes to make in a message; nothing else changes.

    lines         header lines without line ends, appended to the top header block;
                  a folded header is several lines
    subject_tag   put in front of every Subject (`spamAction=tag`), UTF-8
    utf8          the header block may have UTF-8 in it (SMTPUTF8, RFC 6531)
    text_tag      appended to every text part (`tagSpam`, `tagNonspam`)
    signature     id to embed into every text part (`signatureLocation=message`);
                  ids that are in the text already are removed, a corrected message
                  must bring back this one
    drop_foreign  remove X-DSPAM-* headers that came in: anybody can write
                  `X-DSPAM-Result: Innocent`
    drop_twins    remove `TWINS` that came in, for the same reason, where we write such fields
    """

    lines: tuple[bytes, ...] = ()
    subject_tag: bytes = b""
    utf8: bool = False
    text_tag: bytes = b""
    signature: str | None = None
    drop_foreign: bool = True
    drop_twins: bool = False


def rewrite(message: Message, changes: Rewrite) -> bytes:
    """The message with `changes` made, in its own style of line ends."""
    head = message.head
    foreign = (b"x-dspam-",) * changes.drop_foreign + TWINS * changes.drop_twins
    for prefix in foreign:
        head, _ = headers.drop(head, prefix)
    head = headers.append(head, changes.lines, message.newline)
    if changes.subject_tag:
        head = headers.prefix_subject(head, changes.subject_tag, message.newline, utf8=changes.utf8)
    if not changes.text_tag and changes.signature is None:
        return head + message.raw[message.head_end :]
    if mime.media_type(message.head) == (b"multipart", b"signed"):
        return _wrapped(message, head, changes.signature)
    leaves = message.parts if _clear(message.head) else []
    texts = [part for part in leaves if _takes_text(part, message.raw)]
    if texts and message.head_end == len(message.raw):  # a text needs the empty line before it
        head = headers.append(head, [b""], message.newline)
    return b"".join([head, *_annotated(message, texts, changes)])


def _annotated(message: Message, texts: list[mime.Part], changes: Rewrite) -> list[bytes]:
    """All after the header block, in pieces, with these parts changed."""
    raw, at = message.raw, message.head_end
    pieces: list[bytes] = []
    for part in texts:
        pieces += raw[at : part.body], _annotated_body(part, raw[part.body : part.end], message, changes)
        at = part.end
    pieces.append(raw[at:])
    return pieces


def _takes_text(part: mime.Part, raw: bytes) -> bool:
    """Whether text may be put into this part (engine.md 8.4)."""
    if part.type != b"text" or part.subtype not in _FOR_PEOPLE or part.encoding not in _ENCODINGS:
        return False
    if part.attachment or part.sealed or part.charset.startswith(_NO_ASCII):
        return False
    if not part.top and part.body == part.end:
        return False
    return _clear(raw[part.start : part.body]) and mime.reversible(part.encoding, raw[part.body : part.end])


def _clear(block: bytes) -> bool:
    """Whether the kind of a body is certain: its header block is sound, or does not mention it."""
    said = b"\n" + block.lower()
    return headers.sound(block) or not (b"\ncontent-type:" in said or b"\ncontent-transfer-encoding:" in said)


def _annotated_body(part: mime.Part, body: bytes, message: Message, changes: Rewrite) -> bytes:
    text = mime.decoded(part.encoding, body)
    added = b"\n" + changes.text_tag if changes.text_tag else b""
    closing = b""
    if changes.signature is not None:
        if _ARMOR not in text:  # what OpenPGP signed or encrypted in a text ends before ours
            text = signature.TAG.sub(b"", text)
        added += b"\n" + signature.tag(changes.signature) + b"\n\n"
        closing = b"\n\n"
    newline = message.newline
    if part.encoding == b"base64" and b"\n" in text:  # its line ends are part of the text
        newline = b"\r\n" if b"\r\n" in text else b"\n"
    if newline != b"\n":
        added = added.replace(b"\r\n", b"\n").replace(b"\n", newline)
        closing = closing.replace(b"\n", newline)
    end = _html_end(text) if part.type == b"text" and part.subtype == b"html" else None
    text = text + added if end is None else b"".join([text[:end], added, text[end:], closing])
    return mime.encoded(part.encoding, text, message.newline)


def _html_end(text: bytes) -> int | None:
    """Where the visible text of a page ends; None if the page does not say."""
    for pattern in _HTML_END:
        if match := pattern.search(text):
            return match.start()
    return None


def _wrapped(message: Message, head: bytes, id_: str | None) -> bytes:
    """A multipart/signed put whole into a multipart/mixed, beside a part with the id.

    The signed entity stays bit-identical, so its signature still verifies.
    """
    if id_ is None or not headers.sound(message.head):
        return head + message.raw[message.head_end :]
    boundary = b"DSPAM_MULTIPART_EX-" + id_.rpartition(",")[2][-40:].encode()
    while boundary in message.raw:
        boundary += b"x"
    head, type_ = headers.drop(head, b"content-type:")
    head, disposition = headers.drop(head, b"content-disposition:")
    head = headers.append(head, [b"Content-Type: multipart/mixed; boundary=" + boundary], message.newline)
    first = headers.append(type_ + disposition, [b""], message.newline)
    second = [
        b"",
        b"--" + boundary,
        b"Content-Type: text/plain",
        signature.HEADER + b": " + id_.encode(),
        b"",
        signature.tag(id_),
        b"--" + boundary + b"--",
    ]
    newline = message.newline
    opening = newline + b"--" + boundary + newline
    rest = b"".join([line + newline for line in second])
    return b"".join([head, opening, first, message.raw[message.body_start :], rest])
