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
from array import array

from dspamd.engine.model import Label, Learned, Snapshot, TokenChange, Totals
from dspamd.storage.contract import BlockChange, Correct, Correction

_TOTALS = struct.Struct("<8q")
_TOKEN_BYTES = 16
_MARK = struct.pack("<q", -(2**63))
_PROVISIONAL = struct.pack("<q", 1 - 2**63)
_BLOCK = struct.Struct("<8sBI")  # mark, lengths of name and data


def in_effect(learned: Learned, before: Snapshot) -> Learned:
    """The change that `learned` makes to counters that stand at `before`."""
    asked, hits = learned.tokens, before.hits
    spam = dict(zip(hits.tokens, hits.spam, strict=True))
    innocent = dict(zip(hits.tokens, hits.innocent, strict=True))
    return Learned(
        Totals(*(max(change, -total) for change, total in zip(learned.totals, before.totals, strict=True))),
        TokenChange(
            asked.tokens,
            _floored(asked.tokens, asked.spam, spam),
            _floored(asked.tokens, asked.innocent, innocent),
        ),
    )


def rises(learned: Learned) -> bool:
    """Whether no counter falls: then the change is its own effect, wherever the counters stand."""
    tokens = learned.tokens
    return (
        min(learned.totals) >= 0 and min(tokens.spam, default=0) >= 0 and min(tokens.innocent, default=0) >= 0
    )


def _floored(tokens: array[int], changes: array[int], hits: dict[int, int]) -> array[int]:
    return array("i", (max(n, -hits.get(token, 0)) for token, n in zip(tokens, changes, strict=True)))


def pack(learned: Learned, block: BlockChange | None = None) -> bytes:
    tokens, spam, innocent = learned.tokens
    n = len(tokens)
    counters = _TOTALS.pack(*learned.totals) + struct.pack(f"<{n}Q{2 * n}i", *tokens, *spam, *innocent)
    if block is None:
        return counters
    name = block.name.encode()
    return _BLOCK.pack(_MARK, len(name), len(block.data)) + name + block.data + counters


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
    return (_PROVISIONAL if correct.provisional else b"") + pack(applied, block)


def correction(label: str, recorded: bytes) -> Correction:
    """The correction of a label and a `record`.  Raises `struct.error` for anything else."""
    applied, block = unpack(recorded.removeprefix(_PROVISIONAL))
    return Correction(Label(label), applied, block, recorded.startswith(_PROVISIONAL))


def _counters(data: bytes) -> Learned:
    n = (len(data) - _TOTALS.size) // _TOKEN_BYTES
    totals = Totals(*_TOTALS.unpack_from(data))
    numbers = struct.unpack(f"<{n}Q{2 * n}i", data[_TOTALS.size :])
    return Learned(
        totals,
        TokenChange(array("Q", numbers[:n]), array("i", numbers[n : 2 * n]), array("i", numbers[2 * n :])),
    )
