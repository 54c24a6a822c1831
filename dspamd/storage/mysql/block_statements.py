"""The statements on the tables of blocks, by the rules of `statements.py`.  Pure."""

from __future__ import annotations

from dspamd.storage.block import BlockChange, first_version
from dspamd.storage.mysql.statements import quoted


def append(uid: int, change: BlockChange) -> tuple[str, str]:
    """Two statements of one transaction: take the next version of a block, and store the change with it."""
    first = first_version()
    return (
        "INSERT INTO dspamd_block (uid, name, base, version, data)"
        f" VALUES ({uid}, {quoted(change.name)}, {first}, {first + 1}, '')"
        " ON DUPLICATE KEY UPDATE version = version + 1",
        "INSERT INTO dspamd_block_change (uid, name, version, data)"
        f" SELECT uid, name, version, X'{change.data.hex()}' FROM dspamd_block"
        f" WHERE {_which(uid, change.name)}",
    )


def read(uid: int, name: str, since: int) -> str:
    """A row with the base (NULL if the reader has it), the version of the base, and that of the block;
    then, for each change after `since` or the base, a row with the change, its version, and NULL.
    """
    which, anew = _which(uid, name), f"{since} NOT BETWEEN base AND b.version"
    return (
        f"SELECT IF({anew}, data, NULL), base, b.version FROM dspamd_block AS b WHERE {which}"
        " UNION ALL SELECT c.data, c.version, NULL FROM dspamd_block AS b"
        " JOIN dspamd_block_change AS c ON c.uid = b.uid AND c.name = b.name"
        f" AND c.version > IF({anew}, b.base, {since})"
        f" WHERE b.uid = {uid} AND b.name = {quoted(name)}"
    )


def begin(uid: int, name: str) -> str:
    """Lock a block, or make one of version 0, which no reader sees before a fold."""
    return (
        "INSERT INTO dspamd_block (uid, name, base, version, data)"
        f" VALUES ({uid}, {quoted(name)}, 0, 0, '') ON DUPLICATE KEY UPDATE uid = uid"
    )


def versions(uid: int, name: str) -> str:
    """Lock a block; the versions of its base and of itself."""
    return f"SELECT base, version FROM dspamd_block WHERE {_which(uid, name)} FOR UPDATE"


def fold(uid: int, name: str, version: int, data: bytes) -> tuple[str, str]:
    """Two statements: replace an older base, and drop the changes that are in the new one."""
    return (
        "INSERT INTO dspamd_block (uid, name, base, version, data)"
        f" VALUES ({uid}, {quoted(name)}, {version}, {version}, X'{data.hex()}') ON DUPLICATE KEY UPDATE"
        " base = VALUES(base), version = GREATEST(version, VALUES(version)), data = VALUES(data)",
        f"DELETE FROM dspamd_block_change WHERE {_which(uid, name)} AND version <= {version}",
    )


def names(uid: int) -> str:
    return f"SELECT name FROM dspamd_block WHERE uid = {uid}"


def _which(uid: int, name: str) -> str:
    return f"uid = {uid} AND name = {quoted(name)}"
