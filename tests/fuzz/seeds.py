"""Where fuzzing begins: recorded mail, inputs that broke something once, and the words of the rules."""

from __future__ import annotations

import struct
from array import array
from functools import cache
from pathlib import Path

from dspamd.engine._weights import Evidence, Table, negated
from tests.fuzz.pieces import HTML_PIECES, MIME_PIECES, WORD_PIECES
from tests.golden.data import rows

FOLDER = Path(__file__).parent / "seeds"

DICTIONARY = sorted({piece for piece in MIME_PIECES + HTML_PIECES + WORD_PIECES if 1 < len(piece) < 60})

FORWARDS = [
    b"Subject: Fwd\n\nlook\n\n-- Forwarded --\nSubject: \ta: b\nFrom: \tx@y\n\ntext\n",
    b"Subject: Fwd\r\n\r\n> *Von:* x@y\r\n> *Betreff:* a\r\n> \r\n> text\r\n",
    b"Content-Type: text/plain\nContent-Transfer-Encoding: base64\n\nRnJvbTogYQpTdWJqZWN0OiBiCgpj\n",
]


def seeds(target: str) -> list[bytes]:
    """The seeds of a target: those of its kind, and `seeds/TARGET-*`."""
    found = [path.read_bytes() for path in sorted(FOLDER.glob(f"{target}-*"))]
    if target == "message":  # options stand in front
        return found + [bytes([n * 37 % 256, n * 53 % 256, n * 11 % 256]) + m for n, m in enumerate(mail())]
    if target == "stored":
        return [*found, bytes(range(64)), b"Subject: a\n\x01one two\0"]
    if target == "hash_file":
        return [*found, hash_file(7, 0), hash_file(8, 1), hash_file(3, 0) + hash_file(4, 1)]
    if target == "weights":
        change = Evidence(array("Q", range(1 << 40, 1 << 44, 1 << 40)), (Table(),)).lesson(spam=True)
        return [*found, change, negated(change), 2 * change]
    if target == "forward":
        return found + FORWARDS
    return found + mail()


@cache
def mail() -> list[bytes]:
    """The handmade messages of the recordings, each about one rule."""
    return [bytes.fromhex(row["hex"]) for row in rows("handmade_messages.jsonl")]


def hash_file(size: int, flags: int) -> bytes:
    """A hash file of one extent with two records (reference/storage.md 6.1)."""
    header = struct.pack("<Q", size).ljust(72, b"\0") + struct.pack("<II", flags, 0)
    records = b"".join(struct.pack("<QQQ", token, 1, 2) for token in (1, 0x0123456789ABCDEF))
    return header + records + bytes(24 * (size - 2))
