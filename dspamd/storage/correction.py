"""The effective change of a correction, and the form in which stores keep it.

A counter never falls below zero, so a correction may change less than it asks for.
`in_effect` computes the effective change.  Drivers call it inside the transaction that
changes the counters, and keep the result with the signature.  Its negation restores
every counter.

`pack` and `unpack` are the form in which it is kept, the same for all stores and
machines: eight 64-bit totals, then for n tokens n numbers of 64 bits, n changes of
spam hits and n changes of innocent hits of 32 bits each, all little-endian.  If the
correction appended to a block, that comes first: a mark which no total can be, the
lengths of name and data (8 and 32 bits), name, data.  `record` and `correction` are the
form of a whole correction beside its label: another such mark if it is provisional, then
the packed change.
"""

from __future__ import annotations

import struct
import sys
from array import array
from typing import Literal

from dspamd.engine.changes import floored, pieces
from dspamd.engine.model import Label, Learned, Snapshot, TokenChange, Totals
from dspamd.storage.contract import BlockChange, Correct, Correction

_TOTALS = struct.Struct("<8q")
_TOKEN_BYTES = 16
_MARK = struct.pack("<q", -(2**63))
_PROVISIONAL = struct.pack("<q", 1 - 2**63)
_BLOCK = struct.Struct("<8sBI")  # mark, lengths of name and data


def in_effect(learned: Learned, before: Snapshot) -> Learned:
    """The change that `learned` makes to counters that stand at `before`."""
    totals = Totals(*(max(step, -total) for step, total in zip(learned.totals, before.totals, strict=True)))
    return Learned(totals, floored(learned.tokens, before.hits))


def rises(learned: Learned) -> bool:
    """Whether no counter falls: then the change is its own effect, wherever the counters stand."""
    return min(learned.totals) >= 0 and all(
        min(piece.spam, default=0) >= 0 and min(piece.innocent, default=0) >= 0
        for piece in pieces(learned.tokens)
    )


def pack(learned: Learned, block: BlockChange | None = None) -> bytes:
    parts = [_TOTALS.pack(*learned.totals), *map(_little_endian, learned.tokens)]
    if block is not None:
        name = block.name.encode()
        parts = [_BLOCK.pack(_MARK, len(name), len(block.data)), name, block.data, *parts]
    return b"".join(parts)


def unpack(packed: bytes) -> tuple[Learned, BlockChange | None]:
    """The arguments of `pack`.  Raises `struct.error` for anything else."""
    if not packed.startswith(_MARK):
        return _counters(packed), None
    _, name, data = _BLOCK.unpack_from(packed)
    start, end = _BLOCK.size + name, _BLOCK.size + name + data
    block = BlockChange(packed[_BLOCK.size : start].decode(), packed[start:end])
    return _counters(packed[end:]), block


def record(correct: Correct, applied: Learned, block: BlockChange | None) -> bytes:
    """What a store keeps of a correction beside its label; `applied` is its effect."""
    if correct.copied is not None:
        _, applied, block, _ = correct.copied
    return (_PROVISIONAL if correct.provisional else b"") + pack(applied, block)


def correction(label: str, recorded: bytes) -> Correction:
    """The correction of a label and a `record`.  Raises `struct.error` for anything else."""
    applied, block = unpack(recorded.removeprefix(_PROVISIONAL))
    return Correction(Label(label), applied, block, recorded.startswith(_PROVISIONAL))


def _counters(data: bytes) -> Learned:
    totals, rest = Totals(*_TOTALS.unpack_from(data)), memoryview(data)[_TOTALS.size :]
    n, odd = divmod(len(rest), _TOKEN_BYTES)
    if odd:
        raise struct.error("a token is cut off")
    tokens, spam, innocent = rest[: 8 * n], rest[8 * n : 12 * n], rest[12 * n :]
    return Learned(totals, TokenChange(_numbers("Q", tokens), _numbers("i", spam), _numbers("i", innocent)))


def _little_endian(numbers: array[int]) -> bytes:
    if sys.byteorder == "big":
        numbers = numbers[:]
        numbers.byteswap()
    return numbers.tobytes()


def _numbers(typecode: Literal["Q", "i"], packed: memoryview) -> array[int]:
    numbers = array(typecode, packed.tobytes())
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers
