"""The same kills with `Algorithm joint` and `TrainingMode tone`: what it knows is that of whole lessons.

    python -m tests.chaos.tone_kills KILLS [SEED [DRIVER [FOLDER]]]

A process scores messages, learns what it is not sure of, keeps that with the signature, and corrects every
other message.  Its block is folded now and then, as in the daemon.  After every kill we do the same with
the messages whose signatures are there, in their order, on a store in memory.  Totals, hits, signatures,
corrections and weights must be equal, to the last bit.

At the end we correct all messages, those that were corrected before in vain, and take all back, on both.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import NamedTuple

from dspamd.engine.joint import JOINT
from dspamd.engine.model import Label, Lesson, ScoreOptions, Source, TokenOptions, Totals
from dspamd.engine.modes import near_errors
from dspamd.filter import blocks
from dspamd.filter.dictionary import Dictionary, change_of
from dspamd.filter.training import recall, teach
from dspamd.filter.transaction import InboundMessage
from dspamd.mail.view import SignaturePass
from dspamd.maintenance.conformance.steps import all_tokens
from dspamd.request.envelope import Envelope
from dspamd.storage.contract import Correct, Signature, Stored
from dspamd.storage.memory import MemoryStorage
from tests.chaos.kills import (
    CORRECTED,
    LEARNED,
    PER_KILL,
    SETTLED_S,
    Broken,
    Counts,
    id_of,
    killed,
    main,
    message_of,
    opened,
)

OWNER = "carol"
FOLD_AFTER = 5  # changes; the daemon folds later, but most processes here die before that
_LIFE_S = 0.25  # of a process after its first message: scoring takes longer than counting
_PAUSE_S = 0.01
_TOKENS = TokenOptions(view="modern")
_SCORE = near_errors(ScoreOptions(frozenset({"joint"})))
_WORDS = (b"agenda minutes review lunch project", b"pills offer winner casino cheap")


def mail_of(message: int) -> bytes:
    """Spam, if its number is odd, with some words of its own."""
    chance = Random(message)
    words = [*_WORDS[message % 2].split(), *(b"word%d" % chance.randrange(50) for _ in range(20))]
    chance.shuffle(words)
    sender = b"From: someone%d@example.org\r\n" % (message % 7)
    return sender + b"Subject: about %s\r\n\r\n%s\r\n" % (words[0], b" ".join(words))


async def learn(dictionary: Dictionary, message: int) -> None:
    """Score a message, and commit what the daemon would commit of it."""
    assert dictionary.uid is not None
    mail = InboundMessage(Envelope(b"", (), mail_of(message)))
    scoring = await dictionary.score(await mail.tokens(_TOKENS, SignaturePass(cut_tags=True)), _SCORE)
    signature, correct = Signature(id_of(message), scoring.run.signature), None
    if scoring.provisional:
        label = Label.SPAM if scoring.result.spam else Label.INNOCENT
        correct = Correct(signature.id, None, label, provisional=True)
    await dictionary.storage.apply(dictionary.uid, change_of(scoring.learned, _SCORE, signature, correct))


async def correct(dictionary: Dictionary, message: int, label: Label) -> bool:
    """Whether that changed anything."""
    recalled = await recall(dictionary, id_of(message))
    return await teach(recalled, Lesson(label, Source.ERROR), _TOKENS, _SCORE) is not None


def answer(message: int) -> Label:
    """The user's label of a message: the opposite of its class, so that there is much to learn."""
    return Label.INNOCENT if message % 2 else Label.SPAM


def is_corrected(message: int) -> bool:
    """Whether the process corrects it."""
    return not message % 2 or not message % 3


class Known(NamedTuple):
    """All that a store keeps of the owner."""

    totals: Totals
    hits: list[tuple[int, int, int]]
    stored: dict[str, Stored | None]
    weights: bytes


async def known(dictionary: Dictionary) -> Known:
    storage, uid = dictionary.storage, dictionary.uid
    assert uid is not None
    hits = [row[:3] for row in await all_tokens(storage, uid) if any(row[1:3])]
    stored = {id_: await storage.signature(uid, id_) for id_, _ in sorted(await storage.signatures(uid))}
    weights = await blocks.Blocks().weights(storage, uid, "joint", JOINT)
    return Known(await dictionary.totals(), hits, stored, weights.write())


def differences(found: Known, wanted: Known) -> Iterator[str]:
    """Where a store is not as it should be."""
    for name, here, there in zip(Known._fields, found, wanted, strict=True):
        if here != there:
            text = f"{len(found.weights)} bytes, not {len(wanted.weights)}" if name == "weights" else ""
            yield f"{name}: {text or f'{str(here)[:300]}, not {str(there)[:300]}'}"


@dataclass
class Ledger(Counts):
    """The knowledge that must be there after some kills, in a store in memory."""

    memory: MemoryStorage = field(default_factory=MemoryStorage)

    def dictionary(self) -> Dictionary:
        return Dictionary(self.memory, OWNER)

    async def entered(self, dictionary: Dictionary, since: int) -> Ledger:
        """The ledger with the messages in a store, since one, learned in their order."""
        found = Ledger(self.kills, self.confirmed, self.corrections_confirmed, dict(self.corrected))
        found.memory = pickle.loads(pickle.dumps(self.memory))
        replayed, uid = found.dictionary(), dictionary.uid
        assert uid is not None
        messages = sorted(message_of(id_) for id_, _ in await dictionary.storage.signatures(uid))
        for message in messages:
            if message < since:
                continue
            stored = await dictionary.storage.signature(uid, id_of(message))
            last = stored.correction if stored is not None else None
            await learn(replayed, message)
            found.corrected[message] = last is not None and not last.provisional
            if found.corrected[message]:
                await correct(replayed, message, answer(message))
        return found


async def learn_for_ever(name: str, folder: Path, first: int, say: int) -> None:
    """The process that is killed."""
    blocks.FOLD_AFTER = FOLD_AFTER
    async with opened(name, folder, OWNER) as (_, dictionary):
        for message in range(first, first + PER_KILL):
            await learn(dictionary, message)
            os.write(say, LEARNED)
            if is_corrected(message) and await correct(dictionary, message, answer(message)):
                os.write(say, CORRECTED)


async def settle(name: str, folder: Path, ledger: Ledger, since: int, settled_s: float = SETTLED_S) -> Ledger:
    """The ledger with the new messages, once a server has finished all work.  Raises `Broken`."""
    until = time.monotonic() + settled_s
    while True:
        async with opened(name, folder, OWNER) as (_, dictionary):
            entered = await ledger.entered(dictionary, since)
            wanted, found = await known(entered.dictionary()), await known(dictionary)
        problems = [*entered.problems(), *differences(found, wanted)]
        if not problems:
            return entered
        if time.monotonic() > until:
            raise Broken("; ".join(problems))
        await asyncio.sleep(_PAUSE_S)


async def replay(name: str, folder: Path, ledger: Ledger) -> None:
    """Correct all messages, and take all corrections back.  Raises `Broken`."""
    replayed = ledger.dictionary()
    async with opened(name, folder, OWNER) as (_, dictionary):
        for back in (False, True):
            for message in ledger.corrected:
                label = answer(message + back)
                changed = await correct(dictionary, message, label)
                if changed is not await correct(replayed, message, label):
                    raise Broken(f"message {message} was corrected {'twice' if changed else 'in vain'}")
            if problems := [*differences(await known(dictionary), await known(replayed))]:
                raise Broken(f"after {'all was taken back' if back else 'all corrections'}: {problems}")


def kills(name: str, folder: Path, count: int, seed: int) -> str:
    """Kill so often; an account of it.  Raises `Broken`."""
    chance, ledger, before = Random(seed), Ledger(), Ledger()
    for kill in range(count):
        first = kill * PER_KILL
        heard = killed(lambda say: learn_for_ever(name, folder, first, say), chance, _LIFE_S)  # noqa: B023
        # A server may still finish the work of the process before, so we look at its messages again.
        base = replace(
            before,
            kills=kill + 1,
            confirmed=ledger.confirmed + heard.count(LEARNED),
            corrections_confirmed=ledger.corrections_confirmed + heard.count(CORRECTED),
        )
        before, ledger = ledger, asyncio.run(settle(name, folder, base, first - PER_KILL))
    corrected = sum(ledger.corrected.values())
    asyncio.run(replay(name, folder, ledger))
    return (
        f"{name}, joint and tone: {count} kills, {len(ledger.corrected)} messages learned, {corrected} "
        "corrected; weights, counters and corrections as in a plain replay, all taken back, exactly"
    )


if __name__ == "__main__":
    sys.exit(main(kills))
