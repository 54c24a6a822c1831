"""The verdict on arrival, which a signature keeps behind the tokens of its message.

A correction has to know what was learned of the message before: a report that agrees with it has nothing
to teach, any other has.  Eight bytes at the end say so: a mark that begins with NUL, our verdict (`S`, `I`,
or `?` where nobody knows it any more), and whether it was learned (`+` or `-`).

DSPAM does not see them: it reads whole records of 16 bytes, and of an sbph signature the text before the
first NUL (engine.md 8.2).
"""

from __future__ import annotations

from typing import NamedTuple

from dspamd.engine.model import Label

_MARK = b"\0dspam"
_BYTES = len(_MARK) + 2
_LETTERS = {Label.SPAM: b"S", Label.INNOCENT: b"I", None: b"?"}
_LABELS = {letter: label for label, letter in _LETTERS.items()}
_LEARNED = {b"+": True, b"-": False}


class Arrival(NamedTuple):
    """What became of a message when it came.

    `label` is our verdict, None if it is not known.  `learned`: the message was learned with that label,
    and nothing else keeps what it taught; so not if the store keeps that as a provisional correction.
    """

    label: Label | None
    learned: bool


def marked(signature: bytes, arrival: Arrival) -> bytes:
    """A signature with this mark, in place of another one."""
    return unmarked(signature) + _MARK + _LETTERS[arrival.label] + (b"+" if arrival.learned else b"-")


def unmarked(signature: bytes) -> bytes:
    """A signature without its mark."""
    return signature if arrival_of(signature) is None else signature[:-_BYTES]


def arrival_of(signature: bytes) -> Arrival | None:
    """What the mark of a signature says; None if it has none, like those that DSPAM made."""
    mark = signature[-_BYTES:]
    label, learned = mark[-2:-1], mark[-1:]
    if mark[:-2] != _MARK or label not in _LABELS or learned not in _LEARNED:
        return None
    return Arrival(_LABELS[label], _LEARNED[learned])
