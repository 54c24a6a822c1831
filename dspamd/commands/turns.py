"""Labelled messages in the order in which a dictionary learns them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from dspamd.engine.model import Label


class Item(NamedTuple):
    """A message of a corpus.

    `key` names it for ever, so that it is known before it is read; empty where nothing but its content does.
    """

    label: Label
    name: str
    read: Callable[[], bytes]
    key: str = ""


def in_turns(innocent: Sequence[Item], spam: Sequence[Item]) -> Iterator[Item]:
    """Mix both in proportion, beginning with an innocent one."""
    ratio = len(innocent) / len(spam) if spam else 0.0
    done = 0
    for number, item in enumerate(spam):
        due = max(number + 1 if ratio >= 1 else 1, round(number * ratio))
        yield from innocent[done:due]
        done = max(done, due)
        yield item
    yield from innocent[done:]
