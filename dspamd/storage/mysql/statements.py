"""The statements for MySQL and MariaDB, as texts of SQL.

Rules for every statement of the data path, so that it runs unchanged on engines that
shard or replicate by key (Galera, Spider, TiDB, Vitess): it carries the uid and
touches that uid's rows only, uses no sequence, and relies on no state of the session
but the modes that are set when it begins.

Look-ups quote tokens.  A list of bare numbers, some below 2^63 and some above,
compares as decimals, for which the server uses no index: it would read all rows of a user.

Many values come back as one row of lists (GROUP_CONCAT), with their number, because a
cut list looks like a whole one.  Row by row, the library takes twice as long, and the
event loop waits.

Counters are unsigned: not even an intermediate value may be negative.
Pure: this module sends nothing.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import date
from typing import TypeVar

from aiomysql import escape_string

from dspamd.engine.changes import pieces
from dspamd.engine.model import Hits, Label, Learned, TokenChange, Totals
from dspamd.errors import TempFail
from dspamd.storage.clock import day_of
from dspamd.storage.contract import BlockChange, Correct, Signature, TokenRow
from dspamd.storage.correction import record
from dspamd.storage.mysql.tables import Names

T = TypeVar("T")

_BYTES_PER_TOKEN = 64  # in a statement that writes it
_MOST_TOKENS = 5_000  # in one statement
_STORE_BYTES = 512  # of the statement that stores a signature or a part of a block, besides its data

_TOTALS = f"SELECT {', '.join(Totals._fields)} FROM dspam_stats WHERE uid = {{uid}}"
_LISTED = "COUNT(*), GROUP_CONCAT(token), GROUP_CONCAT(spam_hits), GROUP_CONCAT(innocent_hits)"
_DAY = "GREATEST(0, IFNULL(DATEDIFF({}, '1970-01-01'), 0))"  # sites have dates of zeros


def quoted(text: str) -> str:
    return f"'{escape_string(text)}'"


def portions(tokens: Sequence[T], statement_bytes: int) -> Iterator[Sequence[T]]:
    """Portions of tokens that fit into one statement; at least one portion, which may be empty."""
    most = max(1, min(_MOST_TOKENS, statement_bytes // _BYTES_PER_TOKEN))
    for start in range(0, len(tokens) or 1, most):
        yield tokens[start : start + most]


def user(users: Names, owner: str) -> str:
    return f"SELECT {users.uid} FROM {users.table} WHERE {users.name} = {quoted(owner)}"


def name_of(users: Names, uid: int) -> str:
    return f"SELECT MIN({users.name}) FROM {users.table} WHERE {users.uid} = {uid}"


def new_user(users: Names, owner: str) -> str:
    return f"INSERT INTO {users.table} ({users.name}) VALUES ({quoted(owner)})"


def rename_user(users: Names, owner: str, name: str) -> str:
    return f"UPDATE {users.table} SET {users.name} = {quoted(name)} WHERE {users.name} = {quoted(owner)}"


def forget_user(users: Names, owner: str) -> str:
    return f"DELETE FROM {users.table} WHERE {users.name} = {quoted(owner)}"


def other_names(users: Names, uid: int, owner: str) -> str:
    return f"SELECT 1 FROM {users.table} WHERE {users.uid} = {uid} AND {users.name} <> {quoted(owner)}"


def owners(users: Names) -> str:
    return f"SELECT {users.name} FROM {users.table} WHERE {users.name} IS NOT NULL"


def preferences(uid: int) -> str:
    return f"SELECT preference, value FROM dspam_preferences WHERE uid = {uid}"


def set_preference(uid: int, name: str, value: str | None) -> str:
    if value is None:
        return f"DELETE FROM dspam_preferences WHERE uid = {uid} AND preference = {quoted(name)}"
    row = f"{uid}, {quoted(name)}, {quoted(value)}"
    return f"REPLACE INTO dspam_preferences (uid, preference, value) VALUES ({row})"


def read(uid: int, tokens: Sequence[int]) -> str:
    """The totals as a list (NULL if there are none), and hits of those tokens as lists."""
    totals = f"SELECT CONCAT_WS(',', {', '.join(Totals._fields)}) FROM dspam_stats WHERE uid = {uid}"
    return f"SELECT ({totals}), {_LISTED} FROM dspam_token_data WHERE {_which(uid, tokens)}"


def locked_totals(uid: int) -> tuple[str, str]:
    """Two statements: lock the owner's totals, and read them."""
    zeros = ", 0" * len(Totals._fields)
    return (
        f"INSERT INTO dspam_stats (uid, {', '.join(Totals._fields)}) VALUES ({uid}{zeros})"
        " ON DUPLICATE KEY UPDATE spam_learned = spam_learned",
        _TOTALS.format(uid=uid) + " FOR UPDATE",
    )


def locked_hits(uid: int, tokens: Sequence[int]) -> str:
    return f"SELECT {_LISTED} FROM dspam_token_data WHERE {_which(uid, tokens)} FOR UPDATE"


def learn(uid: int, learned: Learned, day: date, statement_bytes: int) -> Iterator[str]:
    """Totals first: a transaction that changes them has the owner's dictionary to itself until its end.

    The tokens must ascend.  The statements come one by one, because those of a huge message are
    hundreds of megabytes.
    """
    if any(learned.totals):
        yield _add_totals(uid, learned.totals)
    for spam, innocent, tokens in _by_change(learned.tokens):
        changes = [f"last_hit = '{day}'"]
        changes += [_moved("spam_hits", spam)] if spam else []
        changes += [_moved("innocent_hits", innocent)] if innocent else []
        set_ = ", ".join(changes)
        for portion in portions(tokens, statement_bytes):
            if spam > 0 or innocent > 0:
                yield _add_tokens(uid, portion, max(0, spam), max(0, innocent), day, set_)
            else:  # we make no row for a token without hits (DSPAM did)
                yield f"UPDATE dspam_token_data SET {set_} WHERE {_which(uid, portion)}"


def load(uid: int, rows: Sequence[TokenRow], statement_bytes: int) -> Iterator[str]:
    """Add hits with their days; a token keeps the later day."""
    columns = ("spam_hits", "innocent_hits")
    added = ", ".join(f"{column} = {column} + VALUES({column})" for column in columns)
    for portion in portions(rows, statement_bytes):
        values = ",".join(
            f"({uid},{row.token},{row.spam},{row.innocent},{day_of(row.last_hit):%Y%m%d})" for row in portion
        )
        yield (
            f"INSERT INTO dspam_token_data (uid, token, {', '.join(columns)}, last_hit) VALUES {values}"
            f" ON DUPLICATE KEY UPDATE {added}, last_hit = GREATEST(last_hit, VALUES(last_hit))"
        )


def _add_totals(uid: int, change: Totals) -> str:
    moved = ", ".join(_moved(name, n) for name, n in change._asdict().items() if n)
    values = ", ".join(str(max(0, n)) for n in change)
    return (
        f"INSERT INTO dspam_stats (uid, {', '.join(Totals._fields)}) VALUES ({uid}, {values})"
        f" ON DUPLICATE KEY UPDATE {moved}"
    )


def _add_tokens(uid: int, tokens: Sequence[int], spam: int, innocent: int, day: date, set_: str) -> str:
    """Numbers only: parsing the rows is half the work, and the server would have to convert texts, too."""
    rest = f",{spam},{innocent},{day:%Y%m%d}"
    rows = f"{rest}),({uid},".join(map(str, tokens))
    return (
        "INSERT INTO dspam_token_data (uid, token, spam_hits, innocent_hits, last_hit)"
        f" VALUES ({uid},{rows}{rest}) ON DUPLICATE KEY UPDATE {set_}"
    )


def _moved(column: str, change: int) -> str:
    if change > 0:
        return f"{column} = {column} + {change}"
    return f"{column} = IF({column} > {-change}, {column} - {-change}, 0)"


def _by_change(change: TokenChange) -> Iterator[tuple[int, int, list[int]]]:
    """Spam hits, innocent hits, and the tokens to change by them: mostly one group for all of a piece."""
    for piece in pieces(change):
        groups = defaultdict[tuple[int, int], list[int]](list)
        for token, spam, innocent in zip(*piece, strict=True):
            groups[spam, innocent].append(token)
        for (spam, innocent), tokens in sorted(groups.items()):
            yield spam, innocent, tokens


def store(uid: int, signature: Signature, day: date) -> str:
    return (
        "REPLACE INTO dspam_signature_data (uid, signature, data, length, created_on)"
        f" VALUES ({uid}, {quoted(signature.id)}, X'{signature.data.hex()}', {len(signature.data)}, '{day}')"
    )


def store_bytes(data: bytes) -> int:
    """The most bytes that a statement to store the data may have."""
    return 2 * len(data) + _STORE_BYTES


def stored(uid: int, signature: str, *, corrections: bool) -> str:
    """The data of a signature, label and effect of its correction (NULL if there is none)."""
    label, applied = (_correction(column, uid, signature, corrections) for column in ("label", "applied"))
    return f"SELECT data, {label}, {applied} FROM dspam_signature_data WHERE {_whose(uid, signature)}"


def only_corrector(uid: int, timeout_s: float) -> tuple[str, str]:
    """Two statements: lock out other corrections of an owner, and let them in again.

    They are for tables without transactions, which have no other lock, and are the only ones that rely on
    state of the session: engines that shard or replicate have transactions.
    """
    name = f"SHA1(CONCAT(DATABASE(), ' dspamd {uid}'))"  # the server's names are for all databases
    return f"SELECT GET_LOCK({name}, {timeout_s:g})", f"DO RELEASE_LOCK({name})"


def label_in_force(uid: int, signature: str, *, corrections: bool) -> str:
    """The label of a correction; NULL if there is none, no row if there is no such signature."""
    label = _correction("label", uid, signature, corrections)
    return f"SELECT {label} FROM dspam_signature_data WHERE {_whose(uid, signature)} FOR UPDATE"


def keep(uid: int, correct: Correct, label: Label, applied: Learned, block: BlockChange | None) -> str:
    """Keep a correction under its label."""
    recorded = record(correct, applied, block).hex()
    return (
        "REPLACE INTO dspamd_correction (uid, signature, label, applied)"
        f" VALUES ({uid}, {quoted(correct.signature)}, '{label.value}', X'{recorded}')"
    )


def forget_purged(uid: int) -> str:
    """Delete the corrections whose signatures a purge by DSPAM deleted.

    Sites have signatures in any character set and collation, so both sides are converted to one.
    """
    id_ = "CONVERT(signature USING utf8mb4) COLLATE utf8mb4_bin"
    return (
        f"DELETE FROM dspamd_correction WHERE uid = {uid}"
        f" AND {id_} NOT IN (SELECT {id_} FROM dspam_signature_data WHERE uid = {uid})"
    )


def delete_signature(uid: int, signature: str) -> str:
    return f"DELETE FROM dspam_signature_data WHERE {_whose(uid, signature)}"


def delete_correction(uid: int, signature: str) -> str:
    return f"DELETE FROM dspamd_correction WHERE {_whose(uid, signature)}"


def signatures(uid: int) -> str:
    return f"SELECT signature, {_DAY.format('created_on')} FROM dspam_signature_data WHERE uid = {uid}"


def next_tokens(uid: int, after: int | None, digits: int | None, limit: int) -> str:
    """Rows of the tokens that follow, as lists in any order; `digits`: only tokens of as many."""
    which = f"uid = {uid}"
    which += f" AND token > '{after}'" if after is not None else ""
    which += f" AND LENGTH(token) = {digits}" if digits is not None else ""
    day = _DAY.format("last_hit")
    return (
        f"SELECT {_LISTED}, GROUP_CONCAT(day) FROM (SELECT token, spam_hits, innocent_hits, {day} AS day"
        f" FROM dspam_token_data WHERE {which} ORDER BY token LIMIT {limit}) AS batch"
    )


def count_tokens(uid: int) -> str:
    return f"SELECT COUNT(*) FROM dspam_token_data WHERE uid = {uid}"


def delete_tokens(uid: int, tokens: Sequence[int]) -> str:
    return f"DELETE FROM dspam_token_data WHERE {_which(uid, tokens)}"


def _correction(column: str, uid: int, signature: str, corrections: bool) -> str:
    """A column of a signature's correction.  No join: the two tables may differ in collation."""
    select = f"(SELECT {column} FROM dspamd_correction WHERE {_whose(uid, signature)})"
    return select if corrections else "NULL"


def delete_some_tokens(uid: int, limit: int) -> str:
    return f"DELETE FROM dspam_token_data WHERE uid = {uid} LIMIT {limit}"


def delete_data(uid: int, *, corrections: bool, blocks: bool) -> list[str]:
    """Delete all data of an owner except the name."""
    tables = ["dspam_token_data", "dspam_stats", "dspam_signature_data", "dspam_preferences"]
    tables += ["dspamd_correction"] if corrections else []
    tables += ["dspamd_block", "dspamd_block_change"] if blocks else []  # as they are locked
    return [f"DELETE FROM {table} WHERE uid = {uid}" for table in tables]


def _which(uid: int, tokens: Sequence[int]) -> str:
    values = "'" + "','".join(map(str, tokens)) + "'" if tokens else "NULL"
    return f"uid = {uid} AND token IN ({values})"


def _whose(uid: int, signature: str) -> str:
    return f"uid = {uid} AND signature = {quoted(signature)}"


def numbers(column: str | None) -> array[int]:
    """The numbers of a list."""
    return array("Q", map(int, column.split(","))) if column else array("Q")


def columns(count: int, lists: Sequence[str | None]) -> list[array[int]]:
    """The numbers in lists of `count` each.  Raises `TempFail` if the server cut a list off."""
    found = list(map(numbers, lists))
    if any(len(column) != count for column in found):
        raise TempFail("Storage is not available", detail="group_concat_max_len cuts lists of tokens off")
    return found


def add(hits: Hits, count: int, lists: Sequence[str | None]) -> None:
    """Add the hits in lists of `count` each.  Raises `TempFail` as `columns` does."""
    for column, more in zip(hits, columns(count, lists), strict=True):
        column.extend(more)
