"""The PostgreSQL driver: the dictionaries of all users in one database, as DSPAM keeps them.

The driver works on the tables of DSPAM 3.10.2 where they are, old or current, with the site's own
table of users, so DSPAM can work beside it or again (reference/storage.md 3.2, 4).  The
uid is the number of a name in the table of users.  Preferences are rows.

We add tables of corrections and of blocks.  The driver makes them on the first
connection, and all of DSPAM's in an empty database, unless `PgSQLCreateSchema` is off.  Without
them, a correction that comes twice counts twice, and a scorer that needs a block gets `NoBlocks`.

Any number of daemons may share a database.  They keep nothing of it in memory.
If the server is late or gone, a call raises `TempFail`; a later call finds the server again.
"""

from __future__ import annotations

from array import array
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import date
from functools import partial
from typing import Any, TypeVar

import asyncpg
from asyncpg import Connection

from dspamd.config.config import Config
from dspamd.engine.changes import AT_ONCE, ascending, extend, pieces, portions
from dspamd.engine.model import Hits, Learned, Snapshot, TokenChange, Totals
from dspamd.errors import InvalidName, PermFail, TempFail
from dspamd.home.home import Home
from dspamd.offload.threads import aside
from dspamd.storage.block import NO_BLOCK, checked, first_version
from dspamd.storage.clock import day_number, utc_day
from dspamd.storage.contract import (
    Block,
    Change,
    NoChanges,
    ReadOnly,
    Signature,
    Stored,
    TokenRow,
    Uid,
    hits_of,
)
from dspamd.storage.correction import correction, in_effect, rises
from dspamd.storage.postgres import block_statements as block_sql
from dspamd.storage.postgres import changes, corrections
from dspamd.storage.postgres import statements as sql
from dspamd.storage.postgres.connections import Connections, transaction
from dspamd.storage.postgres.statements import BIGINT, DECIMAL, Statements
from dspamd.storage.postgres.tables import CORRECTIONS, Refused, look, make, no_blocks, no_changes
from dspamd.storage.sql.common import EVERYBODY, Server, UserTable, owner_name, storable, unsigned
from dspamd.storage.sql.owner_lock import OwnerLock
from dspamd.storage.sql.refusals import Refusals
from dspamd.telemetry import log
from dspamd.telemetry.metrics import Metrics

T = TypeVar("T")
Work = Callable[[Connection, Statements], Awaitable[T]]

_BATCH = 5_000  # tokens
_LONGEST_SIGNATURE = 2**30 - 2**16  # bytes: a value and a message of the protocol may have a gigabyte
# Among signed numbers, each half of the tokens is in the order of the tokens.
_HALVES = ((0, 2**63 - 1), (2**63, 2**64 - 1))


class Postgres:
    """A `Storage` in a PostgreSQL database.

    A call takes `deadline_s` at most.  With `create`, the driver may make tables.  Poolers
    that cannot keep prepared statements need `prepared` off.
    """

    def __init__(
        self,
        server: Server,
        users: UserTable,
        *,
        connections: int = 3,
        deadline_s: float = 30.0,
        create: bool = True,
        prepared: bool = True,
        today: Callable[[], date] = utc_day,
        metrics: Metrics | None = None,
    ) -> None:
        self._users = users
        self._create = create
        self._today = today
        self._statements: Statements
        self._refused: Refused | None = None  # steps of the schema; None until the driver has tried them
        self._corrections = True  # until the driver has looked for their table
        self._no_changes = ""  # why nothing can be learned
        self._read_only = False  # as the server said to the last new connection
        self._no_blocks = ""  # why there is no place for blocks
        self._refusals = Refusals()
        self._owner_lock = OwnerLock(deadline_s)
        self._connections = Connections(
            server,
            self._adopt,
            count=connections,
            deadline_s=deadline_s,
            prepared=prepared,
            metrics=metrics,
        )

    @classmethod
    def from_config(
        cls, config: Config, home: Home, metrics: Metrics | None = None, *, create: bool = True
    ) -> Postgres:
        """The store of a site.  Raises `ConfigError` if `pgsql.data` cannot be used."""
        return cls(
            Server.from_config(config, "PgSQL", home.path / "pgsql.data"),
            UserTable.from_config(config, "PgSQL"),
            connections=config.PgSQLConnectionCache,
            deadline_s=config.StorageTimeout,
            create=create and config.PgSQLCreateSchema,
            prepared=config.PgSQLPreparedStatements,
            metrics=metrics,
        )

    async def open(self) -> None:
        await self._connections.open()

    async def close(self) -> None:
        await self._connections.close()

    async def _adopt(self, connection: Connection) -> None:
        """Look at the tables on each new connection; on the first one, make those that are missing."""
        layout, refused = await transaction(connection, look), self._refused
        if refused is None:
            layout, refused = await make(connection, layout, self._users, create=self._create)
        if not layout.tokens:
            missing = refused.get(1, "they are gone")
            raise TempFail("Storage is not available", detail=f"There are no tables of DSPAM: {missing}")
        if not layout.corrections and self._corrections:
            reason = refused.get(CORRECTIONS, "it is gone")
            log.get().warning("corrections_not_kept", table="dspamd_correction", reason=reason)
        self._refused, self._corrections = refused, layout.corrections
        self._no_blocks, self._no_changes = no_blocks(layout, refused), no_changes(layout)
        self._read_only = layout.read_only
        tokens = DECIMAL if layout.decimal else BIGINT
        self._statements = Statements(
            self._users, tokens, corrections=layout.corrections, blocks=layout.blocks
        )

    async def _run(self, work: Work[T], *, whole: bool = False) -> T:
        return await self._connections.run(lambda connection: work(connection, self._statements), whole=whole)

    async def uid(self, owner: str, *, create: bool) -> Uid | None:
        """The number of the owner.  Raises `InvalidName` for a name that no table can keep."""
        name = owner_name(owner)

        async def find(connection: Connection, statements: Statements) -> int | None:
            uid: int | None = await connection.fetchval(statements.uid, name)
            if uid is None and create:
                await connection.execute(statements.new_user, name)
                uid = await connection.fetchval(statements.uid, name)
                if uid is None:
                    raise TempFail("Storage is not available", detail=f"user {name!r} was not made")
            return uid

        return await self._run(_fitting(InvalidName, find))

    async def owner_of(self, uid: Uid) -> str | None:
        async def find(connection: Connection, statements: Statements) -> str | None:
            name: str | None = await connection.fetchval(statements.name_of, uid)
            return name

        return await self._run(find)

    async def read(self, uid: Uid, tokens: array[int]) -> Snapshot:
        async def read(connection: Connection, statements: Statements) -> Snapshot:
            totals, hits = Totals(), Hits.none()
            for portion in portions(tokens):
                row = await connection.fetchrow(statements.read, uid, statements.sent(portion))
                totals, found, *_ = _snapshot(row)
                extend(hits, found)
            return Snapshot(totals, hits)

        return await self._run(read)

    async def apply(self, uid: Uid, change: Change) -> None:
        """One statement if all hits rise, else a transaction that locks what it changes first.

        A change of very many tokens goes in pieces, in a transaction too.
        """
        if change.block is not None:
            checked(*change.block)
        await self._take_changes()
        learned, size = change.learned, 8 * len(change.learned.tokens.tokens)
        many = len(learned.tokens.tokens) > AT_ONCE
        rising = await aside(size, lambda: changes.rise(learned.tokens))
        simple = rising and change.correct is None
        new = rising and change.begins and await aside(size, lambda: rises(learned))

        async def ordered(statements: Statements) -> Iterator[tuple[TokenChange, bool]]:
            """The pieces of the change in the order of locks, each with whether it is the last one."""
            tokens = learned.tokens
            if many:
                tokens = await aside(size, lambda: ascending(learned.tokens, first=statements.first))
            return changes.marked(pieces(tokens))

        async def learn(
            connection: Connection, statements: Statements, totals: Totals, hits: TokenChange, *, last: bool
        ) -> None:
            kinds = changes.kinds(hits)
            alike = len(kinds) == 1
            statement = statements.learn if alike else statements.learn_each
            moves = kinds.pop() if alike else (hits.spam, hits.innocent)
            signature = change.signature if last and change.signature else (None, None)
            day = change.day or self._today()
            tokens = statements.sent(hits.tokens)
            await connection.execute(statement, uid, tokens, *moves, day, list(totals), *signature)

        async def add(connection: Connection, statements: Statements) -> None:
            for piece, last in await ordered(statements):
                await learn(connection, statements, learned.totals if last else Totals(), piece, last=last)

        async def change_known(connection: Connection, statements: Statements) -> None:
            correct = change.correct
            if correct is not None and not change.begins:
                await corrections.check(connection, statements, uid, correct)
            totals, hits = Totals(), TokenChange.none()
            for piece, last in await ordered(statements):
                lock = statements.lock if last else statements.lock_hits
                before = _snapshot(await connection.fetchrow(lock, uid, statements.sent(piece.tokens)))
                applied = in_effect(Learned(learned.totals if last else Totals(), piece), before)
                totals = applied.totals
                rows = await aside(
                    8 * len(piece.tokens), partial(changes.worth_a_row, applied.tokens, before.hits)
                )
                await learn(connection, statements, totals, rows, last=last)
                extend(hits, applied.tokens)
            if correct is not None:
                effect = learned._replace(totals=totals, tokens=hits)
                await corrections.keep(connection, statements, uid, correct, effect, change.block)

        async def begin(connection: Connection, statements: Statements) -> None:
            await add(connection, statements)
            if (correct := change.correct) is not None:
                await corrections.keep(connection, statements, uid, correct, learned, change.block)

        async def apply(connection: Connection, statements: Statements) -> None:
            await (begin if simple or new else change_known)(connection, statements)
            if (block := change.block) is not None:
                self._need_blocks(statements)
                await connection.execute(block_sql.APPEND, uid, block.name, first_version(), block.data)

        async with self._owner_lock.held(uid):
            if simple and not many and change.block is None:
                await self._run(add)
            else:
                await self._run(apply, whole=True)

    async def need_changes(self) -> None:
        if await self._run(_read_only) != self._read_only:  # a first connection looks at our rights
            await self._connections.renew()
            await self._run(_nothing)
        await self._take_changes()

    async def _take_changes(self) -> None:
        """Raises `NoChanges` if we lack a right that every change needs."""
        await self._look_again()
        if self._no_changes:
            raise (ReadOnly if self._read_only else NoChanges)(self._no_changes)

    async def need_blocks(self) -> None:
        await self._look_again()

        async def need(_: Connection, statements: Statements) -> None:
            self._need_blocks(statements)

        await self._run(need)

    async def load(self, uid: Uid, rows: Sequence[TokenRow], position: Signature) -> None:
        async def load(connection: Connection, statements: Statements) -> None:
            tokens, spam, innocent = hits_of(rows)
            hits, days = (statements.sent(tokens), spam, innocent), [row.last_hit for row in rows]
            await connection.execute(
                statements.load, uid, *hits, self._today(), list(Totals()), *position, days
            )

        async with self._owner_lock.held(uid):
            await self._run(load)

    async def block(self, uid: Uid, name: str, *, since: int = 0) -> Block:
        checked(name)
        await self._look_again()

        async def read(connection: Connection, statements: Statements) -> Block:
            self._need_blocks(statements)
            row = await connection.fetchrow(block_sql.READ, uid, name, since)
            return NO_BLOCK if row is None else Block(row[0], row[1], row[2], tuple(row[3]))

        return await self._run(read)

    async def fold(
        self, uid: Uid, name: str, version: int, data: bytes, *, expected: int | None = None
    ) -> bool:
        checked(name, data)

        async def fold(connection: Connection, statements: Statements) -> bool:
            self._need_blocks(statements)
            return bool(await connection.fetchval(block_sql.FOLD, uid, name, version, data, expected))

        return await self._run(fold)

    async def blocks(self, uid: Uid) -> list[str]:
        async def names(connection: Connection, statements: Statements) -> list[str]:
            rows = await connection.fetch(block_sql.NAMES, uid) if statements.blocks else []
            return sorted(name for (name,) in rows)

        return await self._run(names)

    def _need_blocks(self, statements: Statements) -> None:
        if not statements.blocks:
            raise self._refusals.refused(self._no_blocks)
        self._refusals.kept()

    async def _look_again(self) -> None:
        """While we lack a place or a right, now and then connect and look at the tables again."""
        if (self._no_blocks or self._no_changes) and self._refusals.look_again():
            self._refused = None
            await self._connections.renew()
            await self._run(_nothing)

    async def has_room(self, uid: Uid, signature: Signature) -> bool:
        await self._take_changes()
        return len(signature.data) <= _LONGEST_SIGNATURE

    async def signature(self, uid: Uid, signature: str) -> Stored | None:
        async def fetch(connection: Connection, statements: Statements) -> Stored | None:
            row = await connection.fetchrow(statements.signature, uid, storable(signature))
            if row is None:
                return None
            data, label, applied = row
            kept = correction(label, applied) if label else None
            return Stored(data or b"", kept, statements.corrections)

        return await self._run(fetch)

    async def delete_signature(self, uid: Uid, signature: str) -> bool:
        """Its correction goes with it, by a foreign key."""
        return await self._value(sql.DELETE_SIGNATURE, uid, storable(signature)) is not None

    async def signatures(self, uid: Uid) -> list[tuple[str, int]]:
        rows = await self._rows(sql.SIGNATURES, uid)
        return [(signature, day_number(day)) for signature, day in rows]

    async def tokens(self, uid: Uid, *, ordered: bool = True) -> AsyncIterator[list[TokenRow]]:
        for first, last in _HALVES:
            while batch := await self._batch(uid, first, last):
                yield batch
                if batch[-1].token == last:
                    break
                first = batch[-1].token + 1

    async def token_count(self, uid: Uid) -> int:
        return int(str(await self._value(sql.COUNT_TOKENS, uid)))

    async def _batch(self, uid: Uid, first: int, last: int) -> list[TokenRow]:
        bounds = array("Q", (first, last))

        async def fetch(connection: Connection, statements: Statements) -> list[TokenRow]:
            tokens, *others = await connection.fetchrow(
                statements.batch, uid, *statements.sent(bounds), _BATCH
            )
            return list(map(TokenRow, unsigned(array("q", tokens)), *others)) if tokens else []

        return await self._run(fetch)

    async def delete_tokens(self, uid: Uid, tokens: array[int]) -> int:
        async def delete(connection: Connection, statements: Statements) -> int:
            return _count(await connection.execute(statements.delete_tokens, uid, statements.sent(tokens)))

        return await self._run(delete)

    async def compact(self, uid: Uid, *, whole: bool = False) -> bool:
        """Nothing to do: the server uses the space again, when its autovacuum has been there."""
        return False

    async def preferences(self, owner: str) -> Mapping[str, str]:
        uid = await self.uid(owner, create=False) if owner else EVERYBODY
        return {} if uid is None else dict(await self._rows(sql.PREFERENCES, uid))

    async def set_preference(self, owner: str, name: str, value: str | None) -> None:
        """Makes an unknown owner, as DSPAM does, unless a preference is to be removed.

        Raises `PermFail` for a preference that does not fit the table.
        """
        uid = await self.uid(owner, create=value is not None) if owner else EVERYBODY
        if value is not None:

            async def store(connection: Connection, _: Statements) -> None:
                await connection.execute(sql.STORE_PREFERENCE, uid, name, value)

            await self._run(_fitting(_invalid_preference, store))
        elif uid is not None:
            await self._value(sql.DELETE_PREFERENCE, uid, name)

    async def owners(self) -> list[str]:
        async def names(connection: Connection, statements: Statements) -> list[str]:
            return sorted(name for (name,) in await connection.fetch(statements.names))

        return await self._run(names)

    async def delete_owner(self, owner: str) -> None:
        """Tokens go in small batches, the name last.  Data shared with another name stay."""
        uid = await self.uid(owner, create=False)

        async def shared(connection: Connection, statements: Statements) -> bool:
            return bool(await connection.fetchval(statements.shared, uid, owner))

        async def delete_some(connection: Connection, _: Statements) -> int:
            return _count(await connection.execute(sql.DELETE_SOME_TOKENS, uid))

        async def delete_rest(connection: Connection, statements: Statements) -> None:
            for delete in statements.delete_data:
                await connection.execute(delete, uid)
            await connection.execute(statements.forget, owner)

        async def forget(connection: Connection, statements: Statements) -> None:
            await connection.execute(statements.forget, owner)

        if uid is None:
            return
        if await self._run(shared):
            await self._run(forget)
            return
        while await self._run(delete_some):
            pass
        await self._run(delete_rest, whole=True)

    async def rename_owner(self, owner: str, name: str) -> None:
        """The number stays, and with it all data."""
        name = owner_name(name)

        async def rename(connection: Connection, statements: Statements) -> None:
            await connection.execute(statements.rename, owner, name)

        await self._run(_fitting(InvalidName, rename))

    async def _value(self, statement: str, *values: object) -> object:
        async def fetch(connection: Connection, _: Statements) -> object:
            return await connection.fetchval(statement, *values)

        return await self._run(fetch)

    async def _rows(self, statement: str, *values: object) -> Sequence[tuple[str, Any]]:
        async def fetch(connection: Connection, _: Statements) -> Sequence[tuple[str, Any]]:
            return [tuple(row) for row in await connection.fetch(statement, *values)]

        return await self._run(fetch)


def _invalid_preference(detail: str) -> PermFail:
    return PermFail("Invalid preference", detail=detail)


def _fitting(failure: Callable[[str], PermFail], work: Work[T]) -> Work[T]:
    """The same work, with this failure if a value is too long, or strange to the character set."""

    async def fitting(connection: Connection, statements: Statements) -> T:
        try:
            return await work(connection, statements)
        except asyncpg.DataError as error:
            raise failure(str(error)) from error

    return fitting


async def _nothing(_: Connection, __: Statements) -> None:
    """Work that needs a connection alone."""


async def _read_only(connection: Connection, _: Statements) -> bool:
    return bool(await connection.fetchval(sql.READ_ONLY))


def _snapshot(row: Sequence[Any]) -> Snapshot:
    *totals, tokens, spam, innocent = row
    if tokens is None:
        return Snapshot(Totals(*totals), Hits.none())
    return Snapshot(
        Totals(*totals), Hits(unsigned(array("q", tokens)), array("Q", spam), array("Q", innocent))
    )


def _count(status: str) -> int:
    """How many rows a statement changed, as the server says it: `DELETE 5`."""
    return int(status.rpartition(" ")[2])
