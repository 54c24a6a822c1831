"""A hash file in memory, for replaying what the original recorded with its own.

It is the kernel of our hash files over bytes that no disk holds.  The recorded runs read and write a
hundred million hits; a dictionary of Python takes five times as long as the engine for them.
"""

from __future__ import annotations

from array import array

from dspamd.engine.model import Hits, Learned, Snapshot, Totals
from dspamd.storage.files import css
from dspamd.storage.files._css import css_after, css_find, css_plan, css_pour, css_store

NOTHING = Totals()
_SEEK = 100
_UNLIMITED = 1 << 62


class HashStore:
    """Totals and hits of one user.

    Of a `limited` store the hits of a token never exceed the messages learned of that class: a peculiarity
    of the original's hash files, whatever is written (reference/engine.md 7.6, Q-T8).
    """

    def __init__(
        self, *, limited: bool = False, totals: Totals = NOTHING, file: bytearray | None = None
    ) -> None:
        self.limited, self.totals = limited, totals
        self._file = file or _empty(100_000)

    def copy(self) -> HashStore:
        return HashStore(limited=self.limited, totals=self.totals, file=self._file.copy())

    def read(self, tokens: array[int]) -> Snapshot:
        """Totals, and the hits of known tokens in no particular order."""
        return Snapshot(self.totals, Hits(*css_find(self._file, _SEEK, tokens[::-1])[:3]))

    def apply(self, learned: Learned) -> None:
        """Add the changes; no counter falls below zero."""
        self.totals = self.totals.plus(learned.totals)
        most = (self.totals.spam_learned, self.totals.innocent_learned)
        limits = most if self.limited else (_UNLIMITED, _UNLIMITED)
        tokens, _, _, spam, innocent = css_plan(self._file, _SEEK, *learned.tokens, *limits)
        at = 0
        while (at := css_store(self._file, _SEEK, tokens, spam, innocent, at)) < len(tokens):
            self._grow()

    def rows(self) -> list[tuple[int, int, int]]:
        """All tokens with their spam and innocent hits, ascending."""
        known = css_after(self._file, 0, self._records)
        return list(zip(*css_find(self._file, _SEEK, known)[:3], strict=True))

    @property
    def _records(self) -> int:
        (records,) = css.extents(self._file)
        return records

    def _grow(self) -> None:
        narrow, self._file = self._file, _empty(2 * self._records)
        css_pour(narrow, self._file, _SEEK)


def _empty(least: int) -> bytearray:
    """A file of one extent with at least so many places."""
    head = css.opening(least)
    file = bytearray(len(head) + css.RECORD_BYTES * css.HEADER.unpack(head)[0])
    file[: len(head)] = head
    return file
