"""Distinct mails: each has a number, from which its text follows.

The audit compares arrived and sent mail byte for byte, so the bodies have content that
transport may damage: dots at the start of lines, trailing blanks, empty lines, bytes
that are no ASCII, long lines, and sizes from one line to hundreds of kilobytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from random import Random

from tests.support.message import as_sent, compose

USERS = ("alice", "bob", "carol", "dave")
_WORDS = [
    stem + end for stem in ("lot", "draw", "meet", "send", "clean", "lamp") for end in ("s", "ing", "er")
]
_ODD = (".", "..", "", "  ", ".dots", "trailing blanks  ", "\xe9t\xe9 \xff", "From here", "x" * 900)


@dataclass(frozen=True)
class Mail:
    """The mail with this number, in the run of this seed."""

    seed: int
    number: int

    @cached_property
    def users(self) -> tuple[str, ...]:
        """Whom it is for; one mail in five is for two users."""
        return tuple(self._random.sample(USERS, 2 if self.number % 5 == 0 else 1))

    @property
    def content(self) -> bytes:
        """The message with CR LF."""
        random = self._random
        lines = random.choice((1, 5, 20, 20, 60, 60, 200))
        if self.number % 100 == 99:
            lines = 5000
        text = [
            random.choice(_ODD) if random.random() < 0.1 else " ".join(random.choices(_WORDS, k=8))
            for _ in range(lines)
        ]
        return compose(f"Chaos {self.number}", "\n".join(text), "MIME-Version: 1.0",
                       "Content-Type: text/plain; charset=iso-8859-1",
                       "Content-Transfer-Encoding: 8bit")  # fmt: skip

    def is_in(self, delivered: bytes) -> bool:
        """Whether `delivered` (CR LF) is this mail, except for our fields and those of Postfix."""
        if delivered.count(b"\n") != delivered.count(b"\r\n"):
            return False
        return as_sent(delivered.replace(b"\r\n", b"\n")) == self.content.replace(b"\r\n", b"\n")

    @property
    def _random(self) -> Random:
        return Random(f"{self.seed} {self.number}")
