"""Knowledge made from labelled mail: the seed of a site, or new knowledge of a user.

A scorer with a block learns the messages, oldest first; its knowledge comes from them alone.  Counters
of users (totals, hits) do not change.

The daemon goes on learning while we make new knowledge for a user.  We add its lessons to the new
knowledge, too, and then replace the old knowledge in one step.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from dspamd.config.config import Config
from dspamd.engine.model import (
    Hits,
    Label,
    Lesson,
    ScoreOptions,
    Snapshot,
    Source,
    TokenOptions,
    Totals,
)
from dspamd.engine.modes import near_errors
from dspamd.engine.scorers import SCORERS, Scorer, Weights, scorer
from dspamd.engine.tokenizer import Tokens
from dspamd.errors import ConfigError, TempFail, UsageError
from dspamd.evaluation.corpus import Item
from dspamd.evaluation.history import in_order, label_of, logged
from dspamd.filter.dictionary import Dictionaries, Dictionary
from dspamd.filter.shadow import SUFFIX
from dspamd.filter.transaction import InboundMessage
from dspamd.home.home import Home
from dspamd.mail.view import SignaturePass
from dspamd.request.envelope import Envelope
from dspamd.request.request import Request
from dspamd.storage.block import first_version
from dspamd.storage.contract import Storage, Uid
from dspamd.telemetry import log
from dspamd.users.preferences import Defaults, User
from dspamd.users.users import Users

_ATTEMPTS = 1000
"""Times that we put new knowledge in the place of a block; each time but the last a lesson came first."""

_OF_ANY_SITE = SignaturePass(cut_tags=True)
_NEW_MAIL = Request()

Told = Callable[[float], None]
"""Hears the share that is done."""


class Example(NamedTuple):
    """A message to learn from; without a label nobody knows its class."""

    label: Label | None
    tokens: Tokens


@dataclass(slots=True)
class Used:
    """How many messages were learned, and how many could not be."""

    ham: int = 0
    spam: int = 0
    foreign: int = 0  # their signatures are of another scorer
    unknown: int = 0  # neither corrected nor in the log
    missed: bool = False  # what was learned meanwhile may be lost in part

    @property
    def learned(self) -> int:
        return self.ham + self.spam


class Pupil:
    """Weights that learn message after message; `added` are others that have a say beside them."""

    def __init__(self, chosen: Scorer, options: ScoreOptions, added: Sequence[Weights] = ()) -> None:
        self.weights, self.used = chosen.weights(b""), Used()
        self._scorer, self._added = chosen, added
        # Whatever mode the mail of a user has: these are lessons.
        self._options = near_errors(replace(options, classify_only=False))

    def learn(self, example: Example) -> None:
        """Learn from a message, or count why that is not possible."""
        label, tokens = example
        if label is None:
            self.used.unknown += 1
        elif not tokens:
            self.used.foreign += 1
        else:
            snapshot = Snapshot(Totals(), Hits.none(), (self.weights, *self._added))
            run = self._scorer.score(tokens, snapshot, self._options, Lesson(label, Source.CORPUS))
            self.weights.add(run.learned.block)
            self.used.spam += label is Label.SPAM
            self.used.ham += label is Label.INNOCENT


def weighing(config: Config) -> tuple[Scorer, str]:
    """The scorer of a configuration, with its block.  Raises `ConfigError` if it has none."""
    chosen = scorer(config.Algorithm)
    if chosen.block is None:
        others = " or ".join(sorted(name for name, each in SCORERS.items() if each.block is not None))
        keeps = f"{' '.join(config.Algorithm)} keeps hits of tokens, which dspam_train teaches"
        text = f"Algorithm {keeps}; this function is for Algorithm {others}"
        raise ConfigError([config.problem("Algorithm", text)])
    return chosen, chosen.block


async def seed(config: Config, items: Sequence[Item], told: Told) -> tuple[bytes, Used]:
    """The seed that these messages make, and what was used.

    Raises OSError for a message that cannot be read, `ConfigError` for a scorer that knows no seed.
    """
    chosen, _ = weighing(config)
    defaults = Defaults.of(config)
    pupil = Pupil(chosen, defaults.score)
    done = 0
    async for example in _read(items, replace(defaults.tokens, whitelist=False, noise=False), _OF_ANY_SITE):
        pupil.learn(example)
        done += 1
        told(done / len(items))
    return await asyncio.to_thread(lambda: pupil.weights.seed().write()), pupil.used


async def _read(
    items: Sequence[Item], options: TokenOptions, signature_pass: SignaturePass
) -> AsyncIterator[Example]:
    for item in items:
        mail = InboundMessage(Envelope(b"", (), await asyncio.to_thread(item.read)))
        yield Example(item.label, await mail.tokens(options, signature_pass))


@dataclass(frozen=True, slots=True)
class Owner:
    """An owner of knowledge: one user, or several who share a dictionary."""

    users: tuple[User, ...]
    dictionary: Dictionary
    uid: Uid

    @property
    def name(self) -> str:
        return self.users[0].owner


async def owners(
    names: Sequence[str], users: Users, dictionaries: Dictionaries, *, create: bool
) -> list[Owner]:
    """The owners of the dictionaries of users, each once; `create`: a user of whom nothing is known is new.

    Raises UsageError for a user of whom nothing is known, `TempFail` and `PermFail` as the store does.
    """
    found: dict[str, Owner] = {}
    for name in names:
        user = await users.resolve(name)
        dictionary = await dictionaries.of(user, create=create)
        if dictionary.uid is None:
            raise UsageError(
                f"{name} is unknown: there is no dictionary of {user.owner}; "
                "to teach a new user, name folders of mail with --ham and --spam"
            )
        others = found[user.owner].users if user.owner in found else ()
        found[user.owner] = Owner((*others, user), dictionary, dictionary.uid)
    return list(found.values())


async def retrain(config: Config, owner: Owner, home: Home, items: Sequence[Item] | None, told: Told) -> Used:
    """Replace the knowledge of an owner; returns what was used.

    `items` are the messages; None: those whose signatures are stored, with the labels that corrections and
    the logs of the users give.  If no message can be used, the knowledge stays as it is.

    Raises OSError for mail or a log that cannot be read, `ConfigError` for a scorer without a block,
    `TempFail` as the store does; then, too, the knowledge stays as it is.
    """
    chosen, block = weighing(config)
    user = owner.users[0]
    options = replace(user.token_options(_NEW_MAIL), whitelist=False, noise=False)
    added = await owner.dictionary.added(chosen)
    pupil = Pupil(chosen, user.score_options(_NEW_MAIL), added)
    storage = owner.dictionary.storage
    meanwhile = await _Meanwhile.begun(storage, owner.uid, block)
    if items is None:
        verdicts = await _verdicts(owner, home)
        stored = await in_order(storage, owner.uid, verdicts)
        count, examples = len(stored), _recalled(storage, owner.uid, stored, verdicts, chosen, options)
    else:
        count, examples = len(items), _read(items, options, user.signature_pass(None))
    done = 0
    async for example in examples:
        pupil.learn(example)
        await meanwhile.add_to(pupil.weights)
        done += 1
        told(done / count)
    if pupil.used.learned:
        await meanwhile.replace(pupil.weights)
    pupil.used.missed = meanwhile.missed
    return pupil.used


async def _verdicts(owner: Owner, home: Home) -> dict[str, Label]:
    """What the logs of an owner's users say of signatures."""
    verdicts: dict[str, Label] = {}
    for file_name in dict.fromkeys(user.file_name for user in owner.users):
        verdicts |= await asyncio.to_thread(logged, home.file(file_name, "log"))
    return verdicts


async def _recalled(
    storage: Storage,
    uid: Uid,
    ids: Sequence[str],
    verdicts: Mapping[str, Label],
    chosen: Scorer,
    options: TokenOptions,
) -> AsyncIterator[Example]:
    """The messages; one that another scorer judged may have a second signature, of its shadow."""
    for id_ in ids:
        stored = await storage.signature(uid, id_)
        if stored is None:  # purged meanwhile
            continue
        label, tokens = label_of(id_, stored, verdicts), chosen.recall(stored.data, options)
        if not tokens and (second := await storage.signature(uid, id_ + SUFFIX)) is not None:
            label, tokens = label or label_of(id_, second, verdicts), chosen.recall(second.data, options)
        yield Example(label, tokens)


class _Meanwhile:
    """What others append to a block while its successor is made."""

    def __init__(self, storage: Storage, uid: Uid, name: str, version: int) -> None:
        self._storage, self._uid, self._name, self._version = storage, uid, name, version
        self.missed = False  # some changes became part of a base before we saw them

    @classmethod
    async def begun(cls, storage: Storage, uid: Uid, name: str) -> _Meanwhile:
        return cls(storage, uid, name, (await storage.block(uid, name)).version)

    async def add_to(self, weights: Weights) -> None:
        """Add what is new.  Raises `TempFail`."""
        block = await self._storage.block(self._uid, self._name, since=self._version)
        if block.version != self._version and block.base:
            self.missed = True
        for change in block.changes:
            try:
                weights.add(change)
            except ValueError as error:
                log.get().error("block_damaged", uid=self._uid, block=self._name, reason=str(error))
        self._version = block.version

    async def replace(self, weights: Weights) -> None:
        """Put these weights, and what is new until then, in the place of the block.  Raises `TempFail`."""
        for _ in range(_ATTEMPTS):
            await self.add_to(weights)
            written, known = await asyncio.to_thread(weights.write), self._version
            version = max(known + 1, first_version())
            if await self._storage.fold(self._uid, self._name, version, written, expected=known):
                return
        raise TempFail("The daemon learns faster than we can write", detail=f"block {self._name}")
