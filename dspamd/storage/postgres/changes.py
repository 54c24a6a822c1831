"""Changes of hits, as the statements of PostgreSQL take them."""

from __future__ import annotations

from array import array
from collections.abc import Iterator

from dspamd.engine.changes import pieces
from dspamd.engine.model import Hits, TokenChange


def marked(some: Iterator[TokenChange]) -> Iterator[tuple[TokenChange, bool]]:
    """Each of some pieces, and whether it is the last one."""
    piece = next(some)
    for following in some:
        yield piece, False
        piece = following
    yield piece, True


def rise(change: TokenChange) -> bool:
    """Whether no hits fall, and those of each token rise."""
    return all(min(kind) >= 0 and max(kind) > 0 for piece in pieces(change) for kind in kinds(piece))


def kinds(change: TokenChange) -> set[tuple[int, int]]:
    """The different changes of spam and innocent hits."""
    return set(zip(change.spam, change.innocent, strict=True))


def worth_a_row(change: TokenChange, known: Hits) -> TokenChange:
    """The change without tokens that would be new and have no hits."""
    there = set(known.tokens)
    rows = [row for row in zip(*change, strict=True) if row[0] in there or row[1] > 0 or row[2] > 0]
    tokens, spam, innocent = zip(*rows, strict=True) if rows else ((), (), ())
    return TokenChange(array("Q", tokens), array("i", spam), array("i", innocent))
