"""The statements of the PostgreSQL driver, on the tables of DSPAM 3.10.2 as they are.

Rules, so that they run unchanged on engines that shard or replicate by key, such as
Citus and YugabyteDB, and through a pooler that changes connections between them:

* Every statement on the data of a user carries the uid as its first parameter, and
  touches rows of this uid alone.  Only look-ups in the table of users go by name.
* No sequence, except for the number of a new user if the site's table has one.
* No session state: no settings, temporary tables, prepared names, advisory locks.
* Rows are locked in the order of tokens, then totals, then signature, then block, so that writers
  of one user wait for each other; `Connections.run` repeats work that meets a deadlock.  A change that
  goes in pieces keeps this order: its last piece has the totals and the signature.

One round trip brings totals and hits, as one row of arrays.  One statement writes the
change of a message; that of a huge message goes in pieces.  NULL counts as 0: the columns
allow it.

Tokens come back as signed 64-bit numbers, the form of the current schema.  Old schemas keep
the unsigned number in numeric(20); statements for them convert it.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import NamedTuple

from dspamd.engine.model import Totals
from dspamd.storage.sql.common import UserTable, signed

LAYOUT = """
SELECT to_regclass('dspam_token_data') IS NOT NULL AS tokens,
    (SELECT format_type(atttypid, NULL) = 'numeric' FROM pg_attribute
        WHERE attrelid = to_regclass('dspam_token_data') AND attname = 'token') AS decimal,
    substring(obj_description(to_regclass('dspamd_correction'), 'pg_class') FROM '[0-9]+')::int AS correction,
    substring(obj_description(to_regclass('dspamd_block'), 'pg_class') FROM '[0-9]+')::int AS block,
    (SELECT coalesce(bool_and(has_table_privilege(to_regclass(name), power)), false)
        FROM unnest(ARRAY['dspamd_block', 'dspamd_block_change']) AS name,
            unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS power) AS block_ours,
    (SELECT string_agg(name || ' ' || power, ', ') FROM unnest(
            ARRAY['dspam_token_data', 'dspam_signature_data', 'dspam_stats']) AS name,
            unnest(ARRAY['INSERT', 'UPDATE']) AS power
        WHERE NOT has_table_privilege(to_regclass(name), power)) AS denied,
    (SELECT string_agg(name, ', ') FROM unnest(
            ARRAY['dspam_token_data', 'dspam_signature_data', 'dspam_stats']) AS name
        WHERE to_regclass(name) IS NULL) AS absent,
    current_setting('transaction_read_only')::bool AS read_only,
    quote_ident(current_schema()) AS schema, quote_ident(current_user) AS account"""

READ_ONLY = "SELECT current_setting('transaction_read_only')::bool"  # a hot standby says so, too

LOCK_SCHEMA = "SELECT pg_advisory_xact_lock(4422436)"  # an arbitrary number, the same for all daemons

LOCK_SIGNATURE = "SELECT 1 FROM dspam_signature_data WHERE uid = $1 AND signature = $2 FOR UPDATE"

DELETE_SIGNATURE = "DELETE FROM dspam_signature_data WHERE uid = $1 AND signature = $2 RETURNING 1"

COUNT_TOKENS = "SELECT count(*) FROM dspam_token_data WHERE uid = $1"

SIGNATURES = "SELECT signature, created_on FROM dspam_signature_data WHERE uid = $1"

LABEL = "SELECT label FROM dspamd_correction WHERE uid = $1 AND signature = $2"

STORE_CORRECTION = """
INSERT INTO dspamd_correction (uid, signature, label, applied) VALUES ($1, $2, $3, $4)
ON CONFLICT (uid, signature) DO UPDATE SET label = excluded.label, applied = excluded.applied"""

DELETE_CORRECTION = "DELETE FROM dspamd_correction WHERE uid = $1 AND signature = $2"

PREFERENCES = "SELECT preference, coalesce(value, '') FROM dspam_preferences WHERE uid = $1"

STORE_PREFERENCE = """
INSERT INTO dspam_preferences (uid, preference, value) VALUES ($1, $2, $3)
ON CONFLICT (uid, preference) DO UPDATE SET value = excluded.value"""

DELETE_PREFERENCE = "DELETE FROM dspam_preferences WHERE uid = $1 AND preference = $2"

DELETE_SOME_TOKENS = """
DELETE FROM dspam_token_data WHERE uid = $1 AND token <= (SELECT max(token) FROM (
    SELECT token FROM dspam_token_data WHERE uid = $1 ORDER BY token LIMIT 5000) AS first)"""

_OWNED = ("dspam_token_data", "dspam_stats", "dspam_signature_data", "dspam_preferences")
_BLOCKS = ("dspamd_block", "dspamd_block_change")  # in the order in which they are locked


class Tokens(NamedTuple):
    """The form in which a schema keeps tokens."""

    type: str
    column: str  # the column as a signed number
    sent: Callable[[array[int]], array[int]]  # tokens as numbers of that type
    first: int  # token, in the order of the column


BIGINT = Tokens("bigint", "token", signed, 2**63)
DECIMAL = Tokens(
    "numeric",
    "(token - CASE WHEN token < 9223372036854775808 THEN 0 ELSE 18446744073709551616 END)::bigint",
    lambda tokens: tokens,
    0,
)


class Statements:
    """The statements whose text depends on the site: on its table of users and its kind of tokens.

    `corrections` and `blocks`: whether our own tables are there.
    """

    def __init__(self, users: UserTable, tokens: Tokens, *, corrections: bool, blocks: bool) -> None:
        self.corrections = corrections
        self.blocks = blocks
        owned = (*_OWNED, *_BLOCKS) if blocks else _OWNED
        self.delete_data = tuple(f"DELETE FROM {table} WHERE uid = $1" for table in owned)
        self.sent = tokens.sent
        self.read = _read(tokens)
        self.lock = _read(tokens, "ORDER BY token FOR UPDATE", "FOR UPDATE")
        self.lock_hits = _read(tokens, "ORDER BY token FOR UPDATE")
        self.first = tokens.first
        self.learn = _learn(
            "SELECT token, $3::int AS spam, $4::int AS innocent, $5::date AS day"
            f" FROM unnest($2::{tokens.type}[]) AS token"
        )
        self.learn_each = _learn(
            "SELECT *, $5::date AS day"
            f" FROM unnest($2::{tokens.type}[], $3::int[], $4::int[]) AS c (token, spam, innocent)"
        )
        self.load = _learn(
            "SELECT token, spam, innocent, date '1970-01-01' + age AS day"
            f" FROM unnest($2::{tokens.type}[], $3::int[], $4::int[], $9::int[])"
            " AS c (token, spam, innocent, age)",
            day="greatest(t.last_hit, excluded.last_hit)",
        )
        self.batch = _batch(tokens)
        self.delete_tokens = (
            f"DELETE FROM dspam_token_data WHERE uid = $1 AND token = ANY ($2::{tokens.type}[])"
        )
        self.signature = _signature(corrections)
        self.uid = f"SELECT {users.uid} FROM {users.table} WHERE {users.name} = $1"
        self.new_user = f"INSERT INTO {users.table} ({users.name}) VALUES ($1) ON CONFLICT DO NOTHING"
        self.names = f"SELECT {users.name} FROM {users.table} WHERE {users.name} IS NOT NULL"
        # The number in a signature may be too large for the column.
        self.name_of = f"SELECT min({users.name}) FROM {users.table} WHERE {users.uid} = $1::bigint"
        self.rename = f"UPDATE {users.table} SET {users.name} = $2 WHERE {users.name} = $1"
        self.forget = f"DELETE FROM {users.table} WHERE {users.name} = $1"
        self.shared = (
            f"SELECT EXISTS (SELECT FROM {users.table} WHERE {users.uid} = $1 AND {users.name} <> $2)"
        )


def _read(tokens: Tokens, lock_tokens: str = "", lock_totals: str = "") -> str:
    """$1 uid, $2 tokens: the eight totals, then arrays of tokens, spam hits, innocent hits."""
    return f"""
SELECT {", ".join(f"coalesce({name}, 0)" for name in Totals._fields)}, known.* FROM (
    SELECT array_agg({tokens.column}), array_agg(greatest(0, coalesce(spam_hits, 0))),
        array_agg(greatest(0, coalesce(innocent_hits, 0)))
    FROM (
        SELECT token, spam_hits, innocent_hits FROM dspam_token_data
        WHERE uid = $1 AND token = ANY ($2::{tokens.type}[]) {lock_tokens}
    ) AS hits
) AS known LEFT JOIN (SELECT * FROM dspam_stats WHERE uid = $1 {lock_totals}) AS totals ON true"""


def _learn(changes: str, day: str = "excluded.last_hit") -> str:
    """$1 uid, $2 tokens, $3, $4 their changes, $5 day, $6 changes of totals, $7 signature id, $8 its data.

    `changes` selects $2 to $4 as rows with their day; `day` is that of a token that was there.  Nearly
    always all tokens of a message change alike; then two numbers instead of two arrays save a fifth of the
    time.

    A change may be negative only where the counter is locked and not below it.
    """
    numbers = list(enumerate(Totals._fields, 1))
    totals = ", ".join(Totals._fields)
    added = ", ".join(
        f"{name} = greatest(0, coalesce(t.{name}, 0) + ($6::int[])[{n}])" for n, name in numbers
    )
    return f"""
WITH totals AS (
    INSERT INTO dspam_stats AS t (uid, {totals})
    SELECT $1::int, {", ".join(f"greatest(0, ($6::int[])[{n}])" for n, _ in numbers)}
    WHERE 0 <> ANY ($6::int[])
    ON CONFLICT (uid) DO UPDATE SET {added}
), signature AS (
    INSERT INTO dspam_signature_data (uid, signature, data, length, created_on)
    SELECT $1::int, $7::varchar, $8::bytea, length($8::bytea), $5::date WHERE $7 IS NOT NULL
    ON CONFLICT (uid, signature) DO UPDATE
    SET data = excluded.data, length = excluded.length, created_on = excluded.created_on
)
INSERT INTO dspam_token_data AS t (uid, token, spam_hits, innocent_hits, last_hit)
SELECT $1::int, c.token, c.spam, c.innocent, c.day
FROM ({changes}) AS c
ORDER BY 2
ON CONFLICT (uid, token) DO UPDATE SET last_hit = {day},
    spam_hits = greatest(0, coalesce(t.spam_hits, 0) + excluded.spam_hits),
    innocent_hits = greatest(0, coalesce(t.innocent_hits, 0) + excluded.innocent_hits)"""


def _batch(tokens: Tokens) -> str:
    """$1 uid, $2 and $3 first and last token, $4 how many: arrays of token, hits, days."""
    return f"""
SELECT array_agg({tokens.column}), array_agg(coalesce(spam_hits, 0)),
    array_agg(coalesce(innocent_hits, 0)), array_agg(coalesce(last_hit - date '1970-01-01', 0))
FROM (
    SELECT token, spam_hits, innocent_hits, last_hit FROM dspam_token_data
    WHERE uid = $1 AND token BETWEEN $2::{tokens.type} AND $3::{tokens.type}
    ORDER BY token LIMIT $4
) AS batch"""


def _signature(corrections: bool) -> str:
    """$1 uid, $2 id: data, label and effect of the correction."""
    if not corrections:
        return "SELECT data, NULL, NULL FROM dspam_signature_data WHERE uid = $1 AND signature = $2"
    return """
SELECT s.data, c.label, c.applied FROM dspam_signature_data AS s
LEFT JOIN dspamd_correction AS c ON c.uid = s.uid AND c.signature = s.signature
WHERE s.uid = $1 AND s.signature = $2"""
