"""Hash files, plainly: a row of tables that are searched from a token's home (reference/storage.md 6.2)."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

Slot = tuple[int, int, int]  # token, innocent hits, spam hits
FREE: Slot = (0, 0, 0)
HITS = 2**28 - 1


@dataclass
class Extent:
    size: int
    folded: bool = False
    slots: list[Slot] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.slots = [FREE] * self.size

    def home(self, token: int) -> int:
        if not self.folded:
            return token % self.size
        bits = self.size.bit_length() - 1
        home = 0
        while token and bits:
            home ^= token % self.size
            token >>= bits
        return home

    def path(self, token: int, seek: int) -> list[int]:
        """The places where a token may be, in the order of the search."""
        return [(self.home(token) + step) % self.size for step in range(min(seek, self.size))]


@dataclass
class HashTable:
    extents: list[Extent]
    seek: int

    def find(self, token: int) -> tuple[Extent, int] | None:
        for extent in self.extents:
            for place in extent.path(token, self.seek):
                if extent.slots[place][0] == token:
                    return extent, place
                if extent.slots[place] == FREE:
                    break
        return None

    def hits(self, token: int) -> tuple[int, int] | None:
        found = self.find(token)
        return found and (found[0].slots[found[1]][2] & HITS, found[0].slots[found[1]][1] & HITS)

    def store(self, token: int, spam: int, innocent: int) -> bool:
        found = self.find(token) or self.vacancy(token)
        if found:
            found[0].slots[found[1]] = (token, innocent, spam)
        return found is not None

    def vacancy(self, token: int) -> tuple[Extent, int] | None:
        for extent in self.extents:
            for place in extent.path(token, self.seek):
                if extent.slots[place] == FREE:
                    return extent, place
        return None

    def file(self) -> bytearray:
        content = bytearray()
        for extent in self.extents:
            content += struct.pack("<Q8qII", extent.size, *[0] * 8, extent.folded, 0)
            for slot in extent.slots:
                content += struct.pack("<3Q", *slot)
        return content
