"""Scores recent mail of a user twice: as DSPAM 3.10.2 does, and as dspamd will.

Both work on a copy of the user's dictionary in memory, so the store is read once and never changed.  `strict`
is the configuration of the site with `StrictCompatibility on`, `ours` the same without.
"""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from dspamd.config.config import Config
from dspamd.engine.model import Learned, Result, TokenChange
from dspamd.evaluation import corpus
from dspamd.evaluation.configurations import configurations
from dspamd.filter.dictionary import Dictionaries
from dspamd.filter.transaction import InboundMessage
from dspamd.home.home import Home
from dspamd.mail import headers
from dspamd.mail.message import Message
from dspamd.request.envelope import Envelope
from dspamd.request.request import Request
from dspamd.storage.contract import Change, Signature
from dspamd.storage.memory import MemoryStorage
from dspamd.storage.reading import Readable
from dspamd.users.users import Users

Told = Callable[[float], None]
_POSITION = "adoption"
_NEW_MAIL = Request()
_SHOWN = 20  # messages with another verdict


class Scored(NamedTuple):
    """A message with both results; `then` is the word of its header X-DSPAM-Result, if it has one."""

    message: str
    then: str
    strict: str
    strict_probability: float
    ours: str
    ours_probability: float

    @property
    def alike(self) -> bool:
        return (self.strict == "Spam") == (self.ours == "Spam")


class Comparison(NamedTuple):
    """How many messages got which verdicts, and those with different ones."""

    user: str
    messages: int
    spam: int  # by both
    innocent: int  # by both
    only_strict_spam: int
    only_ours_spam: int
    then: int  # messages that carry a verdict of DSPAM
    then_as_strict: int  # of these, as strict says now: the dictionary has learned since
    different: tuple[Scored, ...]


async def compare(
    config: Config, store: Readable, home: Home, user: str, maildir: Path, most: int, told: Told
) -> Comparison:
    """Score the newest `most` messages of a maildir, folder or mbox for a user.

    Raises `UnusableCorpus`, `ConfigError`, `TempFail`, OSError.
    """
    both = configurations(
        ["strict:StrictCompatibility=on", "ours:StrictCompatibility=off"], Path(config.file)
    )
    scorers = [_Scorer(each.config, await copied(each.config, store, home, user), home) for each in both]
    places = await asyncio.to_thread(_newest, maildir, most)
    scored = []
    for n, (name, place) in enumerate(places, 1):
        content = await asyncio.to_thread(place.read)
        strict, ours = [await scorer.score(content, user) for scorer in scorers]
        if strict is not None and ours is not None:
            then = Message(content).first("X-DSPAM-Result") or b""
            word = then.decode("ascii", "replace").strip()
            scored.append(Scored(name, word, strict.name, strict.probability, ours.name, ours.probability))
        told(n / len(places))
    return compared(user, scored)


def compared(user: str, scored: list[Scored]) -> Comparison:
    """What the results of all messages have in common."""
    spam = [(each.strict == "Spam", each.ours == "Spam") for each in scored]
    then = [each for each in scored if each.then]
    return Comparison(
        user,
        len(scored),
        spam.count((True, True)),
        spam.count((False, False)),
        spam.count((True, False)),
        spam.count((False, True)),
        len(then),
        sum((each.then == "Spam") == (each.strict == "Spam") for each in then),
        tuple(each for each in scored if not each.alike)[:_SHOWN],
    )


def _newest(maildir: Path, most: int) -> list[tuple[str, corpus.Message]]:
    """The newest messages of a maildir or folder, the last ones of an mbox."""
    found = corpus.messages(maildir)
    if maildir.is_dir():
        found.sort(key=lambda each: Path(each[1].path).stat().st_mtime)
    return found[-most:]


async def copied(config: Config, store: Readable, home: Home, name: str) -> MemoryStorage:
    """The dictionary that scores the mail of a user, with that of a merged group, and their preferences."""
    memory = MemoryStorage()
    for owner in ("", name):
        for preference, value in (await store.preferences(owner)).items():
            await memory.set_preference(owner, preference, value)
    user = await Users(config, memory, home).resolve(name)
    for owner in filter(None, (user.owner, user.membership.merged)):
        uid = await store.uid(owner, create=False)
        if uid is None:
            continue
        there = await memory.uid(owner, create=True)
        assert there is not None
        totals = (await store.read(uid, array("Q"))).totals
        await memory.apply(there, Change(Learned(totals, TokenChange.none())))
        async for rows in store.tokens(uid, ordered=False):
            hit = [row for row in rows if row.spam or row.innocent]
            await memory.load(there, hit, Signature(_POSITION, b""))
    return memory


class _Scorer:
    """A configuration at work on a copy of a dictionary."""

    def __init__(self, config: Config, memory: MemoryStorage, home: Home) -> None:
        self._users, self._dictionaries = Users(config, memory, home), Dictionaries.of_site(config, memory)

    async def score(self, content: bytes, name: str) -> Result | None:
        """The verdict of the statistics; None for a message without tokens.  Learns nothing."""
        user = await self._users.resolve(name)
        dictionary = await self._dictionaries.of(user, create=False)
        mail = InboundMessage(Envelope(b"", (), _as_it_came(content)))
        tokens = await mail.tokens(user.token_options(_NEW_MAIL), user.signature_pass(None))
        if not tokens:
            return None
        return (await dictionary.score(tokens, user.score_options(_NEW_MAIL))).result


def _as_it_came(content: bytes) -> bytes:
    """A message of a mailbox without what the filter added to its header."""
    text = content.replace(b"\r\n", b"\n")
    end = headers.block_end(text)
    head, _ = headers.drop(text[:end], b"x-dspam-")
    return head + text[end:]
