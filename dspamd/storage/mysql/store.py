"""The MySQL and MariaDB driver: the dictionaries of all users in one database, as DSPAM keeps them.

The driver works on the tables of DSPAM 3.10.2 where they are, in each of its schemas, with the
site's own table of users, so DSPAM can work beside it or again (reference/storage.md
3.1, 4).  The uid is the number of a name in the table of users; with aliases,
several names have the same number.  Preferences are rows.

We add tables of corrections and of blocks.  The driver makes them on first use, and
all of DSPAM's in an empty database, unless `MySQLCreateSchema` is off.  Without them,
a correction that comes twice counts twice, and a scorer that needs a block gets `NoBlocks`.

With `MySQLWriteServer`, changes go there and look-ups to the other server, which may lag
behind.  Any number of daemons may share a database; of it they
keep in memory only the layout of its tables.
"""

from __future__ import annotations

from array import array
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import date
from functools import partial
from itertools import chain
from typing import TypeVar

from dspamd.config.config import Config
from dspamd.engine.changes import ascending
from dspamd.engine.model import Hits, Snapshot, Totals
from dspamd.errors import InvalidName, PermFail, TempFail
from dspamd.home.home import Home
from dspamd.mail.signature import valid
from dspamd.offload.threads import aside
from dspamd.storage.block import NO_BLOCK, checked
from dspamd.storage.clock import utc_day
from dspamd.storage.contract import Block, Change, NoChanges, ReadOnly, Signature, Stored, TokenRow, Uid
from dspamd.storage.correction import correction, rises
from dspamd.storage.mysql import block_statements as block_sql
from dspamd.storage.mysql import statements as sql
from dspamd.storage.mysql import tables as mysql_tables
from dspamd.storage.mysql.corrections import correct
from dspamd.storage.mysql.server import (
    DOES_NOT_FIT,
    DUPLICATE,
    NO_DEFAULT,
    UNCHANGEABLE,
    Connection,
    Connections,
    Error,
    number,
)
from dspamd.storage.mysql.tables import Refused, Tables
from dspamd.storage.sql.common import EVERYBODY, Server, UserTable, owner_name
from dspamd.storage.sql.owner_lock import OwnerLock
from dspamd.storage.sql.refusals import Refusals
from dspamd.telemetry.metrics import Metrics

T = TypeVar("T")

_BATCH = 5_000  # tokens
_ALONE_S = 10.0  # a correction waits as long for others of the same owner
_LONGEST_TOKEN = 20  # digits of 2^64 - 1


class MySQL:
    """A `Storage` in a MySQL or MariaDB database.

    `writes` are connections to the server for changes; they may be those for reading.
    With `create`, the driver may make tables.
    """

    def __init__(
        self,
        reads: Connections,
        writes: Connections,
        users: UserTable,
        *,
        signatures_from_writes: bool = False,
        create: bool = True,
        today: Callable[[], date] = utc_day,
    ) -> None:
        self._reads = reads
        self._writes = writes
        self._signatures = writes if signatures_from_writes else reads
        self._users = mysql_tables.names(users)
        self._create = create
        self._today = today
        self._tables: Tables | None = None
        self._refused: Refused = {}
        self._refusals = Refusals()
        self._owner_lock = OwnerLock(writes.deadline_s)

    @classmethod
    def from_config(
        cls, config: Config, home: Home, metrics: Metrics | None = None, *, create: bool = True
    ) -> MySQL:
        """The store of a site.  Raises `ConfigError` if `mysql.data` cannot be used."""
        size, deadline_s = config.MySQLConnectionCache, config.StorageTimeout
        server = Server.from_config(config, "MySQL", home.path / "mysql.data")
        reads = writes = Connections(server, size, deadline_s, metrics)
        if config.MySQLWriteServer:
            server = Server.from_config(config, "MySQLWrite", home.path / "mysql.data")
            writes = Connections(server, size, deadline_s, metrics)
        return cls(
            reads,
            writes,
            UserTable.from_config(config, "MySQL"),
            signatures_from_writes=config.MySQLReadSignaturesFromWriteDb,
            create=create and config.MySQLCreateSchema,
        )

    async def open(self) -> None:
        """Does nothing: the daemon starts without its database."""

    async def close(self) -> None:
        await self._reads.close()
        await self._writes.close()

    async def uid(self, owner: str, *, create: bool) -> Uid | None:
        """The number of the owner.  Raises `InvalidName` for a name that no table can keep."""
        name = owner_name(owner)
        await self._known()
        try:
            uid = await self._reads.run(lambda connection: self._find(connection, name))
            if uid is None and create:
                uid = await self._writes.run(lambda connection: self._make(connection, name))
        except Unfit as error:
            raise InvalidName(str(error)) from error
        return uid

    async def _find(self, connection: Connection, name: str) -> int | None:
        rows = await _fitting(connection.rows(sql.user(self._users, name)))
        return int(rows[0][0]) if rows else None

    async def _make(self, connection: Connection, name: str) -> int | None:
        """Make a user, unless another client just did, or the server for look-ups lags behind."""
        uid = await self._find(connection, name)
        if uid is None:
            try:
                await _fitting(connection.execute(sql.new_user(self._users, name)))
            except Error as error:
                if number(error) in NO_DEFAULT:
                    detail = f"user {name!r}: {self._users.table} has aliases, whose numbers the site gives"
                    raise TempFail("Storage is not available", detail=detail) from error
                if number(error) not in DUPLICATE:
                    raise
            uid = await self._find(connection, name)
        return uid

    async def owner_of(self, uid: Uid) -> str | None:
        """Asks the server that has the signatures: only they name owners by number."""
        await self._known()
        statement = sql.name_of(self._users, int(uid))
        ((name,),) = await self._signatures.run(lambda connection: connection.rows(statement))
        return None if name is None else str(name)

    async def read(self, uid: Uid, tokens: array[int]) -> Snapshot:
        tables = await self._known()

        async def read(connection: Connection) -> Snapshot:
            totals, hits = None, Hits.none()
            for portion in sql.portions(tokens, tables.statement_bytes):
                ((totals, count, *lists),) = await connection.rows(sql.read(int(uid), portion))
                sql.add(hits, count, lists)
            return Snapshot(Totals(*sql.numbers(totals)), hits)

        return await self._reads.run(read)

    async def apply(self, uid: Uid, change: Change) -> None:
        tables = await self._taking_changes()
        owner, day = int(uid), change.day or self._today()
        tokens = change.learned.tokens
        size = 8 * len(tokens.tokens)
        learned = change.learned._replace(tokens=await aside(size, lambda: ascending(tokens)))
        statements: list[str] = []
        if (signature := change.signature) is not None:
            if lack := _lack(signature, tables):
                raise TempFail("Storage is not available", detail=lack)
            statements.append(await aside(len(signature.data), lambda: sql.store(owner, signature, day)))
        if (block := change.block) is not None:
            await self._need_room(*block)
            statements += block_sql.append(owner, block)
        guard = change.correct
        simple = change.begins and await aside(size, lambda: rises(change.learned))
        if guard is not None and guard.label is not None and simple:
            # Nothing to check, and no counter to read.
            if tables.corrections:
                keep = partial(sql.keep, owner, guard, guard.label, change.learned, block)
                statements.append(await aside(size, keep))
            guard = None

        async def apply(connection: Connection) -> None:
            async with connection.transaction():
                if guard is not None:
                    await correct(connection, owner, change, guard, tables)
                for statement in chain(sql.learn(owner, learned, day, tables.statement_bytes), statements):
                    await connection.execute(statement)

        async def apply_alone(connection: Connection) -> None:
            take, release = sql.only_corrector(owner, _ALONE_S)
            if await connection.rows(take) != ((1,),):
                raise TempFail("Storage is busy", detail=f"other corrections of uid {owner} take too long")
            await apply(connection)
            await connection.execute(release)

        alone = guard is not None and tables.without_transactions
        async with self._owner_lock.held(owner):
            try:
                await self._writes.run(apply_alone if alone else apply)
            except TempFail as failure:
                if isinstance(failure.__cause__, Error) and number(failure.__cause__) in UNCHANGEABLE:
                    self._tables = None  # somebody took a right from us, or a table: look again
                    await self._taking_changes()
                raise

    async def load(self, uid: Uid, rows: Sequence[TokenRow], position: Signature) -> None:
        tables, owner = await self._known(), int(uid)

        async def load(connection: Connection) -> None:
            async with connection.transaction():
                for statement in sql.load(owner, rows, tables.statement_bytes):
                    await connection.execute(statement)
                await connection.execute(sql.store(owner, position, self._today()))

        async with self._owner_lock.held(owner):
            await self._writes.run(load)

    async def block(self, uid: Uid, name: str, *, since: int = 0) -> Block:
        await self._need_room(name)
        statement = block_sql.read(int(uid), name, since)
        versions: tuple[int, int] | None = None
        base, changes = None, list[tuple[int, bytes]]()
        for data, version, last in await self._reads.run(lambda connection: connection.rows(statement)):
            if last is None:
                changes.append((version, data))
            else:
                base, versions = data, (int(last), int(version))
        if versions is None:
            return NO_BLOCK
        return Block(*versions, base, tuple(data for _, data in sorted(changes)))

    async def fold(
        self, uid: Uid, name: str, version: int, data: bytes, *, expected: int | None = None
    ) -> bool:
        await self._need_room(name, data)
        begin, lock = block_sql.begin(int(uid), name), block_sql.versions(int(uid), name)
        statements = block_sql.fold(int(uid), name, version, data)

        async def fold(connection: Connection) -> bool:
            async with connection.transaction():
                if expected == 0:
                    await connection.execute(begin)
                ((base, current),) = await connection.rows(lock) or ((0, 0),)
                if base >= version or expected not in (None, current):
                    return False
                for statement in statements:
                    await connection.execute(statement)
                return True

        return await self._writes.run(fold)

    async def blocks(self, uid: Uid) -> list[str]:
        if not (await self._known()).blocks:
            return []
        rows = await self._reads.run(lambda connection: connection.rows(block_sql.names(int(uid))))
        return sorted(name for (name,) in rows)

    async def need_changes(self) -> None:
        tables = await self._taking_changes()
        ((read_only,),) = await self._writes.run(lambda connection: connection.rows("SELECT @@read_only"))
        if read_only != tables.read_only:
            self._tables = None
            await self._taking_changes()

    async def _taking_changes(self) -> Tables:
        """The tables.  Raises `NoChanges` if we lack a right that every change needs."""
        tables = await self._known()
        if tables.no_changes:
            tables = await self._seen_again(tables)
        if tables.no_changes:
            raise (ReadOnly if tables.bound else NoChanges)(tables.no_changes)
        return tables

    async def _seen_again(self, tables: Tables) -> Tables:
        """The tables as they are by now, if it is time for a look."""
        if self._refusals.look_again():
            await self._reads.renew()
            await self._writes.renew()
            tables = self._tables = await self._adopted()
        return tables

    async def need_blocks(self) -> None:
        tables = await self._known()
        if not tables.blocks:
            tables = await self._seen_again(tables)
        if not tables.blocks:
            raise self._refusals.refused(tables.no_blocks(self._refused))
        self._refusals.kept()

    async def _need_room(self, name: str, data: bytes = b"") -> None:
        """Raises `NoBlocks`, ValueError (`checked`), `TempFail` for what this server does not take."""
        checked(name, data)
        await self.need_blocks()
        tables = await self._known()
        if (needed := sql.store_bytes(data)) > tables.statement_bytes:
            detail = f"block {name} needs max_allowed_packet of {needed} bytes"
            raise TempFail("Storage is not available", detail=detail)

    async def has_room(self, uid: Uid, signature: Signature) -> bool:
        return not _lack(signature, await self._taking_changes())

    async def signature(self, uid: Uid, signature: str) -> Stored | None:
        if not valid(signature):
            return None
        tables = await self._known()
        statement = sql.stored(int(uid), signature, corrections=tables.corrections)
        rows = await self._signatures.run(lambda connection: connection.rows(statement))
        if not rows:
            return None
        ((data, label, applied),) = rows
        return Stored(data, correction(label, applied) if label else None, tables.corrections)

    async def delete_signature(self, uid: Uid, signature: str) -> bool:
        if not valid(signature):
            return False
        tables = await self._known()

        async def delete(connection: Connection) -> bool:
            async with connection.transaction():
                if tables.corrections:
                    await connection.execute(sql.delete_correction(int(uid), signature))
                return await connection.execute(sql.delete_signature(int(uid), signature)) > 0

        return await self._writes.run(delete)

    async def signatures(self, uid: Uid) -> list[tuple[str, int]]:
        await self._known()
        rows = await self._reads.run(lambda connection: connection.rows(sql.signatures(int(uid))))
        return [(signature, day) for signature, day in rows]

    async def tokens(self, uid: Uid, *, ordered: bool = True) -> AsyncIterator[list[TokenRow]]:
        """Tokens that are texts are in order only among those of the same length."""
        tables = await self._known()
        for digits in range(1, _LONGEST_TOKEN + 1) if tables.tokens_are_text else (None,):
            after = None
            while batch := await self._batch(sql.next_tokens(int(uid), after, digits, _BATCH)):
                yield batch
                after = batch[-1].token

    async def token_count(self, uid: Uid) -> int:
        ((count,),) = await self._reads.run(lambda connection: connection.rows(sql.count_tokens(int(uid))))
        return int(count)

    async def _batch(self, statement: str) -> list[TokenRow]:
        ((count, *lists),) = await self._reads.run(lambda connection: connection.rows(statement))
        return sorted(map(TokenRow, *sql.columns(count, lists)))

    async def delete_tokens(self, uid: Uid, tokens: array[int]) -> int:
        tables = await self._known()
        portions = list(sql.portions(tokens, tables.statement_bytes))

        async def delete(connection: Connection) -> int:
            async with connection.transaction():
                return sum(
                    [await connection.execute(sql.delete_tokens(int(uid), portion)) for portion in portions]
                )

        return await self._writes.run(delete)

    async def compact(self, uid: Uid, *, whole: bool = False) -> bool:
        """Nothing to do: the server uses the space again."""
        return False

    async def owners(self) -> list[str]:
        await self._known()
        rows = await self._reads.run(lambda connection: connection.rows(sql.owners(self._users)))
        return sorted(name for (name,) in rows)

    async def preferences(self, owner: str) -> Mapping[str, str]:
        uid = await self.uid(owner, create=False) if owner else EVERYBODY
        if uid is None:
            return {}
        await self._known()
        return dict(await self._reads.run(lambda connection: connection.rows(sql.preferences(int(uid)))))

    async def set_preference(self, owner: str, name: str, value: str | None) -> None:
        """Makes an unknown owner, as DSPAM does, unless it removes a preference.

        Raises `PermFail` for a preference that the table has no room for.
        """
        uid = await self.uid(owner, create=value is not None) if owner else EVERYBODY
        if uid is None:
            return
        await self._known()
        statement = sql.set_preference(int(uid), name, value)
        try:
            await self._writes.run(lambda connection: _fitting(connection.execute(statement)))
        except Unfit as error:
            raise PermFail("Invalid preference", detail=str(error)) from error

    async def delete_owner(self, owner: str) -> None:
        """Deletes tokens in small batches first, the name last, so that a caller can repeat what broke off.

        Data that a user shares with another name stay.
        """
        uid = await self.uid(owner, create=False)
        if uid is None:
            return
        tables = await self._known()

        others = sql.other_names(self._users, int(uid), owner)
        statements = [sql.forget_user(self._users, owner)]
        if not await self._writes.run(lambda connection: connection.rows(others)):
            some = sql.delete_some_tokens(int(uid), _BATCH)
            while await self._writes.run(lambda connection: connection.execute(some)):
                pass
            statements = [
                *sql.delete_data(int(uid), corrections=tables.corrections, blocks=tables.blocks),
                *statements,
            ]

        async def delete(connection: Connection) -> None:
            async with connection.transaction():
                for statement in statements:
                    await connection.execute(statement)

        await self._writes.run(delete)

    async def rename_owner(self, owner: str, name: str) -> None:
        """The number stays, and with it all data."""
        statement = sql.rename_user(self._users, owner, owner_name(name))
        try:
            await self._writes.run(lambda connection: _fitting(connection.execute(statement)))
        except Unfit as error:
            raise InvalidName(str(error)) from error

    async def _known(self) -> Tables:
        """The tables as they are; the first call makes those that are missing, and looks."""
        if self._tables is None:
            tables = await self._adopted()
            if self._tables is None:
                mysql_tables.report(tables, self._refused)
                self._tables = tables
        return self._tables

    async def _adopted(self) -> Tables:
        adopt = partial(mysql_tables.adopt, users=self._users, create=self._create)
        tables, self._refused = await self._writes.run(adopt)
        if not tables.there:
            detail = f"table dspam_token_data: {self._refused.get(1, 'it is not there')}"
            raise TempFail("Storage is not available", detail=detail)
        return tables


class Unfit(Exception):
    """A text that a column cannot hold: too long, or in characters that it does not have."""


async def _fitting(answer: Awaitable[T]) -> T:
    try:
        return await answer
    except Error as error:
        if number(error) in DOES_NOT_FIT:
            raise Unfit(str(error)) from error
        raise


def _lack(signature: Signature, tables: Tables) -> str:
    """The limit that leaves no room for a signature; empty if there is room.  Nobody would find a cut id."""
    id_, size, column = signature.id, len(signature.data), "dspam_signature_data"
    if len(id_) > tables.signature_length:
        return f"signature {id_} needs {column}.signature longer than {tables.signature_length}"
    if size > tables.signature_bytes:
        return f"signature {id_} needs {column}.data larger than {tables.signature_bytes} bytes"
    needed = sql.store_bytes(signature.data)
    if needed > tables.statement_bytes:
        return f"signature {id_} needs max_allowed_packet of {needed} bytes"
    return ""
