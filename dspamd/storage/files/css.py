"""The layout of DSPAM's hash files, and those of other machines (reference/storage.md 6.1).

A `.css` file is a row of extents.  Each begins with a header, which tells how many
records follow; the totals count in the first one only.  DSPAM wrote numbers as its
machine held them, so there are four layouts.  We read and write that of 64-bit
little-endian machines, and convert the others when we meet them.

We use four bytes that DSPAM leaves empty, at the end of the first header: the day up
to which the ages of the records were counted.

Finding and changing records is the kernel's (storage/files/css.pxi).  Pure: bytes in,
bytes and numbers out.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from mmap import mmap
from typing import NamedTuple

from dspamd.engine.model import Totals

Bytes = bytes | bytearray | mmap

HEADER = struct.Struct("<Q8qII")  # records, totals, flags, day
RECORD_BYTES = 24
_NOTHING = Totals()
_FOLDED = 1  # flag: a power of two records, in which tokens are placed by folding them
_LARGEST = 2**32  # records; more is no header
_TOTALS = struct.Struct("<8q")
_TOTALS_AT = 8
_DAY = struct.Struct("<I")
_DAY_AT = 76


@dataclass(frozen=True, slots=True)
class Shape:
    """How files are made, grow and are searched (config.md 4.4)."""

    records: int = 98_317  # of the first extent; rounded up
    extend: bool = True
    extents: int = 0  # how often a file may grow; 0: always
    percent: int = 0  # by which the next extent is larger
    seek: int = 100  # how many places after its home a record may be
    folded: bool = False  # extents of a power of two
    solid: bool = False  # no file has holes
    limited: bool = False  # no token has more hits than messages were learned, as in DSPAM


class Layout(NamedTuple):
    """How a machine wrote: header, 32-bit words of a record, which of them count, and which are always 0."""

    order: str
    header: struct.Struct
    words: int
    token_low: int
    token_high: int
    innocent: int
    spam: int
    zeros: tuple[int, ...] = ()


_OURS = Layout("little", HEADER, 6, 0, 1, 2, 4, (3, 5))
_LAYOUTS = (
    _OURS,
    Layout("big", struct.Struct(">Q8qI4x"), 6, 1, 0, 3, 5, (2, 4)),
    Layout("little", struct.Struct("<I8iI"), 4, 0, 1, 2, 3),
    Layout("big", struct.Struct(">I8iI"), 4, 1, 0, 2, 3),
)


def header(records: int, totals: Totals = _NOTHING, flags: int = 0) -> bytes:
    """The head of an extent, whose records follow."""
    return HEADER.pack(records, *totals, flags, 0)


def opening(least: int, totals: Totals = _NOTHING, *, folded: bool = False) -> bytes:
    """The head of a new extent of at least `least` records: a prime number, or a power of two if `folded`."""
    if folded:
        return header(1 << max(1, (least - 1).bit_length()), totals, _FOLDED)
    return header(_next_prime(least), totals)


def totals(file: Bytes) -> Totals:
    return Totals(*_TOTALS.unpack_from(file, _TOTALS_AT))


def set_totals(file: bytearray | mmap, totals: Totals) -> None:
    _TOTALS.pack_into(file, _TOTALS_AT, *totals)


def day(file: Bytes) -> int:
    """The day up to which ages are counted (days since 1970-01-01); 0 if they never were."""
    counted: int = _DAY.unpack_from(file, _DAY_AT)[0]
    return counted


def set_day(file: bytearray | mmap, day: int) -> None:
    _DAY.pack_into(file, _DAY_AT, day)


def extents(file: Bytes) -> list[int]:
    """The number of records of each extent of a sound file."""
    return [records for records, _ in _extents(file, HEADER, RECORD_BYTES)]


def sound_length(file: Bytes) -> int | None:
    """How long the file should be; None if it is no hash file of our layout.

    An extent that was cut off is worth keeping, a header that was cut off or never
    written is not.
    """
    length = 0
    for _, end in _extents(file, HEADER, RECORD_BYTES):
        length = end
    return length or None


def _extents(file: Bytes, head: struct.Struct, record_bytes: int) -> Iterator[tuple[int, int]]:
    """The number of records of each extent, and where it should end."""
    at, length = 0, len(file)
    while at + head.size <= length:
        records = head.unpack_from(file, at)[0]
        if not 0 < records < _LARGEST:
            return
        at += head.size + records * record_bytes
        yield records, at


def converted(file: Bytes) -> bytes | None:
    """The file of another machine in our layout; None if it has ours already, or none at all."""
    whole = {layout: ends for layout in _LAYOUTS if (ends := _ends(file, layout))[-1:] == [len(file)]}
    if len(whole) > 1:  # a small file may be whole in two ways, by chance
        whole = {layout: ends for layout, ends in whole.items() if _plausible(file, layout, ends)}
    for layout, ends in whole.items():
        if layout is _OURS:
            return None
        return b"".join(_native(file, layout, start, end) for start, end in pairwise([0, *ends]))
    return None


def _ends(file: Bytes, layout: Layout) -> list[int]:
    return [end for _, end in _extents(file, layout.header, 4 * layout.words)]


def _plausible(file: Bytes, layout: Layout, ends: list[int]) -> bool:
    """Whether all counters are as small as they always are."""
    for start, end in pairwise([0, *ends]):
        words = array("I", file[start + layout.header.size : end])
        if any(any(words[zero :: layout.words]) for zero in layout.zeros):
            return False
    return True


def _native(file: Bytes, layout: Layout, start: int, end: int) -> bytes:
    """One extent in our layout; places stay, because the same number of records stays."""
    records, *counters, flags = layout.header.unpack_from(file, start)
    theirs = array("I", file[start + layout.header.size : end])
    if layout.order != sys.byteorder:
        theirs.byteswap()
    ours = array("I", bytes(RECORD_BYTES * records))
    for place, word in enumerate((layout.token_low, layout.token_high, layout.innocent, None, layout.spam)):
        if word is not None:
            ours[place::6] = theirs[word :: layout.words]
    if sys.byteorder == "big":
        ours.byteswap()
    return header(records, Totals(*counters), flags) + ours.tobytes()


def _next_prime(number: int) -> int:
    """The smallest prime that is not below `number`, by which tokens spread evenly."""
    number = max(2, number)
    while any(number % divisor == 0 for divisor in range(2, int(number**0.5) + 1)):
        number += 1
    return number
