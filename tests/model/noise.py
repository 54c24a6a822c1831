"""Bayesian noise reduction (reference/engine.md 5).

Three neighbouring tokens make a pattern of their rounded probabilities.  Where
the pattern itself is decided, members that disagree with it are noise.
"""

from __future__ import annotations

from tests.model.probability import Scale, f32
from tests.model.tokens import Entry, Table

MODULUS = 3079
TOTAL = b"bnr.t|"


def round5(p: float) -> float:
    """p rounded up to the next multiple of 0.05, after cutting to hundredths."""
    hundredths = int(f32(f32(p) * 100))
    while hundredths % 5:
        hundredths += 1
    return hundredths / 100


def patterns(table: Table, scale: Scale) -> tuple[Table, list[list[int]]]:
    """The table of patterns, and for each stream the pattern at each element."""
    found = Table()
    streams = []
    for letter, stream in ((b"s", table.order), (b"c", table.chained)):
        window = [0.0, 0.0, 0.0]
        values = []
        for value in stream:
            window = [*window[1:], round5(scale(table.entries[value]))]
            name = b"bnr.%s|" % letter + b"".join(b"%.2f_" % w for w in window)
            values.append(found.touch(name))
        streams.append(values)
    found.touch(TOTAL)
    for entry in found.entries.values():
        entry.pattern, entry.frequency = True, 1
    return found, streams


def eliminate(table: Table, found: Table, streams: list[list[int]], scale: Scale) -> None:
    """Lower the frequency of tokens that disagree with decided patterns."""
    for stream, values in zip((table.order, table.chained), streams, strict=True):
        noise = set()
        for at, pattern in enumerate(values):
            v = f32(scale(found.entries[pattern]))
            if not abs(0.5 - v) > 0.25:
                continue
            for member in range(max(0, at - 2), at + 1):
                p = f32(table.entries[stream[member]].probability)
                if abs(f32(p - v)) > f32(0.33):
                    noise.add(member)
        for member in noise:
            table.entries[stream[member]].frequency -= 1


def move(found: Table, table: Table) -> None:
    """Make the patterns part of the message."""
    for entry in found.iterate(MODULUS):
        table.entries.setdefault(entry.value, Entry(**vars(entry)))
