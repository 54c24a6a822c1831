"""Brings a user into a site out of an archive (`archive`), into any store.

After an interruption at any point the same import can be repeated; the counters are then those of one
import.  Each piece of tokens comes in one transaction with a signature that says how far the import is;
everything else is copied only if it is missing.  That signature is removed at the end.

A known user does not change, unless the mode is to replace them or to add to their data.
Neither site should learn mail of the user during the import.
"""

from __future__ import annotations

import asyncio
import enum
import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from dspamd.engine.model import Label, Learned, TokenChange, Totals
from dspamd.errors import PermFail
from dspamd.mail.signature import valid
from dspamd.maintenance.moving.archive import (
    Archive,
    BadArchive,
    Contents,
    Record,
    day_from,
    row_of,
    unpacked,
)
from dspamd.maintenance.moving.arriving_blocks import ArrivingBlocks
from dspamd.maintenance.moving.arriving_files import ArrivingFiles
from dspamd.maintenance.moving.leaving import remove
from dspamd.maintenance.moving.possessions import Site, known, signatures
from dspamd.storage.clock import day_number, day_of, utc_day
from dspamd.storage.contract import (
    LOADED_AT_ONCE,
    POSITION,
    Change,
    Correct,
    Correction,
    Signature,
    Storage,
    TokenRow,
    Uid,
)
from dspamd.storage.correction import unpack

_MOST = 2**31 - 1  # hits that one row can add
_DIGITS = 20  # of a checksum, in the id of a signature of 32 characters
Told = Callable[[float], None]


class Mode(enum.Enum):
    """What becomes of a user who is known already: nobody may be, they go, or the counters are added."""

    NEW = "new"
    REPLACE = "replace"
    MERGE = "merge"


class Refused(PermFail):
    """The import would change what it must not; nothing was changed."""

    exit_status = 1


class Imported(NamedTuple):
    """Whether an interrupted import went on; ids of signatures and names of blocks without a place."""

    resumed: bool
    left_out: tuple[str, ...]


class _Position(NamedTuple):
    """How far an import is: the last token that is in, -1 at the beginning."""

    mode: str
    token: int = -1
    blocks: Mapping[str, int] = MappingProxyType({})  # the versions of their new bases

    def signature(self, digest: str) -> Signature:
        return Signature(_id(digest), json.dumps(self._asdict(), default=dict).encode())


def _id(digest: str) -> str:
    return POSITION + digest[:_DIGITS]


class Import:
    """An import of one archive, whose `contents` were checked, for the user `name`."""

    def __init__(self, site: Site, name: str, archive: Archive, contents: Contents, mode: Mode) -> None:
        self._site, self._storage, self.name = site, site.storage, name
        self._archive, self._digest, self._mode = archive, contents.digest, mode
        self.count = contents.counts.get("token", 0)
        self._rows: list[TokenRow] = []
        self._position = _Position(mode.value)
        self._uid: Uid = ""
        self._signatures: set[str] = set()
        self._left_out: list[str] = []
        self.tokens = 0  # that are in

    async def run(self, told: Told) -> Imported:
        """Import everything; calls `told` with the share that is done.

        Raises `Refused` before it changes anything, `BadArchive`, `InvalidName`, `TempFail`, OSError.
        """
        resumed = await self._begin()
        self._signatures = {id_ for id_, _ in await signatures(self._storage, self._uid)}
        blocks = ArrivingBlocks(self._storage, self._uid, self._position.blocks, self._note_block)
        files = ArrivingFiles(self._site.home, self.name)
        records = self._archive.records()
        while (batch := await asyncio.to_thread(next, records, None)) is not None:
            found, share = batch
            try:
                for record in found:
                    if "token" not in record:
                        await self._take(record, resumed=resumed, blocks=blocks)
                await self._take_tokens([row_of(record) for record in found if "token" in record])
                await asyncio.to_thread(files.take, found)
            except (KeyError, TypeError, ValueError) as error:
                raise BadArchive(self._archive.path, f"a record cannot be used: {error!r}") from error
            told(share)
        await self.load()
        await blocks.end()
        return Imported(resumed, (*self._left_out, *blocks.left_out))

    async def _begin(self) -> bool:
        """Find the place to begin, and make room; whether an interrupted import goes on."""
        uid = await self._storage.uid(self.name, create=False)
        if uid is not None and await self._resumes(uid):
            return True
        if self._mode is Mode.REPLACE:
            await remove(self._site, self.name)
        elif self._mode is Mode.NEW and await known(self._site, self.name):
            raise Refused(f"{self.name} is known here: --replace puts the archive in place, --merge adds it")
        uid = await self._storage.uid(self.name, create=True)
        assert uid is not None
        self._uid = uid
        return False

    async def _resumes(self, uid: Uid) -> bool:
        """Whether there is an interrupted import to go on with.  Raises `Refused` for any other one."""
        begun = [id_ for id_, _ in await self._storage.signatures(uid) if id_.startswith(POSITION)]
        stored = await self._storage.signature(uid, _id(self._digest))
        if stored is not None:
            position = _Position(**json.loads(stored.data))
            if position.mode == self._mode.value:
                self._uid, self._position = uid, position
                return True
        if begun and self._mode is not Mode.REPLACE:
            raise Refused(
                f"an import or a merge for {self.name} was interrupted: run that one again, as it was, "
                "or use --replace"
            )
        return False

    async def _take(self, record: Record, *, resumed: bool, blocks: ArrivingBlocks) -> None:
        match next(iter(record)):
            case "totals" if not resumed:
                await self._add_totals(Totals(**record["totals"]))
            case "signature":
                await self._add_signature(record)
            case "block" | "change":
                await blocks.take(record)
            case "preference":
                await self._prefer(record["preference"], record["value"])

    async def _add_totals(self, totals: Totals) -> None:
        """First: hash files may not have more hits than messages."""
        learned = Learned(Totals(*map(int, totals)), TokenChange.none())
        await self._storage.apply(self._uid, Change(learned, self._position.signature(self._digest)))

    async def _take_tokens(self, rows: list[TokenRow]) -> None:
        """Load those that are not in yet, as many at once as the store takes."""
        self.tokens += len(rows)
        today, last = day_number(utc_day()), self._position.token
        self._rows += [fit(row, today) for row in rows if row.token > last]
        while len(self._rows) >= LOADED_AT_ONCE:
            await self.load()

    async def load(self) -> None:
        rows, self._rows = self._rows[:LOADED_AT_ONCE], self._rows[LOADED_AT_ONCE:]
        if rows:
            self._position = self._position._replace(token=rows[-1].token)
            await self._storage.load(self._uid, rows, self._position.signature(self._digest))

    async def _note_block(self, name: str, version: int) -> None:
        self._position = self._position._replace(blocks={**self._position.blocks, name: version})
        position = self._position.signature(self._digest)
        await self._storage.apply(self._uid, Change(Learned.nothing(), position))

    async def _add_signature(self, record: Record) -> None:
        id_, data, day = str(record["signature"]), unpacked(record["data"]), day_from(record["day"])
        signature = Signature(id_, data)
        if id_ in self._signatures:
            return
        if not valid(id_) or not await self._storage.has_room(self._uid, signature):
            self._left_out.append(id_)
            return
        correct = _correct(id_, record["correction"]) if "correction" in record else None
        on = day_of(day) if day > 0 else None
        await self._storage.apply(self._uid, Change(Learned.nothing(), signature, correct, on))

    async def _prefer(self, name: str, value: str) -> None:
        known = {each.lower() for each in await self._storage.preferences(self.name)}
        if name.lower() not in known:
            await self._storage.set_preference(self.name, name, value)


async def forget_position(storage: Storage, name: str, contents: Contents) -> None:
    """The import is complete: another one of this archive would begin again."""
    uid = await storage.uid(name, create=False)
    if uid is not None:
        await storage.delete_signature(uid, _id(contents.digest))


def fit(row: TokenRow, today: int) -> TokenRow:
    """A row that every store can add; `today` is for one whose day is unknown."""
    if row.last_hit and row.spam <= _MOST >= row.innocent:
        return row
    return TokenRow(row.token, min(row.spam, _MOST), min(row.innocent, _MOST), row.last_hit or today)


def _correct(id_: str, record: Record) -> Correct:
    label, provisional = Label(record["label"]), bool(record["provisional"])
    applied, block = unpack(unpacked(record["effect"]))
    return Correct(id_, None, label, provisional, Correction(label, applied, block, provisional))
