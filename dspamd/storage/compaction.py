"""Hash files made smaller: the same records in a single extent of a fitting size.

A hash file grows by extents, and what is removed from it leaves free records behind.
A file with many extents is slow to search, one with few records in it wastes memory.
`compacted` puts all records, with their ages, into one new table in which a search
always ends within `HashMaxSeek`; if tokens crowd, the table is made larger until it does.

Pure: bytes in, bytes out.  Who may replace a file by them is known to `hash_file.py`.
"""

from __future__ import annotations

from array import array
from mmap import mmap

from dspamd.engine._kernel import css_after, css_plan, css_store
from dspamd.storage import css
from dspamd.storage.css import Bytes

ROOM = 4
"""Records for each token: so that searches are short, and there is room to learn."""

_EVERYWHERE = 2**32  # a record is found wherever an earlier HashMaxSeek has put it
_LIMITS = (2**28 - 1, 2**28 - 1)


def used(file: Bytes) -> list[int]:
    """How many records of each extent are in use."""
    counts, at = [], 0
    for records in css.extents(file):
        at += css.HEADER.size
        end = at + records * css.RECORD_BYTES
        tokens = array("Q", file[at:end])[:: css.RECORD_BYTES // 8]
        counts.append(records - tokens.count(0))
        at = end
    return counts


def compacted(file: bytearray | mmap, tokens: int, seek: int, least: int, *, folded: bool) -> bytearray:
    """The file with its `tokens` in one extent of at least `least` records; totals and day stay."""
    known = css_after(file, 0, tokens)
    none = array("i", bytes(4 * len(known)))
    known, spam, innocent, *_ = css_plan(file, _EVERYWHERE, known, none, none, *_LIMITS)
    records = max(least, ROOM * tokens)
    while True:
        fresh = bytearray(css.opening(records, css.totals(file), folded=folded))
        fresh.extend(bytes(css.extents(fresh)[0] * css.RECORD_BYTES))
        css.set_day(fresh, css.day(file))
        if css_store(fresh, seek, known, spam, innocent, 0) == len(known):
            return fresh
        records *= 2
