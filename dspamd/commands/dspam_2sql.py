"""dspam_2sql: prints all dictionaries as SQL statements for another store (reference/cli.md 8).

    dspam_2sql | mysql -D dspam -u dspam -p
    dspam_2sql -d pgsql_drv | psql dspam dspam

The tables must exist, without these users: each user is one transaction, so the server refuses a
user that is there already, and nothing counts twice.  Unlike those of the original, the statements
include virtual users and real days, and end in semicolons.

Users of file stores get numbers in the order of their names; with `--user` they keep them.
With `--json` it prints lines for other programs instead, an object each, with the names and the forms of
dspam-export(5).  Neither has signatures, blocks or preferences; `dspam_admin copy` copies these as well.
"""

from __future__ import annotations

import json
import os
import sys
from array import array
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dspamd.commands import tool
from dspamd.engine.model import Totals
from dspamd.errors import InvalidName, UsageError
from dspamd.maintenance.moving.archive import record_of
from dspamd.storage.clock import day_of
from dspamd.storage.contract import TokenRow, Uid
from dspamd.storage.sql.common import UserTable, owner_name

if TYPE_CHECKING:
    from dspamd.app import Parts

USAGE = "syntax: dspam_2sql [--profile=PROFILE] [-d mysql_drv|pgsql_drv | --json] [--user=USER ...]\n"
_ROWS = 500  # in one statement: some 25 kB, which every server takes
_SIGNED = 2**63


@dataclass(frozen=True, slots=True)
class Dialect:
    """The SQL of a server."""

    options: str  # prefix of its options in dspam.conf
    opening: str  # sets the character set of names
    begin: str
    quoted: Callable[[str], str]
    number: Callable[[int], int]  # of a token
    end: str = ""  # after all users are in {table}


def _plain(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


_MYSQL = Dialect(
    options="MySQL",
    opening="set names utf8mb4;\n",
    begin="start transaction;\n",
    quoted=lambda text: _plain(text.replace("\\", "\\\\")),
    number=lambda token: token,
)
_PGSQL = Dialect(
    options="PgSQL",
    opening="set client_encoding to 'UTF8';\nset standard_conforming_strings to on;\n",
    begin="begin;\n",
    quoted=_plain,
    number=lambda token: token - 2 * _SIGNED if token >= _SIGNED else token,
    end="select setval('{table}_seq', (select max({uid}) from {table}));\n",
)
DIALECTS = {"mysql_drv": _MYSQL, "pgsql_drv": _PGSQL}


COMMAND = tool.Command("dspam_2sql", USAGE, complaint="{error}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 0, 1 wrong usage or an export failed."""
    return tool.command(COMMAND, run, arguments)


def run(words: list[str]) -> int:
    words, profile = tool.profile_of(words)
    users, dialect = parse(words)
    if dialect is None:
        return tool.run(lambda parts: export_json(parts, users), profile)
    return tool.run(lambda parts: export(parts, users, dialect), profile)


def parse(words: Sequence[str]) -> tuple[list[str], Dialect | None]:
    """The users to export (none: all), and the server; None for JSON.  Raises UsageError."""
    rest: list[str] = [word for word in words if word != "--json"]
    dialect = _MYSQL if len(rest) == len(words) else None
    if "-d" in rest:
        at = rest.index("-d")
        if at + 1 == len(rest) or rest[at + 1] not in DIALECTS:
            raise UsageError("invalid driver or no driver specified")
        if dialect is None:
            raise UsageError("-d and --json exclude each other")
        dialect = DIALECTS[rest[at + 1]]
        del rest[at : at + 2]
    if any(not word.startswith("--user=") for word in rest):
        raise UsageError
    return [word.removeprefix("--user=") for word in rest], dialect


async def export(parts: Parts, users: Sequence[str], dialect: Dialect) -> int:
    """Print the statements for some users, or for all users of the store."""
    table, source = UserTable.from_config(parts.config, dialect.options), Source(parts, users)
    exported: set[Uid] = set()
    sys.stdout.write(dialect.opening)
    async for user, uid, number in source.owners():
        sys.stdout.write(dialect.begin)
        name = dialect.quoted(user)
        sys.stdout.write(
            f"insert into {table.table} ({table.uid}, {table.name}) values ({number}, {name});\n"
        )
        if uid not in exported:  # two names may share a dictionary
            exported.add(uid)
            async for statement in _dictionary(parts, uid, number, dialect):
                sys.stdout.write(statement)
        sys.stdout.write("commit;\n")
    sys.stdout.write(dialect.end.format(table=table.table, uid=table.uid))
    return source.status


async def export_json(parts: Parts, users: Sequence[str]) -> int:
    """Print an object for each user, with their totals, and after it one for each of their tokens."""
    source = Source(parts, users)
    async for user, uid, number in source.owners():
        totals = (await parts.storage.read(uid, array("Q"))).totals
        sys.stdout.write(json.dumps({"user": user, "uid": number, "totals": totals._asdict()}) + "\n")
        async for batch in parts.storage.tokens(uid):
            sys.stdout.writelines(json.dumps({"user": user} | record_of(row)) + "\n" for row in batch)
    return source.status


class Source:
    """The users whose dictionaries are printed: those that are named, or all of the store."""

    def __init__(self, parts: Parts, users: Sequence[str]) -> None:
        self._storage, self._users = parts.storage, users
        self.status = os.EX_OK  # 1: one of them cannot be printed

    async def owners(self) -> AsyncIterator[tuple[str, Uid, int]]:
        """Names, keys and numbers; of others it says on standard error that they are not there."""
        known = await self._storage.owners()
        for user in self._users or known:
            try:
                uid = await self._storage.uid(owner_name(user), create=False)
            except InvalidName as error:
                self._miss(f"dspam_2sql: {error}")
                continue
            if uid is None:
                self._miss(f"Unable to obtain uid for user {user}")
                continue
            yield user, uid, uid if isinstance(uid, int) else known.index(user) + 1

    def _miss(self, why: str) -> None:
        sys.stderr.write(f"{why}\n")
        self.status = 1


async def _dictionary(parts: Parts, uid: Uid, number: int, dialect: Dialect) -> AsyncIterator[str]:
    """The statements for the dictionary of a user, with their number in the new store."""
    totals = (await parts.storage.read(uid, array("Q"))).totals
    yield _insert("dspam_stats", ("uid", *Totals._fields), [f"({number}, {', '.join(map(str, totals))})"])
    columns = ("uid", "token", "spam_hits", "innocent_hits", "last_hit")
    async for batch in parts.storage.tokens(uid):
        rows = [_row(number, row, dialect) for row in batch]
        for start in range(0, len(rows), _ROWS):
            yield _insert("dspam_token_data", columns, rows[start : start + _ROWS])


def _row(number: int, row: TokenRow, dialect: Dialect) -> str:
    day = day_of(row.last_hit).isoformat()
    return f"({number}, {dialect.number(row.token)}, {row.spam}, {row.innocent}, '{day}')"


def _insert(table: str, columns: Sequence[str], rows: Sequence[str]) -> str:
    return f"insert into {table} ({', '.join(columns)}) values {', '.join(rows)};\n"


if __name__ == "__main__":
    sys.exit(main())
