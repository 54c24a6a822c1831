"""The archive of a user: JSON lines, compressed by gzip, in the form of dspam-export(5).

`Writer` writes one, `Archive` reads one: first `checked`, which refuses an archive that is damaged or cut
off, then `records`, as often as one likes.  Both hold little more than one record in memory.

They block: call them in a thread.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import sys
from array import array
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import IO, Any, NamedTuple

from dspamd.errors import PermFail
from dspamd.storage.clock import day_number, day_of
from dspamd.storage.contract import TokenRow

FORMAT = 1
_TOKEN = b'{"token":'
_LEVEL = 1  # hashes hardly become smaller, and the rest is small
_BATCH_BYTES = 1 << 20  # some ten thousand tokens, or a message

Record = dict[str, Any]


class BadArchive(PermFail):
    """A file that is no archive, is damaged, or comes from a later release."""

    exit_status = 1

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path}: {why}")


class Contents(NamedTuple):
    """What a sound archive says of itself."""

    header: Record
    counts: dict[str, int]  # of records, by kind
    tokens: str  # digest of tokens and hits
    digest: str  # of all lines but the last


class TokenDigest:
    """SHA-256 of tokens and hits: three 64-bit numbers each, little-endian, in the order of tokens."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, rows: Iterable[TokenRow]) -> None:
        numbers = array("Q", chain.from_iterable(row[:3] for row in rows))
        if sys.byteorder == "big":
            numbers.byteswap()
        self._hash.update(numbers)

    def hex(self) -> str:
        return self._hash.hexdigest()


class Writer:
    """Writes an archive to an open file.  Raises OSError."""

    def __init__(self, file: IO[bytes], header: Record) -> None:
        self._file = gzip.GzipFile("", "wb", _LEVEL, file, mtime=0)
        self._hash = hashlib.sha256()
        self._tokens = TokenDigest()
        self.counts: Counter[str] = Counter()
        self._lines([json.dumps({"dspamd_export": FORMAT, **header})])

    def add(self, records: Iterable[Record]) -> None:
        """Records, whose first name is their kind."""
        lines = []
        for record in records:
            self.counts[next(iter(record))] += 1
            lines.append(json.dumps(record))
        self._lines(lines)

    def add_tokens(self, rows: Sequence[TokenRow]) -> None:
        """Tokens that ascend; those without hits are left out."""
        rows = [row for row in rows if row.spam or row.innocent]
        days = {row.last_hit: _day_text(row.last_hit) for row in rows}
        self._lines(
            f'{_TOKEN.decode()}"{token:016x}","spam":{spam},"innocent":{innocent},"last_hit":{days[day]}}}'
            for token, spam, innocent, day in rows
        )
        self._tokens.add(rows)
        self.counts["token"] += len(rows)

    def end(self) -> Contents:
        """Finish the archive; what it says of itself."""
        contents = Contents({}, dict(self.counts), self._tokens.hex(), self._hash.hexdigest())
        last = {"end": contents.counts, "tokens_sha256": contents.tokens, "sha256": contents.digest}
        self._lines([json.dumps(last)])
        self._file.close()
        return contents

    def _lines(self, lines: Iterable[str]) -> None:
        text = "".join(f"{line}\n" for line in lines).encode("ascii")
        self._hash.update(text)
        self._file.write(text)


class Archive:
    """An archive in a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def lines(self) -> Iterator[tuple[list[bytes], float]]:
        """Lines by some thousand, and the share of the file that was read.  Raises OSError, `BadArchive`."""
        length = self.path.stat().st_size or 1
        try:
            with self.path.open("rb") as raw, gzip.GzipFile(fileobj=raw) as file:
                while batch := file.readlines(_BATCH_BYTES):
                    yield batch, min(1.0, raw.tell() / length)
        except (EOFError, gzip.BadGzipFile) as error:
            raise BadArchive(self.path, f"no sound gzip file: {error}") from error

    def header(self) -> Record:
        """Its first record.  Raises `BadArchive`."""
        for batch, _ in self.lines():
            return self._header(batch[0])
        raise BadArchive(self.path, "the file is empty")

    def check(self) -> Iterator[float | Contents]:
        """Shares of the file that were read, and at the end what it says of itself; raises `BadArchive`."""
        header, digest, last = self.header(), hashlib.sha256(), b""
        for batch, share in self.lines():
            digest.update(last)
            digest.update(b"".join(batch[:-1]))
            last = batch[-1]
            yield share
        (end,) = self._parsed([last])
        if not {"end", "tokens_sha256", "sha256"} <= end.keys():
            raise BadArchive(self.path, "its end is missing")
        if end["sha256"] != digest.hexdigest():
            raise BadArchive(self.path, "it is damaged: its checksum is another one")
        yield Contents(header, end["end"], end["tokens_sha256"], end["sha256"])

    def records(self, *, tokens: bool = True) -> Iterator[tuple[list[Record], float]]:
        """Records by some thousand, without the first and the last one, and the share that was read.

        `tokens` off leaves those out, unread.
        """
        for batch, share in self.lines():
            found = self._parsed([line for line in batch if tokens or not line.startswith(_TOKEN)])
            yield [each for each in found if "dspamd_export" not in each and "end" not in each], share

    def _header(self, line: bytes) -> Record:
        (header,) = self._parsed([line])
        if "dspamd_export" not in header or not isinstance(header.get("user"), str):
            raise BadArchive(self.path, "this is no export of dspam_admin")
        if header["dspamd_export"] != FORMAT:
            raise BadArchive(self.path, f"format {header['dspamd_export']} needs a later release")
        return header

    def _parsed(self, lines: Sequence[bytes]) -> list[Record]:
        """The records of some lines, all at once: line by line it takes five times as long."""
        try:
            records: list[Record] = json.loads(b"[%b]" % b",".join(lines))
        except (ValueError, RecursionError) as error:
            raise BadArchive(self.path, f"a line is no JSON: {error}") from error
        if len(records) != len(lines) or not all(isinstance(each, dict) and each for each in records):
            raise BadArchive(self.path, "a line is no JSON object")
        return records


def record_of(row: TokenRow) -> Record:
    """The record of a token."""
    return {
        "token": token_text(row.token),
        "spam": row.spam,
        "innocent": row.innocent,
        "last_hit": day_text(row.last_hit),
    }


def token_text(token: int) -> str:
    """A token as text: many readers of JSON cannot hold numbers of 64 bits."""
    return f"{token:016x}"


def row_of(record: Record) -> TokenRow:
    """The token of a record.  Raises ValueError, KeyError for one that cannot be."""
    token, spam, innocent = int(record["token"], 16), int(record["spam"]), int(record["innocent"])
    if not (0 <= token < 2**64 and spam >= 0 <= innocent):
        raise ValueError(f"token {token:x}")
    return TokenRow(token, spam, innocent, day_from(record["last_hit"]))


@lru_cache(1_000)
def day_from(text: str | None) -> int:
    """The number of a day that is written `2026-11-30`; 0 if it is unknown.  Raises ValueError."""
    return 0 if text is None else day_number(date.fromisoformat(text))


def day_text(day: int) -> str | None:
    """A day as text; None if it is unknown."""
    return day_of(day).isoformat() if day > 0 else None


def _day_text(day: int) -> str:
    return json.dumps(day_text(day))


def packed(data: bytes) -> str:
    return b64encode(data).decode("ascii")


def unpacked(text: str) -> bytes:
    return b64decode(text, validate=True)


def as_text(line: bytes) -> str:
    """A line of a file; bytes that are no UTF-8 become lone surrogates."""
    return line.decode("utf-8", "surrogateescape")


def as_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
