"""Recorded contents of each kind of store of DSPAM, and how a test restores them."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from dspamd.engine.model import Totals
from dspamd.home.home import Home
from dspamd.storage.sql.common import Server
from tests.golden.data import rows
from tests.support.mariadb_server import MariaDB

LIBRARIES = {
    "sqlite": "libsqlite3_drv.so",
    "hash": "libhash_drv.so",
    "mysql": "libmysql_drv.so",
    "postgres": "libpgsql_drv.so",
}
RECORDED = {row["driver"]: row for row in rows("storage.jsonl")}
HASH_SINGLE, HASH_LEFT = RECORDED["hash-css-files"]["items"], RECORDED["hash"]
POSTGRES, POSTGRES_NUMBERED = (
    next(row for row in rows("storage.jsonl") if row["driver"] == name)
    for name in ("pgsql", "pgsql-uidinsig")
)
# The dump without the words that only some versions of psql know.
POSTGRES_SCHEMA = "\n".join(line for line in POSTGRES["schema"].splitlines() if not line.startswith("\\"))
# The entry of a pseudo token by which DSPAM's SQL drivers noted changes; nobody needs it in a signature.
POSTGRES_CONTROL = (11624422384514212933).to_bytes(8, "little").hex() + "0100000000000000"
POSTGRES_TABLES = (
    "dspam_token_data",
    "dspam_signature_data",
    "dspam_stats",
    "dspam_preferences",
    "dspam_virtual_uids",
)
MYSQL_TABLES = {
    "dspam_token_data": "uid, token, spam_hits, innocent_hits, last_hit",
    "dspam_signature_data": "uid, signature, hex(data), length, created_on",
    "dspam_stats": "uid, " + ", ".join(Totals._fields),
    "dspam_preferences": "uid, preference, value",
    "dspam_virtual_uids": "uid, username",
}


def css_file(folder: Path, owner: str = "bob") -> Path:
    return Home(folder).file(owner, "css")


def hash_file(folder: Path, content: bytes, owner: str = "bob") -> None:
    Home(folder).prepare(css_file(folder, owner)).write_bytes(content)


def sqlite_rows(table: str) -> list[list[str]]:
    """The recorded rows of a table, without their head."""
    return [line.split("|") for line in RECORDED["sqlite3"]["rows"][table].splitlines()[1:]]


def sqlite_file(folder: Path, owner: str) -> None:
    """Make the database that DSPAM left."""
    path = Home(folder).prepare(Home(folder).file(owner, "sdb"))
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.executescript(RECORDED["sqlite3"]["schema"])
        database.executemany(
            "INSERT INTO dspam_token_data VALUES (?, ?, ?, ?)", sqlite_rows("dspam_token_data")
        )
        for id, data, _, day in sqlite_rows("dspam_signature_data"):
            row = (id, bytes.fromhex(data), day)
            database.execute("INSERT INTO dspam_signature_data VALUES (?, ?, ?)", row)
        database.executemany(f"INSERT INTO dspam_stats VALUES (?{', ?' * 8})", sqlite_rows("dspam_stats"))


def mysql_rows(recorded: Mapping[str, Any], table: str) -> list[list[str]]:
    """The recorded rows of a table, without their frame."""
    lines = recorded["rows"][table].splitlines()[3:-1]
    return sorted([cell.strip() for cell in line.strip("|").split("|")] for line in lines)


def mysql_database(mariadb: MariaDB, recorded: Mapping[str, Any], *tables: str) -> Server:
    """A database with the tables of DSPAM, and its contents in some of them."""
    server = mariadb.new_database()
    schema = recorded["schema"].replace("AUTO_INCREMENT=3", "")  # it contains the number of users
    mariadb.queries([statement for statement in schema.split(";\n") if statement.strip()], server)
    for table in tables:
        for row in mysql_rows(recorded, table):
            cells = ", ".join(f"'{cell}'" for cell in row)
            if table == "dspam_signature_data":
                cells = "'{}', '{}', X'{}', '{}', '{}'".format(*row)
            mariadb.query(f"INSERT INTO {table} VALUES ({cells})", server)
    return server


def postgres_rows(table: str, golden: dict[str, Any] = POSTGRES) -> list[list[str]]:
    """The recorded rows of a table."""
    lines = [line for line in golden["rows"][table].splitlines()[2:] if "|" in line]
    return [[value.strip() for value in line.split("|")] for line in lines]


def postgres_script(golden: dict[str, Any] = POSTGRES) -> str:
    """A script that makes the database that DSPAM left."""
    script = [POSTGRES_SCHEMA, "SET search_path = public;"]
    for table in POSTGRES_TABLES:
        for row in postgres_rows(table, golden):
            values = ", ".join(f"'{value}'" for value in row)
            if table == "dspam_signature_data":
                values = values.replace(f"'{row[2]}'", f"decode('{row[2]}', 'hex')")
            script.append(f"INSERT INTO {table} VALUES ({values});")
    script.append("SELECT setval('dspam_virtual_uids_seq', 3);")
    return "\n".join(script)
