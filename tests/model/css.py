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

    def path(self, token: int) -> list[int]:
        """All places, in the order of the search."""
        return [(self.home(token) + step) % self.size for step in range(self.size)]

    def released(self, token: int, seek: int) -> list[int]:
        """Where DSPAM 3.10.2 puts it: up to `seek` places after the home, without the last one."""
        home, *others = self.path(token)
        return [home, *(place for place in others if place < self.size - 1)][: seek + 1]

    def branched(self, token: int, seek: int) -> list[int]:
        """Where its later branch puts it."""
        return self.path(token)[:seek]

    def searched(self, token: int, seek: int) -> list[int]:
        """Where either may have put it, in the order of the search."""
        either = {*self.released(token, seek), *self.path(token)[: seek + 1]}
        return [place for place in self.path(token) if place in either]

    def slot(self, token: int, seek: int) -> int | None:
        """Where a token is."""
        for place in self.searched(token, seek):
            if self.slots[place][0] == token:
                return place
            if self.slots[place] == FREE and (place < self.size - 1 or place == self.home(token)):
                break
        return None


@dataclass
class HashTable:
    extents: list[Extent]
    seek: int
    released: bool = False  # written by DSPAM 3.10.2, not by its branch

    def find(self, token: int) -> tuple[Extent, int] | None:
        for extent in self.extents:
            if (place := extent.slot(token, self.seek)) is not None:
                return extent, place
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
            places = extent.released if self.released else extent.branched
            for place in places(token, self.seek):
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
