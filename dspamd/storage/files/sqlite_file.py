"""One user's SQLite database and the statements that work on it.

The tables are those of DSPAM 3.10.2, as it left them or made like its own
(reference/storage.md 3.3); we add tables of our own.  `schema/sqlite/`
holds the numbered steps, `PRAGMA user_version` says how many a file has taken.

Many values go in as one JSON text and come out as one row.  Python's sqlite3 gives
up the interpreter for each row and each set of parameters; beside a busy event loop
two thousand of those took a hundred times as long as the query itself.

Errors are `sqlite3.Error`, or `Stale` from `apply`; after any error the transaction
is rolled back.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from array import array
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from functools import cache
from itertools import compress
from pathlib import Path

from dspamd.engine.changes import AT_ONCE, ascending, pieces, portions
from dspamd.engine.model import Hits, Snapshot, TokenChange, Totals
from dspamd.storage.block import NO_BLOCK, begins_anew, first_version
from dspamd.storage.contract import Block, BlockChange, Change, Correct, Signature, Stale, Stored, TokenRow
from dspamd.storage.correction import correction, in_effect, record, rises
from dspamd.storage.sql.schema import steps
from dspamd.telemetry import log

_PRAGMAS = (
    "synchronous = NORMAL",  # with WAL: a crash of the machine may cost the last messages' training
    "wal_autocheckpoint = 4000",  # pages; a message touches some 2,000, the default would copy each time
    "cache_size = -1000",  # KiB for each open file; more did not make a message faster
    "temp_store = MEMORY",  # the statement journal of the upsert
)
_FILE_MODE = 0o660  # the web pages run under another account of the same group
_SPARE = 8  # pages in use for each free one that stays for later lessons
_STEP_PAGES = 64  # given back in one go, within some milliseconds
MOMENT_PAGES = 2_500  # rewritten within a tenth of a second
_COMMON_LENGTHS = (18, 19, 20)  # digits of all tokens but one in two hundred
_STEPS_PER_LOOK = 100_000  # instructions of SQLite between two looks at the clock, some 10 ms
_DAY = "ifnull(CAST(julianday({}) - 2440587.5 AS INTEGER), 0)"

_HITS = """
SELECT group_concat(token), group_concat(max(0, ifnull(spam_hits, 0))),
    group_concat(max(0, ifnull(innocent_hits, 0)))
FROM dspam_token_data WHERE token IN (SELECT value FROM json_each(?))"""

_TOTALS = f"SELECT {', '.join(Totals._fields)} FROM dspam_stats WHERE dspam_stat_id = 0"

_LEARN = """
INSERT INTO dspam_token_data (token, spam_hits, innocent_hits, last_hit)
SELECT value, max(0, :spam), max(0, :innocent), :day FROM json_each(:tokens) WHERE true
ON CONFLICT (token) DO UPDATE SET last_hit = :day"""

_LOAD = """
INSERT INTO dspam_token_data (token, spam_hits, innocent_hits, last_hit)
SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'),
    date(json_extract(value, '$[3]') * 86400, 'unixepoch')
FROM json_each(?) WHERE true
ON CONFLICT (token) DO UPDATE SET last_hit = max(ifnull(last_hit, ''), excluded.last_hit),
    spam_hits = max(0, ifnull(spam_hits, 0)) + excluded.spam_hits,
    innocent_hits = max(0, ifnull(innocent_hits, 0)) + excluded.innocent_hits"""

_STORE = """
INSERT INTO dspam_signature_data (signature, data, created_on) VALUES (?1, ?2, ?3)
ON CONFLICT (signature) DO UPDATE SET data = ?2, created_on = ?3"""

_UNLEARN = "UPDATE dspam_token_data SET last_hit = :day"
_UNLEARN_WHICH = " WHERE token IN (SELECT value FROM json_each(:tokens))"

_CORRECTION = """
SELECT data, label, applied FROM dspam_signature_data LEFT JOIN dspamd_correction USING (signature)
WHERE signature = ?"""

COUNTED = f"""
token, ifnull(spam_hits, 0) AS spam, ifnull(innocent_hits, 0) AS innocent, {_DAY.format("last_hit")} AS day"""
"""The columns of a token, as a `TokenRow` has them."""

_BATCH = f"""
SELECT group_concat(token), group_concat(spam), group_concat(innocent), group_concat(day) FROM (
    SELECT {COUNTED} FROM dspam_token_data WHERE {{}} LIMIT ?)"""
_IN_TEXT_ORDER = _BATCH.format("token > ? ORDER BY token")
_OF_LENGTH = _BATCH.format("token > ? AND length(token) = ? ORDER BY token")
_SHORT = _BATCH.format("(length(token), token) > (?, ?) AND length(token) < ? ORDER BY length(token), token")

_VERSIONS = "SELECT base, version FROM dspamd_block WHERE name = ?"
_BASE = "SELECT data FROM dspamd_block WHERE name = ?"
_CHANGES = "SELECT data FROM dspamd_block_change WHERE name = ? AND version > ? ORDER BY version"
_NEXT_VERSION = """
INSERT INTO dspamd_block (name, base, version, data) VALUES (?1, ?2, ?2 + 1, x'')
ON CONFLICT (name) DO UPDATE SET version = version + 1 RETURNING version"""
_FOLD = """
INSERT INTO dspamd_block (name, base, version, data) VALUES (?1, ?2, ?2, ?3)
ON CONFLICT (name) DO UPDATE SET base = ?2, version = max(version, ?2), data = ?3 WHERE base < ?2"""

_VERSION = "SELECT version FROM dspamd_block WHERE name = ?"

_SIGNATURES = f"""
SELECT json_group_array(signature), json_group_array({_DAY.format("created_on")}) FROM dspam_signature_data"""


class SQLiteFile:
    """An open database, an `OwnerFile`; a statement that runs past `until` is interrupted."""

    def __init__(
        self,
        path: Path,
        statements: Iterable[str],
        busy_s: float,
        until: float,
        *,
        moment_pages: int = MOMENT_PAGES,
    ) -> None:
        """`statements` are the site's own, after ours; `busy_s` bounds the wait for other writers.

        `moment_pages` may be rewritten while mail waits.
        """
        self._moment_pages = moment_pages
        if not path.exists():
            _create(path)
        self.until = until
        self._connection = sqlite3.connect(path, timeout=busy_s, isolation_level=None)
        try:
            self.inode = path.stat().st_ino
            self._connection.set_progress_handler(lambda: time.monotonic() > self.until, _STEPS_PER_LOOK)
            for pragma in _PRAGMAS:
                self._connection.execute(f"PRAGMA {pragma}")
            if not self._number("page_count"):
                self._connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # before anything is in it
            self._migrate()
            self._write_ahead()
            for statement in statements:
                self._try(statement)
        except BaseException:
            self._connection.close()
            raise

    def _try(self, statement: str) -> None:
        """Execute a statement of the site's own; a wrong one must not stop mail."""
        try:
            self._connection.execute(statement)
        except sqlite3.Error as error:
            log.get().warning("sqlite_pragma_failed", statement=statement, error=str(error))

    def close(self) -> None:
        self._connection.close()

    def _migrate(self) -> None:
        """Take the steps of the schema that this file has not taken yet."""
        if self._number("user_version") >= len(_schema()):  # more: a later release was here
            return
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            for step in _schema()[self._number("user_version") :]:
                for statement in step:
                    self._connection.execute(statement)
            self._connection.execute(f"PRAGMA user_version = {len(_schema())}")

    def _write_ahead(self) -> None:
        """Turn the write-ahead log on permanently.

        This needs the file for itself and does not wait for it.  Where another
        process is at work on the file we go on without: the log only makes it fast.
        """
        try:
            self._connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise

    def read(self, tokens: array[int]) -> Snapshot:
        with self._connection:
            self._connection.execute("BEGIN")  # totals and hits of the same moment
            return Snapshot(self._totals(), self._hits(tokens))

    def _totals(self) -> Totals:
        return counters_of(self._connection)

    def _hits(self, tokens: array[int]) -> Hits:
        hits = Hits.none()
        for portion in portions(tokens):
            row = self._connection.execute(_HITS, (_texts(portion),)).fetchone()
            for column, text in zip(hits, row, strict=True):
                column.extend(_numbers(text))
        return hits

    def apply(self, change: Change, today: date) -> None:
        learned, signature, day = change.learned, change.signature, (change.day or today).isoformat()
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            totals = self._totals()
            if change.correct is not None:
                self._correct(change, change.correct, totals)
            if any(learned.totals):
                self._set_totals(totals.plus(learned.totals))
            for spam, innocent, tokens in _by_change(learned.tokens):
                self._learn(spam, innocent, tokens, day)
            if signature is not None:
                self._connection.execute(_STORE, (*signature, day))
            if change.block is not None:
                self._append(change.block)

    def load(self, rows: Sequence[TokenRow], position: Signature, today: date) -> None:
        lines = sorted(f'["{row.token}",{row.spam},{row.innocent},{row.last_hit}]' for row in rows)
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.execute(_LOAD, (f"[{','.join(lines)}]",))
            self._connection.execute(_STORE, (*position, today.isoformat()))

    def _correct(self, change: Change, correct: Correct, totals: Totals) -> None:
        """Check the guard of a correction, and record the effective change."""
        if not change.begins:
            stored = self.signature(correct.signature)
            if stored is None or (stored.correction and stored.correction.label) != correct.expected:
                raise Stale
        if correct.label is None:
            forget = "DELETE FROM dspamd_correction WHERE signature = ?"
            self._connection.execute(forget, (correct.signature,))
            return
        learned = change.learned
        if not rises(learned):
            learned = in_effect(learned, Snapshot(totals, self._hits(learned.tokens.tokens)))
        self._connection.execute(
            "INSERT OR REPLACE INTO dspamd_correction (signature, label, applied) VALUES (?, ?, ?)",
            (correct.signature, correct.label.value, record(correct, learned, change.block)),
        )

    def _set_totals(self, totals: Totals) -> None:
        self._connection.execute(
            f"INSERT OR REPLACE INTO dspam_stats (dspam_stat_id, {', '.join(Totals._fields)})"
            f" VALUES (0{', ?' * len(totals)})",
            totals,
        )

    def _learn(self, spam: int, innocent: int, tokens: str, day: str) -> None:
        """Change the hits of all `tokens` alike.

        A token that would start with no hits gets no row (DSPAM made such rows).
        Only columns that change are set: `innocent_hits` has an index.
        """
        changes = "".join(
            f", {column}_hits = max(0, ifnull({column}_hits, 0) + :{column})"
            for column, hits in (("spam", spam), ("innocent", innocent))
            if hits
        )
        new = spam > 0 or innocent > 0
        self._connection.execute(
            _LEARN + changes if new else _UNLEARN + changes + _UNLEARN_WHICH,
            {"spam": spam, "innocent": innocent, "tokens": tokens, "day": day},
        )

    def signature(self, signature: str) -> Stored | None:
        row = self._connection.execute(_CORRECTION, (_storable(signature),)).fetchone()
        if row is None:
            return None
        data, label, applied = row
        return Stored(data, correction(label, applied) if label else None)

    def _append(self, change: BlockChange) -> None:
        """Append to a block, within a transaction."""
        ((version,),) = self._connection.execute(_NEXT_VERSION, (change.name, first_version())).fetchall()
        self._connection.execute(
            "INSERT INTO dspamd_block_change (name, version, data) VALUES (?, ?, ?)",
            (change.name, version, change.data),
        )

    def block(self, name: str, since: int) -> Block:
        with self._connection:
            self._connection.execute("BEGIN")  # both of the same moment
            row = self._connection.execute(_VERSIONS, (name,)).fetchone()
            if row is None:
                return NO_BLOCK
            base_version, version = row
            base = None
            if begins_anew(since, base_version, version):
                since = base_version
                (base,) = self._connection.execute(_BASE, (name,)).fetchone()
            changes = tuple(data for (data,) in self._connection.execute(_CHANGES, (name, since)))
        return Block(version, base_version, base, changes)

    def fold(self, name: str, version: int, data: bytes, expected: int | None) -> bool:
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            if expected is not None:
                found = self._connection.execute(_VERSION, (name,)).fetchone() or (0,)
                if found[0] != expected:
                    return False
            self._connection.execute(_FOLD, (name, version, data))
            # No `rowcount`: Python 3.11 does not recognize INSERT where the small letter of I has no dot.
            ((folded,),) = self._connection.execute("SELECT changes()").fetchall()
            if folded:
                drop = "DELETE FROM dspamd_block_change WHERE name = ? AND version <= ?"
                self._connection.execute(drop, (name, version))
        return bool(folded)

    def blocks(self) -> list[str]:
        return [name for (name,) in self._connection.execute("SELECT name FROM dspamd_block ORDER BY name")]

    def delete_signature(self, signature: str) -> bool:
        """Its correction goes with it, by a trigger of the schema."""
        delete = "DELETE FROM dspam_signature_data WHERE signature = ?"
        return self._connection.execute(delete, (_storable(signature),)).rowcount > 0

    def signatures(self) -> list[tuple[str, int]]:
        names, days = self._connection.execute(_SIGNATURES).fetchone()
        return list(zip(json.loads(names), json.loads(days), strict=True))

    def tokens(self, after: int, limit: int, today: date, *, ordered: bool) -> list[TokenRow]:
        """The next tokens, in the order of their texts or of their numbers.

        The latter takes long: texts are in that order only among those of the same length.
        """
        text = str(after) if after else ""
        if not ordered:
            return self._batch(_IN_TEXT_ORDER, text, limit)
        if len(text) < _COMMON_LENGTHS[0]:
            if rows := self._batch(_SHORT, len(text), text, _COMMON_LENGTHS[0], limit):
                return rows
            text = ""
        for length in _COMMON_LENGTHS:
            if length >= len(text):
                if rows := self._batch(_OF_LENGTH, text, length, limit):
                    return rows
                text = ""
        return []

    def _batch(self, select: str, *values: object) -> list[TokenRow]:
        row = self._connection.execute(select, values).fetchone()
        return list(map(TokenRow, *map(_numbers, row)))

    def delete_tokens(self, tokens: array[int]) -> int:
        delete = "DELETE FROM dspam_token_data WHERE token IN (SELECT value FROM json_each(?))"
        return self._connection.execute(delete, (_texts(tokens),)).rowcount

    def compact(self, *, whole: bool) -> bool:
        """Bring pages from the end of the file to free places, and cut it off there.

        Files of DSPAM cannot do this.  VACUUM converts them, but locks out writers, so without `whole`
        we run it only if little is left.
        """
        free, pages = self._number("freelist_count"), self._number("page_count")
        if not self._number("auto_vacuum"):
            if whole or (free >= pages - free and pages - free <= self._moment_pages):
                self._vacuum()
            return False
        free -= (pages - free) // _SPARE
        if free > 0:
            # `execute` would end after the first page.
            self._connection.executescript(f"PRAGMA incremental_vacuum({min(free, _STEP_PAGES)})")
        if free > _STEP_PAGES:
            return True
        self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")  # only this shortens the file
        return False

    def _vacuum(self) -> None:
        """Rewrite the file as one that can shrink in steps."""
        for pragma in ("temp_store = FILE", "auto_vacuum = INCREMENTAL"):
            self._connection.execute(f"PRAGMA {pragma}")
        self._connection.execute("VACUUM")
        self._connection.execute("PRAGMA temp_store = MEMORY")
        self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def _number(self, pragma: str) -> int:
        number: int = self._connection.execute(f"PRAGMA {pragma}").fetchone()[0]
        return number


def counters_of(connection: sqlite3.Connection) -> Totals:
    """The totals in a database."""
    row = connection.execute(_TOTALS).fetchone()
    return Totals() if row is None else Totals(*(n or 0 for n in row))


def _create(path: Path) -> None:
    """Make an empty file for owner and group, which SQLite takes for an empty database.

    An existing one must not be opened like this: closing it would drop SQLite's locks.
    """
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE)
    os.fchmod(file, _FILE_MODE)  # whatever the umask is
    os.close(file)


def _texts(tokens: Iterable[int]) -> str:
    """Tokens as a JSON list of decimal texts, which is how the table holds them.

    They are in the order of the index, so SQLite reads and writes each page once: a quarter less work.
    """
    texts = sorted(map(str, tokens))
    return '["' + '","'.join(texts) + '"]' if texts else "[]"


def _numbers(column: str | None) -> list[int]:
    """The numbers in a column that group_concat made one text of."""
    numbers: list[int] = json.loads(f"[{column or ''}]")
    return numbers


def _by_change(change: TokenChange) -> Iterator[tuple[int, int, str]]:
    """Spam hits, innocent hits, and the tokens to change by them: mostly one group for all of a piece."""
    for tokens, spam, innocent in pieces(change if len(change.tokens) <= AT_ONCE else ascending(change)):
        changes = list(zip(spam, innocent, strict=True))
        for alike in set(changes):
            yield *alike, _texts(compress(tokens, map(alike.__eq__, changes)))


def _storable(signature: str) -> str:
    """A signature id from a mail, which may be anything, as text that SQLite accepts."""
    return signature.encode("utf-8", "replace").decode()


@cache
def _schema() -> list[list[str]]:
    """The statements of each numbered step."""
    return [list(_statements(script)) for script in steps("sqlite")]


def _statements(script: str) -> Iterator[str]:
    """The statements of a script; a trigger contains semicolons, too."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
