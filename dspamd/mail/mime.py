"""The parts of a message by byte offsets, and their transfer encodings (RFC 2045, 2046).

`parts` walks the leaves of a message in one pass over its bytes.  It never
fails and is bounded against bombs: nesting and number of parts are limited,
and bytes beyond a limit belong to no part, so they are never edited.

A part reaches to the line that ends it, its last line end included (RFC 2046
gives that line end to the boundary; the original appends text after it, and so
do we).  Attached messages (message/rfc822) are leaves: others may have
signed their content.  Only `signature.find` looks inside, with a
walk of its own for each.

`decoded` and `encoded` turn a body into its bytes and back.  Decoding accepts
anything; `reversible` tells whether encoding again would lose something.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, replace
from typing import NamedTuple

from dspamd.mail import headers

MAX_DEPTH = 16
"""Multiparts inside multiparts; deeper ones are leaves."""

MAX_PARTS = 1000
"""Parts of one message, multiparts among them; the rest is not looked at."""

_SEALED = (b"signed", b"encrypted")  # RFC 1847
_MAX_VALUE = 4096
"""Bytes of a Content-Type or Content-Disposition that are looked at."""

_BODY_EVENT = re.compile(rb"^--([^\n]{1,200})", re.MULTILINE)
_HEAD_EVENT = re.compile(rb"^(?:--([^\n]{1,200})|\r?\n)", re.MULTILINE)

_FIRST_WORD = re.compile(rb"""[\s"']*+([^\s"';,()]++)""")

_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_NOT_BASE64 = bytes(set(range(256)) - set(_BASE64))
_SPACE = b" \t\r\n"


@dataclass(frozen=True, slots=True)
class Part:
    """A leaf of a message; all words in lower case, empty if not given.

    Its headers are `data[start:body]`, with the empty line; its body is
    `data[body:end]`.  `top`: it is the message itself.  `sealed`: it lies inside
    a multipart/signed or multipart/encrypted, where every changed byte breaks something.
    """

    start: int
    body: int
    end: int
    type: bytes
    subtype: bytes
    encoding: bytes = b""
    disposition: bytes = b""
    charset: bytes = b""
    filename: bytes = b""
    boundary: bytes = b""
    top: bool = False
    sealed: bool = False

    @property
    def attachment(self) -> bool:
        return self.disposition == b"attachment"

    @property
    def encodes(self) -> bool:
        """Whether the body is something else than its bytes (RFC 2045 6.2)."""
        return self.encoding in (b"base64", b"quoted-printable")


@dataclass(slots=True)
class _Open:
    """A multipart whose closing delimiter has not come yet."""

    boundary: bytes
    subtype: bytes
    sealed: bool


def _parameter(value: bytes, name: bytes) -> bytes:
    """A parameter of a header value, quoted or not; empty if it is not there."""
    match = re.search(rb"""(?i)[;\s]%s\s*=\s*(?:"([^"]*)"|"?([^\s";]+))""" % name, value)
    return (match[1] or match[2] or b"") if match else b""


def _word(value: bytes) -> bytes:
    """The first word of a value, in lower case, without quotes, and parameters or comments after it."""
    match = _FIRST_WORD.match(value)
    return match[1].lower() if match else b""


def _last(block: bytes, name: bytes) -> bytes:
    """The last header of that name, which counts as in the original (engine.md 1.4)."""
    found = headers.values(block, name)
    return found[-1][:_MAX_VALUE] if found else b""


def media_type(block: bytes, default: tuple[bytes, bytes] = (b"text", b"plain")) -> tuple[bytes, bytes]:
    """Type and subtype that a header block gives, in lower case."""
    type_, slash, subtype = _last(block, b"content-type").partition(b";")[0].lower().partition(b"/")
    return (type_.strip(), _word(subtype)) if slash else default


def _part(data: bytes, start: int, body: int, default: tuple[bytes, bytes], top: bool, sealed: bool) -> Part:
    """The part whose headers are `data[start:body]`; its end is not known yet."""
    block = data[start:body]
    content = _last(block, b"content-type")
    placement = _last(block, b"content-disposition")
    type_, subtype = media_type(block, default)
    return Part(
        start,
        body,
        len(data),
        type_,
        subtype,
        encoding=_word(_last(block, b"content-transfer-encoding")),
        disposition=_word(placement),
        charset=_parameter(content, b"charset").lower(),
        filename=(_parameter(placement, b"filename") or _parameter(content, b"name")).lower(),
        boundary=_parameter(content, b"boundary") if type_ == b"multipart" else b"",
        top=top,
        sealed=sealed,
    )


class _Delimiter(NamedTuple):
    """A line that delimits an open multipart, from `start` to `end`."""

    level: int  # which one: index into the open multiparts
    closes: bool
    start: int
    end: int


class _Walk:
    """One pass over a message: entities open at a delimiter and close at the next one."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.open: list[_Open] = []
        self.delimiters: dict[bytes, tuple[int, bool]] = {}  # text of a line: level, whether it closes
        self.leaves: list[Part] = []

    def run(self) -> list[Part]:
        start = 0
        for number in range(MAX_PARTS):
            body, cut = self.head(start)
            part = self.entity(start, body, top=number == 0)
            line = cut or self.delimiter(body)
            if part is not None:
                self.leaves.append(replace(part, end=line.start if line else len(self.data)))
            while line and line.closes:  # after it is an epilogue, up to the next delimiter
                self.close(line.level)
                line = self.delimiter(line.end)
            if line is None:
                break
            self.close(line.level + 1)
            start = line.end
        return self.leaves

    def entity(self, start: int, body: int, top: bool) -> Part | None:
        """The leaf that starts here; None for a multipart, which is opened instead."""
        parent = self.open[-1] if self.open else None
        digest = parent is not None and parent.subtype == b"digest"
        sealed = parent is not None and parent.sealed
        default = (b"message", b"rfc822") if digest else (b"text", b"plain")
        part = _part(self.data, start, body, default, top, sealed)
        if not part.boundary or len(self.open) >= MAX_DEPTH:
            return part
        self.open.append(_Open(part.boundary.rstrip(), part.subtype, sealed or part.subtype in _SEALED))
        self.note_delimiters()
        return None

    def close(self, level: int) -> None:
        """Forget the multiparts from `level` on."""
        if level < len(self.open):
            del self.open[level:]
            self.note_delimiters()

    def note_delimiters(self) -> None:
        """Note which lines delimit, so that a million other lines with dashes cost little."""
        self.delimiters = {}
        for level, entity in enumerate(self.open):  # of equal ones the inner one counts
            self.delimiters[entity.boundary + b"--"] = level, True
            self.delimiters[entity.boundary] = level, False

    def head(self, start: int) -> tuple[int, _Delimiter | None]:
        """Where the body starts, and the delimiter that came instead of an empty line."""
        for event in _HEAD_EVENT.finditer(self.data, start):
            if event[1] is None:
                return event.end(), None
            if line := self.recognized(event):
                return line.start, line
        return len(self.data), None

    def delimiter(self, start: int) -> _Delimiter | None:
        """The next delimiter of an open multipart."""
        if not self.open:
            return None
        known = self.delimiters
        for event in _BODY_EVENT.finditer(self.data, start):
            if event[1].rstrip() in known:  # without a call: there may be a million such lines
                return self.recognized(event)
        return None

    def recognized(self, event: re.Match[bytes]) -> _Delimiter | None:
        """The delimiter that a line `--...` is, if it is one."""
        known = self.delimiters.get(event[1].rstrip())
        if known is None:
            return None
        end = self.data.find(b"\n", event.end()) + 1 or len(self.data)
        return _Delimiter(*known, event.start(), end)


def parts(data: bytes) -> list[Part]:
    """The leaves of a message, in order; in linear time."""
    return _Walk(data).run()


def decoded(encoding: bytes, body: bytes) -> bytes:
    """The decoded bytes of a body.  Never fails: it skips or keeps bytes that are no code.

    `encoding` is the word of Content-Transfer-Encoding in lower case; base64
    ends at its padding (engine.md 1.7).
    """
    if encoding == b"quoted-printable":
        return binascii.a2b_qp(body)
    if encoding != b"base64":
        return body
    symbols = body.partition(b"=")[0].translate(None, _NOT_BASE64)
    if len(symbols) % 4 == 1:  # six bits are no byte
        symbols = symbols[:-1]
    return binascii.a2b_base64(symbols + b"=" * (-len(symbols) % 4))


def reversible(encoding: bytes, body: bytes) -> bool:
    """Whether a body can be decoded and encoded again without losing anything.

    Mailing lists append footers after the padding of base64: encoding such a
    body again would lose them.
    """
    if encoding != b"base64":
        return True
    symbols, _, rest = body.partition(b"=")
    count = len(symbols.translate(None, _NOT_BASE64))
    return count % 4 != 1 and not symbols.translate(None, _BASE64 + _SPACE) and not rest.strip(b"=" + _SPACE)


def encoded(encoding: bytes, text: bytes, newline: bytes) -> bytes:
    """A body for `text`, in lines of at most 76 bytes that end in `newline`.

    In quoted-printable the line ends of the text are those of the message; in
    base64 they are part of the text and stay as they are.
    """
    if encoding == b"base64":
        body = base64.encodebytes(text)
    elif encoding == b"quoted-printable":
        # A carriage return without its line feed must not reach SMTP (RFC 5321 2.3.8).
        lines = text.replace(b"\r\n", b"\n")
        body = binascii.b2a_qp(lines, istext=True).replace(b"\r", b"=0D")
    else:
        return text
    return body if newline == b"\n" else body.replace(b"\n", newline)
