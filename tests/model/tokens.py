"""Tokens and tokenizers, plainly written (reference/engine.md 2 and 6.1).

A message becomes a table of tokens in the order of first touch; everything
later walks it in iteration order (2.2).
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field

MODULUS = 24593
POLYNOMIAL = 0xD800000000000000

WORD_BODY = b" .,;:\n\t\r@-+*"
SPARSE_BODY = bytes(
    b for b in b" \t\n\r" + bytes(range(33, 127)) if chr(b) not in "!'" and not chr(b).isalnum()
)


def without(delimiters: bytes, kept: bytes) -> bytes:
    return bytes(b for b in delimiters if b not in kept)


WORD_HEADER = without(WORD_BODY, b".")
SPARSE_HEADER = without(SPARSE_BODY, b"._-")


def _table_entry(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (POLYNOMIAL if byte & 1 else 0)
    return byte


TABLE = [_table_entry(byte) for byte in range(256)]


def value_of(name: bytes) -> int:
    """2.1: the 64-bit number of a token."""
    crc = 0
    for byte in name:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 255]
    return crc


def complexity(name: bytes) -> int:
    """2.7: one more than the `+` in a name, not counting the byte after each."""
    count, at = 1, 0
    while at < len(name):
        if name[at] == ord("+"):
            count += 1
            at += 1
        at += 1
    return count


def weight(name: bytes) -> int:
    """2.7: the weight that the markov method gives to a name."""
    fields = name.split(b"+")
    words = complexity(name)
    sparse = name.startswith(b"#+") + name.endswith(b"+#") + sum(1 for _ in re.finditer(rb"(?=\+#\+)", name))
    literal_ends = fields[0] != b"#" and fields[-1] != b"#"
    return int(4 ** (words - sparse - 1)) if words <= 5 and literal_ends else 1


@dataclass
class Entry:
    """A row of the token table of one message (2.2)."""

    value: int
    name: bytes
    frequency: int = 1
    pattern: bool = False  # kind B; else kind D
    spam: int = 0
    innocent: int = 0
    probability: float = 0.0


@dataclass
class Table:
    """All tokens of a message by value, in order of first touch."""

    entries: dict[int, Entry] = field(default_factory=dict)
    order: list[int] = field(default_factory=list)
    chained: list[int] = field(default_factory=list)
    whitelist: int | None = None
    text: tuple[bytes, bytes] = (b"", b"")

    def touch(self, name: bytes, stream: list[int] | None = None) -> int:
        name = name[:255]
        value = value_of(name)
        if value in self.entries:
            self.entries[value].frequency += 1
        else:
            self.entries[value] = Entry(value, name)
        if stream is not None:
            stream.append(value)
        return value

    def iterate(self, modulus: int = MODULUS) -> list[Entry]:
        return sorted(self.entries.values(), key=lambda entry: entry.value % modulus)


@dataclass(frozen=True)
class Tokenizer:
    """A message to its table; `kind` is word, chain, sbph or osb."""

    kind: str = "chain"
    url_context: bool = False
    whitelist: bool = False
    ignore_headers: frozenset[bytes] = frozenset()

    def __call__(self, headers: bytes, body: bytes) -> Table:
        table = Table(text=(headers, body))
        if self.url_context:
            body = touch_urls(table, body)
        self.touch_headers(table, headers)
        self.touch_words(table, body, None)
        return table

    def touch_headers(self, table: Table, headers: bytes) -> None:
        """2.4: physical line by physical line."""
        heading = b""
        for line in headers.split(b"\n"):
            if not line:
                continue
            # The piece before the first colon; leading colons belong to nothing.
            lead = len(line) - len(line.lstrip(b":"))
            piece, _, rest = line[lead:].partition(b":")
            words = piece
            if piece and not piece.startswith(b"\t") and b" " not in piece:
                heading = piece[:127]
                words = rest
                sender = line[5:]
            else:
                colon = lead + len(piece)  # the line's first one, if it has any
                sender = line[5:colon] if colon >= 5 else line[5:]
            if self.whitelist and heading == b"From":
                table.whitelist = table.touch(b"From*" + sender.removeprefix(b" "))
            if heading.lower() in self.ignore_headers or heading.startswith(b"X-DSPAM-"):
                continue
            self.touch_words(table, words, heading)

    def touch_words(self, table: Table, text: bytes, heading: bytes | None) -> None:
        if self.kind in ("word", "chain"):
            self.touch_chain(table, text, heading)
        else:
            self.touch_windows(table, text, heading)

    def touch_chain(self, table: Table, text: bytes, heading: bytes | None) -> None:
        """2.5: single words, and pairs with chain."""
        prefix = b"" if heading is None else heading + b"*"
        previous = b""
        for word in pieces(text, WORD_BODY if heading is None else WORD_HEADER):
            while len(word) > 1 and word[-2] == ord("!"):
                word = word[:-1]
            table.touch(prefix + word, table.order if heading is None else None)
            if self.kind == "chain" and previous:
                pair = prefix + previous + b"+" + word
                table.touch(pair, table.chained if heading is None else None)
            previous = word

    def touch_windows(self, table: Table, text: bytes, heading: bytes | None) -> None:
        """2.6: combinations of words in a window of five."""
        prefix = b"" if heading is None else heading + b"*"
        words = pieces(text, SPARSE_BODY if heading is None else SPARSE_HEADER)
        for start in range(len(words)):
            window = words[start : start + 5]
            for mask in range(1, 1 << len(window), 2):
                if self.kind == "osb" and mask.bit_count() != 2:
                    continue
                fields = [window[j] if mask >> j & 1 else b"#" for j in range(mask.bit_length())]
                table.touch(prefix + b"+".join(fields), table.order)


def split(text: bytes, delimiters: bytes) -> list[bytes]:
    pattern = b"[^" + re.escape(delimiters) + b"]+"
    return re.findall(pattern, text)


def pieces(text: bytes, delimiters: bytes) -> list[bytes]:
    """The words of a text: shorter than 50 bytes."""
    return [word for word in split(text, delimiters) if len(word) < 50]


def touch_urls(table: Table, body: bytes) -> bytes:
    """2.3: tokens of URLs; the body with the URLs blanked."""
    for key in (b"http://", b"www.", b"href="):
        lower, at = body.lower(), 0
        while (at := lower.find(key, at)) >= 0:
            end = at
            while end < len(body) and 33 <= body[end] <= 127 and body[end] != ord(">"):
                if body[end] in b"\"'" and end - at > len(key):
                    break
                end += 1
            for piece in split(body[at:end], WORD_BODY):
                table.touch(b"Url*" + piece)
            body = body[:at] + b" " * (end - at) + body[end:]
            at = end
    return body


def from_signature(blob: bytes) -> Table:
    """8.2: the table that a stored signature stands for; names are lost."""
    table = Table()
    for value, frequency in struct.iter_unpack("<QB7x", blob):
        table.entries[value] = Entry(value, b"E: ", frequency)
    return table
