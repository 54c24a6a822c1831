"""Who reports what, and when: the user of a measurement.

A user reports a wrong verdict, and nothing else; of a right one they say nothing, as with the daemon.
They may report late, forget a share of the errors, or be wrong about a share of the messages.  Chance
comes from the names of messages and order alone: each configuration meets the same user, each time.

Pure.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

from dspamd.engine.model import Label

T = TypeVar("T")


class Feedback(NamedTuple):
    """How the users of a measurement behave."""

    delay: int = 0
    """Messages, of all users, that come before an error is reported."""

    unreported: float = 0.0
    """The share of errors that nobody reports, 0 to 1."""

    noise: float = 0.0
    """The share of messages that their user takes for the other class, 0 to 1."""

    def report(self, order: str, name: str, label: Label, verdict: Label) -> Label | None:
        """The label that the user gives to a message after our verdict; None: they say nothing."""
        wrong = _chance("noise", order, name) < self.noise
        believed = label.opposite if wrong else label
        if believed is verdict or _chance("unreported", order, name) < self.unreported:
            return None
        return believed


def shuffled(items: Sequence[T], order: str) -> list[T]:
    """The items in a random order, which depends on its name alone."""
    mixed = list(items)
    random.Random(order).shuffle(mixed)  # a text as seed gives the same order with any hash seed
    return mixed


def _chance(*names: str) -> float:
    """A number from 0 to below 1 that depends on the names alone."""
    text = "\0".join(names).encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.blake2b(text, digest_size=6).digest()) / 2**48
