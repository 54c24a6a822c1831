"""dspam_dump: prints a user's dictionary, as text or as SQL (reference/cli.md 8).

Each token is a number with its hits, its probability and the day of its last hit; the command
line may name one token.  `-d sqlite_drv` prints statements that fill a database of the SQLite
driver; unlike those of the original they have semicolons and days.  `--json` prints an object for
each token, with the names and the forms of dspam-export(5).

An account without trust may see its own dictionary.
"""

from __future__ import annotations

import enum
import json
import os
import sys
import time
from array import array
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from dspamd.commands import tool
from dspamd.engine.model import Totals
from dspamd.engine.token_probabilities import probabilities
from dspamd.engine.tokenizer import crc64
from dspamd.errors import UsageError
from dspamd.maintenance.moving.archive import record_of
from dspamd.request.request import Request
from dspamd.storage.clock import day_of
from dspamd.storage.contract import TokenRow, Uid
from dspamd.users.trust import login_name, trusted

if TYPE_CHECKING:
    from dspamd.app import Parts

USAGE = "syntax: dspam_dump [--profile=Profile] [-d sqlite_drv] username [token]\n"
_DAY_S = 86_400


class Form(enum.Enum):
    """The form of the output."""

    TEXT = "text"
    SQL = "sql"
    JSON = "json"


COMMAND = tool.Command(
    "dspam_dump", USAGE, complaint="{error}\n", further="\t--json: print an object for each token\n"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 0, 1 wrong usage or no such token."""
    return tool.command(COMMAND, run, arguments)


def run(words: list[str]) -> int:
    words, profile = tool.profile_of(words)
    user, token, form = parse(words)
    return tool.run(lambda parts: dump(parts, user, token, form), profile, anybody=True)


def parse(words: Sequence[str]) -> tuple[str, str | None, Form]:
    """User, token or None, and the form of the output.  Raises UsageError."""
    rest = [word for word in words if word != "--json"]
    form = Form.TEXT if len(rest) == len(words) else Form.JSON
    if "-d" in rest:
        at = rest.index("-d")
        if rest[at + 1 : at + 2] != ["sqlite_drv"]:
            raise UsageError("invalid driver or no driver specified")
        del rest[at : at + 2]
        if form is Form.JSON:
            raise UsageError("-d and --json exclude each other")
        form = Form.SQL
    if not 1 <= len(rest) <= 2:
        raise UsageError
    return rest[0], rest[1] if len(rest) == 2 else None, form


async def dump(parts: Parts, user: str, token: str | None, form: Form) -> int:
    """Print a dictionary or one token of it.  Raises `NotTrusted` for that of another user."""
    caller = os.getuid()
    if user != login_name(caller) and not trusted(parts.config, caller):
        raise tool.NotTrusted
    uid = await parts.storage.uid(user, create=False)
    if token is not None:
        return await look_up(parts, user, uid, crc64(os.fsencode(token)), form)
    if uid is None:
        return os.EX_OK
    totals = (await parts.storage.read(uid, array("Q"))).totals
    if form is Form.SQL:
        sys.stdout.write(_statement("dspam_stats", ("dspam_stat_id", *Totals._fields), (0, *totals)))
    async for batch in parts.storage.tokens(uid):
        if form is Form.SQL:
            sys.stdout.writelines(map(_insert, batch))
            continue
        probability = await _probability(parts, user, totals, batch)
        sys.stdout.writelines((_objects if form is Form.JSON else _rows)(batch, probability))
    return os.EX_OK


async def look_up(parts: Parts, user: str, uid: Uid | None, token: int, form: Form) -> int:
    found = None if uid is None else await parts.storage.read(uid, array("Q", [token]))
    if found is None or not found.hits.tokens:
        sys.stderr.write("token not found\n")
        return 1
    row = TokenRow(token, found.hits.spam[0], found.hits.innocent[0], 0)
    probability = await _probability(parts, user, found.totals, [row])
    if form is Form.JSON:
        sys.stdout.writelines(_objects([row], probability))
    else:
        sys.stdout.write(_row(row, probability[row[1:3]]) + "\n")
    return os.EX_OK


async def _probability(
    parts: Parts, user: str, totals: Totals, rows: Sequence[TokenRow]
) -> dict[tuple[int, int], float]:
    options = (await parts.users.resolve(user)).score_options(Request())
    return probabilities((row[1:3] for row in rows), totals, options)


def _rows(rows: Sequence[TokenRow], probability: dict[tuple[int, int], float]) -> Iterator[str]:
    for row in rows:
        last_hit = time.asctime(time.gmtime(row.last_hit * _DAY_S))
        yield f"{_row(row, probability[row[1:3]])} LH: {last_hit}\n"


def _row(row: TokenRow, probability: float) -> str:
    return f"{row.token:<20} S: {row.spam:05d}  I: {row.innocent:05d}  P: {probability:.4f}"


def _objects(rows: Sequence[TokenRow], probability: dict[tuple[int, int], float]) -> Iterator[str]:
    for row in rows:
        yield json.dumps(record_of(row) | {"probability": round(probability[row[1:3]], 4)}) + "\n"


def _insert(row: TokenRow) -> str:
    day = day_of(row.last_hit).isoformat()
    columns = ("token", "spam_hits", "innocent_hits", "last_hit")
    return _statement("dspam_token_data", columns, (str(row.token), row.spam, row.innocent, day))


def _statement(table: str, columns: Sequence[str], values: Sequence[int | str]) -> str:
    """An INSERT; texts are digits and dates, which need no escapes."""
    shown = ", ".join(f"'{value}'" if isinstance(value, str) else str(value) for value in values)
    return f"insert into {table} ({', '.join(columns)}) values ({shown});\n"


if __name__ == "__main__":
    sys.exit(main())
