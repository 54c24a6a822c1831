"""The mail of a live site as a corpus: what its store and its log still know of a user's messages.

A signature holds the tokens of a message.  Its label is the correction in force; without one it is our
verdict, as the log of the user has it (`UserLog on`), for a user who says nothing agrees.

So an error that nobody reported counts as right, and figures are better than the truth.  Only messages whose
signatures are kept count (`PurgeSignatures`), and all configurations must have the site's tokens: a
signature cannot be tokenized in another way.  It does not know the sender either, so there is no whitelist.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from dspamd.engine.model import Label, TokenOptions
from dspamd.evaluation.configurations import Configuration
from dspamd.evaluation.corpus import Item, Message, UnusableCorpus
from dspamd.filter.shadow import SUFFIX
from dspamd.storage.contract import Storage, Stored, Uid
from dspamd.users.preferences import Defaults, User

_VERDICTS = {
    "S": Label.SPAM,
    "M": Label.SPAM,  # corrected: missed spam
    "I": Label.INNOCENT,
    "W": Label.INNOCENT,  # whitelisted
    "F": Label.INNOCENT,  # corrected: false positive
}
_TIME_DIGITS = 8  # hexadecimal, at the beginning of an id (mail/signature.py)


class Kept(NamedTuple):
    """The messages of a user that can be replayed, and how many cannot."""

    items: list[Item]
    unknown: int  # neither corrected nor in the log


def logged(log: Path) -> dict[str, Label]:
    """The last word of a user's log on each signature, in the order in which they came.

    Raises OSError; without a log nothing is known.
    """
    labels = {}
    with contextlib.suppress(FileNotFoundError), log.open("rb") as lines:
        for line in lines:
            fields = line.split(b"\t")
            if len(fields) > 3 and (label := _VERDICTS.get(fields[1].decode("ascii", "replace"))):
                labels[fields[3].decode("ascii", "replace")] = label
    return labels


async def kept(storage: Storage, user: User, log: Path, folder: Path) -> Kept:
    """The messages of a user in the order in which they came; their signatures go into a file in `folder`.

    The same signatures are always in the same file.  Raises `TempFail`, OSError, and `UnusableCorpus` for
    a user without a dictionary.
    """
    uid = await storage.uid(user.owner, create=False)
    if uid is None:
        raise UnusableCorpus(f"{user.owner} has no dictionary")
    verdicts = await asyncio.to_thread(logged, log)
    places: list[tuple[Label, str, int, int]] = []
    unknown, content = 0, hashlib.blake2b(digest_size=10)
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        for id_ in await in_order(storage, uid, verdicts):
            stored = await storage.signature(uid, id_)
            if stored is None:  # purged meanwhile
                continue
            label = label_of(id_, stored, verdicts)
            if label is None:
                unknown += 1
                continue
            places.append((label, id_, file.tell(), file.tell() + len(stored.data)))
            file.write(stored.data)
            content.update(stored.data)
        file.flush()
        path = folder / f"{content.hexdigest()}.signatures"
        if not path.exists():
            os.link(file.name, path)
    items = [Item(label, id_, Message(str(path), start, end), user.name) for label, id_, start, end in places]
    return Kept(items, unknown)


async def in_order(storage: Storage, uid: Uid, verdicts: Mapping[str, Label]) -> list[str]:
    """The ids of the messages of an owner in the order in which they came.  Raises `TempFail`.

    The second signature of a message, for a shadow, is no message.
    """
    places = {id_: place for place, id_ in enumerate(verdicts)}
    signatures = [each for each in await storage.signatures(uid) if not each[0].endswith(SUFFIX)]
    signatures.sort(key=lambda each: (each[1], _time(each[0]), places.get(each[0], 0), each[0]))
    return [id_ for id_, _ in signatures]


def label_of(id_: str, stored: Stored, verdicts: Mapping[str, Label]) -> Label | None:
    """What the user, or else the log, says of a stored message; None if neither does."""
    return stored.correction.label if stored.correction else verdicts.get(id_)


def _time(signature: str) -> str:
    """The second in an id, behind the number of its owner; it orders ids of one day."""
    return signature.rpartition(",")[2][:_TIME_DIGITS]


def replayable(tokens: TokenOptions, configurations: Iterable[Configuration]) -> Mapping[str, str]:
    """Why configurations cannot be measured on signatures with these tokens, by their names."""
    return {
        each.name: "it makes other tokens than those that the signatures hold"
        for each in configurations
        if _made(Defaults.of(each.config).tokens) != _made(tokens)
    }


def _made(options: TokenOptions) -> TokenOptions:
    """The options without those that change nothing in a signature."""
    return replace(options, whitelist=False, noise=False)
