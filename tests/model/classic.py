"""The tokenizable view of a message, plainly written (reference/engine.md 1).

`parse` gives the flat list of parts the original worked on, `view` the two
texts it handed to its tokenizer.  Quirks marked "reproduce" in section 14 are
here on purpose; none of this is how mail should be read today.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from tests.model import html

ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
ENCODINGS = (b"7bit", b"8bit", b"quoted-printable", b"base64", b"binary")
ENCODED = (b"quoted-printable", b"base64")
SUBTYPES = {
    b"text": (b"plain", b"html"),
    b"application": (b"dspam-signature",),
    b"message": (b"rfc822", b"inoculation"),
    b"multipart": (b"mixed", b"alternative", b"signed", b"encrypted"),
}


@dataclass
class Header:
    name: bytes
    data: bytes
    unfolded: bytes


@dataclass
class Part:
    headers: list[Header] = field(default_factory=list)
    body: bytes = b""
    encoding: bytes = b"unknown"
    type: bytes = b"text"
    subtype: bytes = b"plain"
    disposition: bytes = b"unknown"
    decoded: bool = False  # 1.8 decoded the body but left the header alone


def first_of(data: bytes, choices: tuple[bytes, ...]) -> bytes:
    """The choice that `data` begins with, any case; else b"other"."""
    return next((choice for choice in choices if data.lower().startswith(choice)), b"other")


def boundary_of(text: bytes) -> bytes:
    """The boundary parameter by the rule of 1.5; empty if there is none."""
    at = text.lower().find(b"boundary")
    equals = text.find(b"=", at) if at >= 0 else -1
    if equals < 0:
        return b""
    value = text[equals + 1 :].lstrip(html.WHITE)
    value = value.removeprefix(b'"').lstrip(b' ";\n\t')
    return re.split(rb'[ ";\n\t]', value, maxsplit=1)[0][:127]


def from_base64(text: bytes) -> bytes:
    out, pending, bits = bytearray(), 0, 0
    for byte in text:
        if byte == ord("="):
            if bits in (12, 18):
                out += (pending >> (bits % 8)).to_bytes(bits // 8, "big")
            break
        if byte not in ALPHABET:
            continue
        pending, bits = pending << 6 | ALPHABET.index(byte), bits + 6
        if bits == 24:
            out += pending.to_bytes(3, "big")
            pending = bits = 0
    decoded = bytes(out).split(b"\0")[0]
    return decoded if not decoded or decoded.endswith(b"\n") else decoded + b"\n"


def from_quoted_printable(text: bytes) -> bytes:
    def replace(match: re.Match[bytes]) -> bytes:
        return bytes.fromhex(match[1].decode()) if match[1] else b""

    return re.sub(rb"=(?:\r?\n|([0-9A-Fa-f]{2}))", replace, text).split(b"\0")[0]


def from_percent(text: bytes) -> bytes:
    decoded = re.sub(rb"%([0-9A-Fa-f]{2})", lambda m: bytes.fromhex(m[1].decode()), text)
    return decoded.split(b"\0")[0]


def decode(body: bytes, encoding: bytes) -> bytes:
    return from_base64(body) if encoding == b"base64" else from_quoted_printable(body)


class Parser:
    """The line machine of 1.3."""

    def __init__(self) -> None:
        self.parts = [Part()]
        self.last: Header | None = None  # survives a change of part (Q-M14)
        self.bounds: list[bytes] = []
        self.in_body = False
        self.in_content_type = False
        self.lines: list[bytes] = []

    def feed(self, message: bytes) -> list[Part]:
        lines = message.split(b"\n")
        complete = lines[-1] == b""
        if complete:
            lines.pop()
        for number, line in enumerate(lines):
            end = b"\n" if complete or number + 1 < len(lines) else b""
            if self.in_body:
                self.body_line(line, end)
            else:
                self.header_line(line)
        self.end_part()
        return self.parts

    def hits(self, line: bytes) -> bool:
        return line.startswith(tuple(self.bounds))

    def header_line(self, line: bytes) -> None:
        part = self.parts[-1]
        if self.hits(line):
            self.next_part()
        elif line.startswith((b" ", b"\t")):
            if self.last:
                self.last.data += b"\n" + line
                self.last.unfolded += line.lstrip(html.WHITE)
                self.understand(part, self.last)
        elif line == b"" or line.startswith(b"\r"):
            self.in_body = True
            self.in_content_type = False
        else:
            name, _, data = line.partition(b":")
            data = data.lstrip(b" \t")
            self.last = Header(name, data, data)
            part.headers.append(self.last)
            self.understand(part, self.last)

    def body_line(self, line: bytes, end: bytes) -> None:
        continued = self.in_content_type and line.startswith((b" ", b"\t"))
        self.in_content_type = continued or line.lower().startswith(b"content-type")
        if self.in_content_type:
            boundary = boundary_of(line)
            if boundary and not self.hits(boundary):
                self.bounds.append(b"--" + boundary)
        if self.hits(line):
            self.next_part()
        else:
            self.lines.append(line + end)

    def understand(self, part: Part, header: Header) -> None:
        """The headers with meaning (1.4)."""
        name, data = header.name.lower(), header.data
        if name == b"content-type":
            part.type = first_of(data, tuple(SUBTYPES))
            part.subtype = first_of(data[len(part.type) + 1 :], SUBTYPES.get(part.type, ()))
            boundary = boundary_of(data) if part.type == b"multipart" else b""
            if boundary and b"--" + boundary not in self.bounds:
                self.bounds.append(b"--" + boundary)
        elif name == b"content-transfer-encoding":
            part.encoding = first_of(data, ENCODINGS)
        elif name == b"content-disposition":
            part.disposition = first_of(data, (b"inline", b"attachment"))

    def end_part(self) -> None:
        part = self.parts[-1]
        part.body = b"".join(self.lines).split(b"\0")[0]
        self.lines = []
        for header in part.headers:
            decode_words(header)

    def next_part(self) -> None:
        self.end_part()
        self.parts.append(Part())
        self.in_body = False


def decode_words(header: Header) -> None:
    """1.6: the first encoded word is decoded, everything after it is lost (Q-M1)."""
    start = header.unfolded.find(b"=?")
    if start < 0:
        return
    pieces = [piece for piece in header.unfolded[start:].split(b"?") if piece]
    if len(pieces) < 4:
        return
    kind, payload = pieces[2][:1].lower(), pieces[3]
    if kind in (b"b", b"q"):
        decoded = decode(payload, b"base64" if kind == b"b" else b"quoted-printable")
        header.data = header.unfolded[:start] + decoded


def signature_pass(parts: list[Part], *, headers_only: bool, cut_tags: bool) -> None:
    """1.8: the search for a signature changes the message before it is tokenized."""
    protected = headers_only
    for number, part in enumerate(parts):
        protected |= (part.type, part.subtype) == (b"multipart", b"signed")
        if not has_text(number, part):
            continue
        if part.encoding in ENCODED and part.disposition != b"attachment":
            part.body = decode(part.body, part.encoding)
            part.decoded = True
            if not protected:
                part.encoding = b"8bit"
                for header in part.headers:
                    if header.name.lower() == b"content-transfer-encoding":
                        header.data = b"8bit"
        if cut_tags and not protected:
            part.body = without_tag(part.body)


def without_tag(body: bytes) -> bytes:
    """8.3: the body without its first signature tag."""
    start = body.find(b"!DSPAM:")
    after = start + len(b"!DSPAM:")
    if start < 0:
        start = body.find(b"X-DSPAM-Signature:")
        colon = body.find(b": ", start) if start >= 0 else -1
        if colon < 0:
            return body
        after = colon + 2
    identifier = re.compile(rb"[0-9A-Za-z ,]*").match(body, after)
    if identifier is None or len(identifier[0]) >= 128:
        return body
    return body[:start] + body[identifier.end() + 1 :]


def has_text(number: int, part: Part) -> bool:
    return part.type in (b"text", b"message") or (number == 0 and part.type == b"multipart")


def flatten(parts: list[Part]) -> tuple[bytes, bytes]:
    """1.9: header text and body text of all parts."""
    headers: list[bytes] = []
    bodies: list[bytes] = []
    for number, part in enumerate(parts):
        if not part.headers:
            continue
        for header in part.headers:
            name, data = header.name.split(b"\0")[0], header.data.split(b"\0")[0]
            headers.append((name + b": " + data + b"\n")[:1023])
        if not has_text(number, part):
            continue
        body = part.body
        if part.encoding in ENCODED and not part.decoded and part.disposition != b"attachment":
            body = decode(body, part.encoding)
        if part.encoding == b"8bit":
            body = from_percent(body)
        if part.subtype == b"html":
            body = html.strip(body)
        bodies.append(body)
    return b"".join(headers), b"".join(bodies)


def view(message: bytes, *, headers_only: bool | None = None, cut_tags: bool = False) -> tuple[bytes, bytes]:
    """Header text and body text of a message with LF line ends.

    `headers_only` None means that no search for a signature came first (1.8).
    """
    parts = Parser().feed(message.replace(b"\0", b""))
    if headers_only is not None:
        signature_pass(parts, headers_only=headers_only, cut_tags=cut_tags)
    return flatten(parts)
