"""Hundreds of kills, on each kind of store: afterwards it holds whole messages only.

    python -m tests.chaos.kills KILLS [SEED [DRIVER [FOLDER]]]

It works on a store of each kind, or of the given one, or on the store whose address is in a folder.

A process learns messages and corrects every other one, as fast as it can.  We kill it at a random
moment, sometimes while it opens the store.  Each message adds one to the
totals and to each of its tokens, appends its number to a block, and leaves a signature; each
correction moves one from spam to innocent.  Now and then the process folds the block.  After
every kill the counters and the block must be those of the messages whose signatures are
there, to the last token: no more than one of them may be unconfirmed, and none that was
confirmed may be missing.

At the end we make all corrections again: those that were made before change nothing, the others
count.  Then we take all back, and the counters must be as without any correction.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import signal
import struct
import sys
import tempfile
import time
import traceback
from array import array
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from dspamd.engine.model import Label, Lesson, ScoreOptions, Source, TokenOptions, Totals
from dspamd.filter.dictionary import Dictionary
from dspamd.filter.training import recall, teach
from dspamd.maintenance.conformance.steps import all_tokens, learning
from dspamd.storage.contract import BlockChange, Change, Signature, Storage
from tests.support.drivers import DRIVERS, address, driver
from tests.support.mariadb_server import mariadb
from tests.support.postgres_server import postgresql

OWNER = "bob"
COMMON = range(1, 201)  # tokens of every message
OWN = 10  # further ones of each
_BEYOND = 10**6  # the first of those
PER_KILL = 10**5  # messages that a process never reaches
_LIFE_S = 0.04  # at most, after the first message
_OPENING_S = 0.2
SETTLED_S = 20.0  # after that long, a server has finished the work of a killed client
_PAUSE_S = 0.01
LEARNED, CORRECTED = b"l", b"c"
_BLOCK, _NUMBER = "kills", struct.Struct("<Q")
_FOLDED = 3  # messages until the block is folded

INNOCENT, SPAM = (Lesson(label, Source.ERROR) for label in (Label.INNOCENT, Label.SPAM))
Hits = dict[int, tuple[int, int]]


class Broken(Exception):
    """The store holds a part of a message."""


def tokens_of(message: int) -> list[int]:
    first = _BEYOND + OWN * message
    return [*COMMON, *range(first, first + OWN)]


def id_of(message: int) -> str:
    return f"4c873d4a{message}"


def message_of(signature: str) -> int:
    return int(signature.removeprefix("4c873d4a"))


@asynccontextmanager
async def opened(name: str, folder: Path, owner: str = OWNER) -> AsyncIterator[tuple[Storage, Dictionary]]:
    storage = driver(name, folder)
    await storage.open()
    try:
        yield storage, Dictionary(storage, await storage.uid(owner, create=True))
    finally:
        await storage.close()


async def learn(storage: Storage, dictionary: Dictionary, message: int) -> None:
    assert dictionary.uid is not None
    tokens = tokens_of(message)
    data = b"".join(struct.pack("<QB7x", token, 1) for token in tokens)
    block = BlockChange(_BLOCK, _NUMBER.pack(message))
    signature = Signature(id_of(message), data)
    await storage.apply(
        dictionary.uid, Change(learning(tokens, 1, 0, spam_learned=1), signature, block=block)
    )


async def fold(storage: Storage, dictionary: Dictionary) -> None:
    assert dictionary.uid is not None
    version, base = await _block(storage, dictionary)
    await storage.fold(dictionary.uid, _BLOCK, version, base)


async def _block(storage: Storage, dictionary: Dictionary) -> tuple[int, bytes]:
    """Its version, and the numbers in it."""
    assert dictionary.uid is not None
    block = await storage.block(dictionary.uid, _BLOCK)
    return block.version, (block.base or b"") + b"".join(block.changes)


async def correct(storage: Storage, dictionary: Dictionary, message: int, lesson: Lesson = INNOCENT) -> bool:
    """Whether that changed anything."""
    recalled = await recall(dictionary, id_of(message))
    taught = await teach(recalled, lesson, TokenOptions("word"), ScoreOptions())
    return taught is not None


# --- the one that is killed ----------------------------------------------------------------------


async def _learn_for_ever(name: str, folder: Path, first: int, say: int) -> None:
    async with opened(name, folder) as (storage, dictionary):
        for message in range(first, first + PER_KILL):
            await learn(storage, dictionary, message)
            os.write(say, LEARNED)
            if message % 2:
                await correct(storage, dictionary, message)
                os.write(say, CORRECTED)
            if not message % _FOLDED:
                await fold(storage, dictionary)


def killed(
    learn_for_ever: Callable[[int], Coroutine[None, None, None]],
    chance: random.Random,
    life_s: float = _LIFE_S,
) -> bytes:
    """Let a process learn, which confirms to a file, and kill it; returns what it confirmed.

    It lives `life_s` at most after the first message.
    """
    done, say = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.close(done)
            asyncio.run(learn_for_ever(say))
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    os.close(say)
    with os.fdopen(done, "rb", buffering=0) as news:
        opening = chance.random() < 0.1
        heard = b"" if opening else news.read(1)
        time.sleep(chance.random() * (_OPENING_S if opening else life_s))  # the moment is the fault
        os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
        if not os.WIFSIGNALED(status):
            raise Broken(f"the process that learned ended by itself: {status}")
        return heard + news.read()


# --- what is left ---------------------------------------------------------------------------------


@dataclass
class Counts:
    """How many messages the processes confirmed, and which ones are in the store."""

    kills: int = 0
    confirmed: int = 0
    corrections_confirmed: int = 0
    corrected: dict[int, bool] = field(default_factory=dict)  # by message, those in the store

    def problems(self) -> Iterator[str]:
        """Where more or fewer messages are in the store than kills explain."""
        corrected = sum(self.corrected.values())
        if not 0 <= len(self.corrected) - self.confirmed <= self.kills:
            yield f"{len(self.corrected)} messages learned, {self.confirmed} confirmed"
        if not 0 <= corrected - self.corrections_confirmed <= self.kills:
            yield f"{corrected} messages corrected, {self.corrections_confirmed} confirmed"


class Ledger(Counts):
    """Our knowledge of the messages after some kills."""

    def __str__(self) -> str:
        corrected = sum(self.corrected.values())
        return (
            f"{self.kills} kills, {len(self.corrected)} messages learned "
            f"({len(self.corrected) - self.confirmed} of them unconfirmed), {corrected} corrected "
            f"({corrected - self.corrections_confirmed} unconfirmed)"
        )

    def expected(self) -> tuple[Totals, Hits]:
        """The counters that these messages make."""
        corrected = sum(self.corrected.values())
        spam = len(self.corrected) - corrected
        hits = dict.fromkeys(COMMON, (spam, corrected)) if self.corrected else {}
        for message, innocent in self.corrected.items():
            for token in tokens_of(message)[len(COMMON) :]:
                hits[token] = (0, 1) if innocent else (1, 0)
        return Totals(spam, corrected, innocent_misclassified=corrected), hits


async def _wrong(storage: Storage, dictionary: Dictionary, ledger: Ledger) -> list[str]:
    """Where the counters in the store are not those of the messages in the ledger."""
    assert dictionary.uid is not None
    totals, hits = ledger.expected()
    problems = []
    if (counted := (await dictionary.read(array("Q"))).totals) != totals:
        problems.append(f"totals {counted}, not {totals}")
    found = {row.token: row[1:3] for row in await all_tokens(storage, dictionary.uid) if any(row[1:3])}
    if found != hits:
        wrong = sorted(token for token in found.keys() | hits if found.get(token) != hits.get(token))
        some = ", ".join(f"{token}: {found.get(token)}, not {hits.get(token)}" for token in wrong[:5])
        problems.append(f"{len(wrong)} tokens wrong: {some}")
    numbers = [number for (number,) in _NUMBER.iter_unpack((await _block(storage, dictionary))[1])]
    if sorted(numbers) != sorted(ledger.corrected):
        problems.append(f"{len(numbers)} messages in the block, {len(ledger.corrected)} were learned")
    return problems


async def _enter(storage: Storage, dictionary: Dictionary, ledger: Ledger, since: int) -> None:
    """Enter the messages in the store, since one, into the ledger."""
    assert dictionary.uid is not None
    for id, _ in await storage.signatures(dictionary.uid):
        message = message_of(id)
        if message >= since:
            stored = await storage.signature(dictionary.uid, id)
            ledger.corrected[message] = stored is not None and stored.correction is not None


async def settle(name: str, folder: Path, ledger: Ledger, since: int, settled_s: float = SETTLED_S) -> None:
    """Wait until a server has finished all work.  Raises `Broken` if something stays wrong."""
    until = time.monotonic() + settled_s
    async with opened(name, folder) as (storage, dictionary):
        while True:
            await _enter(storage, dictionary, ledger, since)
            problems = [*ledger.problems(), *await _wrong(storage, dictionary, ledger)]
            if not problems:
                return
            if time.monotonic() > until:
                raise Broken("; ".join(problems))
            await asyncio.sleep(_PAUSE_S)


async def replay(name: str, folder: Path, ledger: Ledger) -> None:
    """Make all corrections again, then take all of them back.  Raises `Broken`."""
    async with opened(name, folder) as (storage, dictionary):
        for lesson, corrected in ((INNOCENT, True), (SPAM, False)):
            for message, before in ledger.corrected.items():
                if await correct(storage, dictionary, message, lesson) is not (before is not corrected):
                    raise Broken(f"message {message} was corrected {'twice' if before else 'in vain'}")
                ledger.corrected[message] = corrected
            if problems := await _wrong(storage, dictionary, ledger):
                raise Broken(f"after {lesson.label.value} for all: {'; '.join(problems)}")


# --- all of it ------------------------------------------------------------------------------------


def kills(name: str, folder: Path, count: int, seed: int) -> str:
    """Kill so often; an account of it.  Raises `Broken`."""
    chance, ledger = random.Random(seed), Ledger()
    for kill in range(count):
        first = kill * PER_KILL
        heard = killed(lambda say: _learn_for_ever(name, folder, first, say), chance)  # noqa: B023
        ledger.kills += 1
        ledger.confirmed += heard.count(LEARNED)
        ledger.corrections_confirmed += heard.count(CORRECTED)
        asyncio.run(settle(name, folder, ledger, first - PER_KILL))
    account = str(ledger)
    asyncio.run(replay(name, folder, ledger))
    return f"{name}: {account}; all corrected again and taken back, exactly"


@contextmanager
def furnished(name: str) -> Iterator[Path]:
    """A folder for a store of this kind, with a server if it needs one."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kills")))
        if name == "postgres":
            database = stack.enter_context(postgresql()).new_database()
            (folder / "pgsql.data").write_text(address(database))
        if name == "mysql":
            database = stack.enter_context(mariadb()).new_database()
            (folder / "mysql.data").write_text(address(database))
        yield folder


def main(kills: Callable[[str, Path, int, int], str]) -> int:
    """The command; `kills` works on one store."""
    count, *words = sys.argv[1:]
    seed = int(words[0]) if words else secrets.randbelow(1_000_000)
    print(f"seed {seed}", flush=True)
    status = 0
    for name in words[1:2] or DRIVERS:
        with furnished(name) if not words[2:] else nullcontext(Path(words[2])) as folder:
            try:
                print(kills(name, folder, int(count), seed), flush=True)
            except Broken as broken:
                print(f"{name}: BROKEN: {broken}", flush=True)
                status = 1
    return status


if __name__ == "__main__":
    sys.exit(main(kills))
