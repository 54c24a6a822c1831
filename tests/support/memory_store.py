"""A store in memory, slow and plain; recorded runs that are longer take tests/support/hash_store.py.

The recordings were made on the original's hash files.  `limited` gives the store
their one peculiarity: whatever is written, the hits of a token never exceed the
messages learned of that class (reference/engine.md 7.6, Q-T8).
"""

from __future__ import annotations

from array import array

from dspamd.engine.model import Hits, Learned, Snapshot, Totals


class MemoryStore:
    """Totals and hits of one user."""

    def __init__(self, *, limited: bool = False) -> None:
        self.limited = limited
        self.totals = Totals()
        self.hits: dict[int, tuple[int, int]] = {}

    def read(self, tokens: array[int]) -> Snapshot:
        """Totals, and the hits of known tokens in no particular order."""
        known = [token for token in reversed(tokens) if token in self.hits]
        counts = [self.hits[token] for token in known]
        return Snapshot(
            self.totals,
            Hits(
                array("Q", known),
                array("Q", [spam for spam, _ in counts]),
                array("Q", [innocent for _, innocent in counts]),
            ),
        )

    def apply(self, learned: Learned) -> None:
        """Add the changes; no counter falls below zero."""
        self.totals = self.totals.plus(learned.totals)
        most_spam = self.totals.spam_learned if self.limited else 1 << 62
        most_innocent = self.totals.innocent_learned if self.limited else 1 << 62
        hits = self.hits
        for token, spam, innocent in zip(*learned.tokens, strict=True):
            before = hits.get(token, (0, 0))
            hits[token] = (
                max(0, min(before[0] + spam, most_spam)),
                max(0, min(before[1] + innocent, most_innocent)),
            )

    def rows(self) -> list[tuple[int, int, int]]:
        """All tokens with their spam and innocent hits, ascending."""
        return [(token, *self.hits[token]) for token in sorted(self.hits)]
