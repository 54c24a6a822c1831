"""Hash files made smaller: the same records in a single extent of a fitting size.

A hash file grows by extents, and removals leave free records.  A file with many extents
is slow to search, one with few records wastes memory.
`compacted` puts all records, with their ages, into one new table in which a search
always ends within `HashMaxSeek`; if tokens crowd, the table is made larger until it does.
Records lie where an earlier `HashMaxSeek` put them, and a token may have one in each extent,
because a program with a shorter search did not see the first.  `compacted` adds their hits up.

Pure: bytes in, bytes out.  `hash_file.py` decides when they replace a file.
"""

from __future__ import annotations

from array import array
from mmap import mmap

from dspamd.storage.files import css
from dspamd.storage.files._css import css_after, css_pour
from dspamd.storage.files.css import Bytes

ROOM = 4
"""Records for each token: so that searches are short, and there is room to learn."""


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


def doubled(file: bytearray | mmap, records: int) -> bool:
    """Whether some token has more than one of the `records` in use."""
    return len(css_after(file, 0, records)) < records


def compacted(file: bytearray | mmap, used: int, seek: int, least: int, *, folded: bool) -> bytearray:
    """The file with its `used` records in one extent of at least `least`; totals and day stay."""
    records = max(least, ROOM * used)
    while True:
        fresh = bytearray(css.opening(records, css.totals(file), folded=folded))
        fresh.extend(bytes(css.extents(fresh)[0] * css.RECORD_BYTES))
        css.set_day(fresh, css.day(file))
        if css_pour(file, fresh, seek) >= 0:
            return fresh
        records *= 2
