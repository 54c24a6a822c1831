"""Header lines as bytes: find, drop, insert, without touching the others.

A *block* is the bytes from the first header line up to the empty line that ends
it (the empty line not included), as RFC 5322 2.2 has it, with CR LF or LF line
ends.  A *field* is one header with its folded lines.  Names are compared without
regard to case.

Every edit returns new bytes in which all other lines are bit-identical and in
their old order: signatures of others (RFC 6376) stay valid.  Nothing is decoded,
refolded or checked; a line that is no header is kept like one that is.

The block is lower-cased once and then searched with plain substring searches:
a few microseconds for the headers of a common message, and linear time for all.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator

_END = re.compile(rb"\n\r?\n")
_FIELD_END = re.compile(rb"\n(?![ \t])")
_WORD_CHARACTERS = 11  # of at most four bytes each: encoded words have 75 bytes at most

# A line that neither is a field, nor continues one, nor comes from an mbox.
_STRAY = re.compile(rb"^(?![!-9;-~]++[ \t]*+:|[ \t]|>?From |\r?$)", re.MULTILINE)


def block_end(data: bytes) -> int:
    """Offset of the empty line that ends the header block; `len(data)` if there is none."""
    if data.startswith((b"\n", b"\r\n")):
        return 0
    match = _END.search(data)
    return match.start() + 1 if match else len(data)


def after_empty_line(data: bytes, offset: int) -> int:
    """Offset after the empty line at `offset`, where the body starts."""
    if data.startswith(b"\n", offset):
        return offset + 1
    return offset + 2 if data.startswith(b"\r\n", offset) else offset


def sound(block: bytes) -> bool:
    """Whether a block has nothing but fields in it (RFC 5322 2.2).

    If not, it may reach into the body: the empty line between them got lost.
    """
    return _STRAY.search(block) is None


def _field_end(block: bytes, start: int) -> int:
    match = _FIELD_END.search(block, start)
    return match.end() if match else len(block)


def _fields(block: bytes, prefix: bytes) -> Iterator[tuple[int, int]]:
    """Ranges of the fields whose first line starts with `prefix` (lower case)."""
    needle = b"\n" + prefix
    # One byte in front makes the offset of a match the offset of its line.
    lowered = b"\n" + block.lower()
    start = lowered.find(needle)
    while start >= 0:
        end = _field_end(block, start)
        yield start, end
        start = lowered.find(needle, end)


def unfolded(value: bytes) -> bytes:
    """A value on one line (RFC 5322 2.2.3), without the white space around it."""
    return value.replace(b"\r\n", b"").replace(b"\n", b"").strip()


def values(block: bytes, name: bytes) -> list[bytes]:
    """The unfolded values of all fields called `name`, from the top."""
    prefix = name.lower() + b":"
    return [unfolded(block[start + len(prefix) : end]) for start, end in _fields(block, prefix)]


def drop(block: bytes, prefix: bytes) -> tuple[bytes, bytes]:
    """The block without the fields that start with `prefix` (`x-dspam-`, `subject:`), and those."""
    kept, dropped, at = [], [], 0
    for start, end in _fields(block, prefix.lower()):
        kept.append(block[at:start])
        dropped.append(block[start:end])
        at = end
    if not dropped:
        return block, b""
    kept.append(block[at:])
    return b"".join(kept), b"".join(dropped)


def append(block: bytes, lines: Iterable[bytes], newline: bytes) -> bytes:
    """The block with `lines` (without line ends) at its end.

    A block whose last line has no end gets one first, so that our lines never
    continue a line of another program.
    """
    added = b"".join([line + newline for line in lines])
    if added and block and not block.endswith(b"\n"):
        return block + newline + added
    return block + added


def encoded_word(text: bytes) -> bytes:
    """A text that is not ASCII as encoded words (RFC 2047 2), one after the other; UTF-8, else Latin-1."""
    try:
        charset, characters = b"utf-8", text.decode()
    except UnicodeDecodeError:
        charset, characters = b"iso-8859-1", text.decode("latin-1")
    pieces = [characters[at : at + _WORD_CHARACTERS] for at in range(0, len(characters), _WORD_CHARACTERS)]
    codes = [base64.b64encode(piece.encode(charset.decode())) for piece in pieces]
    return b" ".join([b"=?%s?b?%s?=" % (charset, code) for code in codes])


def prefix_subject(block: bytes, tag: bytes, newline: bytes, *, utf8: bool = False) -> bytes:
    """The block with `tag` and a blank in front of every Subject (protocols.md 9.2).

    A subject that starts with the tag already stays as it is; a message without a
    subject gets one.  A tag that is not ASCII becomes an encoded word unless the block may
    have UTF-8 in it (`utf8`, RFC 6532).
    """
    plain = utf8 or tag.isascii()
    tag, before_word = (tag, tag) if plain else (encoded_word(tag), encoded_word(tag + b" "))
    pieces: list[bytes] = []
    at, seen = 0, False
    for start, end in _fields(block, b"subject:"):
        seen = True
        colon = start + len(b"subject:")
        text = block[colon:end].lstrip()
        if text.startswith((tag, before_word)):
            continue
        value = end - len(block[colon:end].lstrip(b" \t"))
        # Mail programs leave out the blank between two encoded words, so the blank goes into the first one.
        shown = before_word if text.startswith(b"=?") else tag
        pieces += block[at:value], (b"" if value > colon else b" "), shown, b" "
        at = value
    if not seen:
        return append(block, [b"Subject: " + tag], newline)
    return b"".join([*pieces, block[at:]])
