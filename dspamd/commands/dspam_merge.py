"""dspam_merge: adds the dictionaries of some users to that of another (reference/cli.md 8).

It adds the hits of all tokens, the learned messages, and what scorers with a block know; the other totals
stay, as in DSPAM 3.10.2.  Blocks are added by the code that joins users (`maintenance/moving`).

Each batch of tokens is one transaction, with a signature of ours that says how far the merge is.  An
interrupted merge goes on where it was when it is called again, and adds nothing twice; a merge of other
users is refused until then.  The signature goes at the end.

No purge of ours removes that signature, but a script for the database may.  A file below Home says that a
merge is under way, or which one has just ended: without the signature, it is refused rather than added twice.

The command refuses to merge users into themselves: that would count their mail twice.
"""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import sys
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from dspamd.commands import tool
from dspamd.engine.model import Learned, TokenChange, Totals
from dspamd.errors import UsageError
from dspamd.files import atomic_replace
from dspamd.home import user_files
from dspamd.maintenance.moving.arriving_blocks import ArrivingBlocks
from dspamd.maintenance.moving.exporting import block_records
from dspamd.maintenance.moving.importing import fit
from dspamd.storage.clock import day_number, utc_day
from dspamd.storage.contract import LOADED_AT_ONCE, POSITION, Change, Signature, Storage, TokenRow, Uid

if TYPE_CHECKING:
    from dspamd.app import Parts

USAGE = "syntax: dspam_merge [user1] [user2] ... [userN] -o [user] [--profile=PROFILE]\n"
_ID = POSITION + "merge"  # of the signature


COMMAND = tool.Command("dspam_merge", USAGE, complaint="{error}\n", complains_on_stdout=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 0, or 1 after wrong usage."""
    return tool.command(COMMAND, run, arguments)


def run(words: list[str]) -> int:
    words, profile = tool.profile_of(words)
    users, into = parse(words)
    return tool.run(lambda parts: merge(parts, users, into), profile)


def parse(words: Sequence[str]) -> tuple[list[str], str]:
    """The users, and the one to add them to.  Raises UsageError."""
    at = words.index("-o") if "-o" in words else len(words)
    users, into = [*words[:at], *words[at + 2 :]], words[at + 1 : at + 2]
    if not into or not users:
        raise UsageError
    if into[0] in users:
        raise UsageError(f"{into[0]} cannot be merged into themselves")
    return users, into[0]


async def merge(parts: Parts, users: Sequence[str], into: str) -> int:
    """Add the users; 0.

    Raises UsageError if the store knows none of them, or if another merge has to be finished first, and
    `TempFail`.
    """
    sys.stderr.write(f"Destination user: {into}\n")
    marker = parts.home.file(into, user_files.ADDING)
    position = await begun(parts.storage, users, into, marker)
    unknown = [user for user in users if await parts.storage.uid(user, create=False) is None]
    for user in unknown:  # DSPAM goes on with the others
        sys.stderr.write(f"{user}: there is no such user in the store\n")
    if len(unknown) == len(users) and position == Position(tuple(users)):
        raise UsageError("nothing was added")
    destination = await parts.storage.uid(into, create=True)
    assert destination is not None
    merging = Merge(parts.storage, destination, position, await asyncio.to_thread(parts.home.prepare, marker))
    await merging.begin()
    try:
        for user in users[merging.position.done :]:
            sys.stdout.write(f"Merging user: {user}\n")
            sys.stdout.write(f"processed {await merging.add(user)} tokens\n")
    except asyncio.CancelledError:
        sys.stderr.write(f"{merging.count} tokens are added; the same command goes on from there\n")
        raise
    sys.stdout.write("storing merged tokens...\n")
    await tool.uninterrupted(merging.end())
    sys.stdout.write("completed.\n")
    return os.EX_OK


class Position(NamedTuple):
    """How far a merge is: the users, how many of them are in, and the last token of the next one.

    -1: the totals of that one are in; None: nothing of theirs.  `blocks` has the versions that their blocks
    make of those of the destination.
    """

    users: tuple[str, ...]
    done: int = 0
    token: int | None = None
    blocks: Mapping[str, int] = MappingProxyType({})

    @property
    def signature(self) -> Signature:
        return Signature(_ID, json.dumps(self._asdict(), default=dict).encode())


async def begun(storage: Storage, users: Sequence[str], into: str, marker: Path) -> Position:
    """Where a merge begins, or goes on.

    Raises UsageError if another one has to go on first, or if nobody knows where this one was.
    """
    destination = await storage.uid(into, create=False)
    stored = None if destination is None else await storage.signature(destination, _ID)
    marked = await asyncio.to_thread(lambda: marker.read_text() if marker.exists() else None)
    if stored is None and marked == _ended(users):
        return Position(tuple(users), len(users))
    if stored is None and marked == "":
        raise UsageError(
            f"a merge into {into} was interrupted, and its position, signature {_ID}, was removed since: "
            f"a part of the tokens is in, and would count twice. Put the dictionary of {into} back from a "
            f"backup, remove {marker}, and call this again"
        )
    if stored is None:
        return Position(tuple(users))
    found = json.loads(stored.data)
    position = Position(**found | {"users": tuple(found["users"])})
    if position.users != tuple(users):
        command = shlex.join(["dspam_merge", *position.users, "-o", into])
        raise UsageError(f"a merge into {into} was interrupted, finish it first: {command}")
    sys.stderr.write("The merge goes on where it was interrupted.\n")
    return position


def _ended(users: Sequence[str]) -> str:
    """What the marker says when all are in."""
    return json.dumps(list(users))


class Merge:
    """A merge at its position, which the store keeps: each step is one transaction with the next position."""

    def __init__(self, storage: Storage, destination: Uid, position: Position, marker: Path) -> None:
        self._storage, self._destination, self.position = storage, destination, position
        self._marker = marker
        self.count = 0  # tokens that are in

    async def begin(self) -> None:
        """Keep the position before anything is in, then say that there is one."""
        if self.position == Position(self.position.users):
            await tool.uninterrupted(self._keep())
        if self.position.done < len(self.position.users):
            await self._mark("")

    async def add(self, user: str) -> int:
        """Add the next user, or what is left of them; the number of their tokens."""
        uid = await self._storage.uid(user, create=False)
        if uid == self._destination:
            raise UsageError(f"{user} shares the dictionary, which cannot be merged into itself")
        count = 0
        if uid is not None:
            await self._add_totals(uid)
            async for batch in self._storage.tokens(uid):
                count += len(batch)
                for start in range(0, len(batch), LOADED_AT_ONCE):
                    await self._add_hits(batch[start : start + LOADED_AT_ONCE])
            await tool.uninterrupted(self._add_blocks(uid))
        self.position = Position(self.position.users, self.position.done + 1)
        return count

    async def end(self) -> None:
        """Forget the position: the next merge begins anew."""
        await self._mark(_ended(self.position.users))
        await self._storage.delete_signature(self._destination, _ID)
        await asyncio.to_thread(self._marker.unlink)

    async def _mark(self, text: str) -> None:
        await asyncio.to_thread(atomic_replace, self._marker, text.encode(), durable=True)

    async def _keep(self) -> None:
        change = Change(Learned.nothing(), self.position.signature)
        await self._storage.apply(self._destination, change)

    async def _add_totals(self, uid: Uid) -> None:
        """First: hash files may not have more hits than messages."""
        if self.position.token is not None:
            return
        totals = (await self._storage.read(uid, array("Q"))).totals
        learned = Totals(spam_learned=totals.spam_learned, innocent_learned=totals.innocent_learned)
        self.position = self.position._replace(token=-1)
        change = Change(Learned(learned, TokenChange.none()), self.position.signature)
        await tool.uninterrupted(self._storage.apply(self._destination, change))

    async def _add_hits(self, rows: Sequence[TokenRow]) -> None:
        """Those that are not in yet."""
        assert self.position.token is not None
        today, last = day_number(utc_day()), self.position.token
        rows = [fit(row, today) for row in rows if row.token > last and (row.spam or row.innocent)]
        if not rows:
            return
        self.position = self.position._replace(token=rows[-1].token)
        self.count += len(rows)  # before: a signal ends us after this step
        await tool.uninterrupted(self._storage.load(self._destination, rows, self.position.signature))

    async def _add_blocks(self, uid: Uid) -> None:
        """Those that are not in yet."""
        arriving = ArrivingBlocks(self._storage, self._destination, self.position.blocks, self._note_block)
        async for records in block_records(self._storage, uid):
            for record in records:
                await arriving.take(record)
        await arriving.end()
        for name in arriving.left_out:
            sys.stderr.write(f"block {name} is left out: no scorer knows how to add it\n")

    async def _note_block(self, name: str, version: int) -> None:
        self.position = self.position._replace(blocks={**self.position.blocks, name: version})
        await self._keep()


if __name__ == "__main__":
    sys.exit(main())
