"""Header lines as bytes: find, drop, insert, without touching the others.

A *block* is the bytes from the first header line up to the empty line that ends
it (the empty line not included), as RFC 5322 2.2 has it, with CR LF or LF line
ends.  A *field* is one header with its folded lines.  Names are compared without
regard to case.

Every edit returns new bytes in which all other lines are bit-identical and in
their old order: what others signed (RFC 6376) stays signed.  Nothing is decoded,
refolded or checked; a line that is no header is kept like one that is.

The block is lower-cased once and then searched with plain substring searches:
a few microseconds for the headers of a common message, and linear time for all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_END = re.compile(rb"\n\r?\n")
_FIELD_END = re.compile(rb"\n(?![ \t])")


def block_end(data: bytes) -> int:
    """Offset of the empty line that ends the header block; `len(data)` if there is none."""
    if data.startswith((b"\n", b"\r\n")):
        return 0
    match = _END.search(data)
    return match.start() + 1 if match else len(data)


def after_empty_line(data: bytes, offset: int) -> int:
    """Offset behind the empty line at `offset`, where the body starts."""
    if data.startswith(b"\n", offset):
        return offset + 1
    return offset + 2 if data.startswith(b"\r\n", offset) else offset


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
    continue a line of somebody else.
    """
    added = b"".join([line + newline for line in lines])
    if added and block and not block.endswith(b"\n"):
        return block + newline + added
    return block + added


def prefix_subject(block: bytes, tag: bytes, newline: bytes) -> bytes:
    """The block with `tag` and a blank in front of every Subject (protocols.md 9.2).

    A subject that starts with the tag already stays as it is; a message without a
    subject gets one.
    """
    pieces: list[bytes] = []
    at, seen = 0, False
    for start, end in _fields(block, b"subject:"):
        seen = True
        colon = start + len(b"subject:")
        if block[colon:end].lstrip().startswith(tag):
            continue
        value = end - len(block[colon:end].lstrip(b" \t"))
        pieces += block[at:value], (b"" if value > colon else b" "), tag, b" "
        at = value
    if not seen:
        return append(block, [b"Subject: " + tag], newline)
    return b"".join([*pieces, block[at:]])
