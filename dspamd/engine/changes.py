"""Changes of many tokens: in the order of their tokens, in pieces, two as one.

A text of 20 MB can have 7.5 million tokens.  Python holds its lock for the length of a single step on
them (a sort, a set, a text that is joined), and the event loop would stand still for seconds.  So
the kernel does what needs all tokens, without the lock, and everything else goes piece by piece.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator

from dspamd.engine._kernel import ascending, floored
from dspamd.engine.model import Hits, Learned, TokenChange

__all__ = ["AT_ONCE", "ascending", "extend", "floored", "joined", "pieces", "portions"]

AT_ONCE = 1 << 14
"""Tokens of a piece: all of any usual message, and some ten milliseconds for what is done with them."""


def pieces(change: TokenChange) -> Iterator[TokenChange]:
    """A change in pieces of at most `AT_ONCE` tokens, in its order; at least one, which may be empty."""
    if len(change.tokens) <= AT_ONCE:
        yield change
        return
    for first in range(0, len(change.tokens), AT_ONCE):
        yield TokenChange(*(column[first : first + AT_ONCE] for column in change))


def portions(tokens: array[int]) -> Iterator[array[int]]:
    """Tokens by at most `AT_ONCE`; at least one portion, which may be empty."""
    for first in range(0, len(tokens) or 1, AT_ONCE):
        yield tokens[first : first + AT_ONCE] if len(tokens) > AT_ONCE else tokens


def extend(all_: Hits | TokenChange, piece: Hits | TokenChange) -> None:
    """Append a piece to the arrays of the whole."""
    for column, more in zip(all_, piece, strict=True):
        column.extend(more)


def joined(one: Learned, other: Learned) -> Learned:
    """Two lessons as one, in which each token is there once.  Raises ValueError if both change a block."""
    if one.block and other.block:
        raise ValueError("only their scorer can join two changes of a block")
    totals, tokens = one.totals.joined(other.totals), ascending(one.tokens, other.tokens)
    return Learned(totals, tokens, one.block or other.block)
