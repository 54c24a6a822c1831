"""dspam_admin seed, dspam_admin retrain-model: knowledge from labelled mail (`evaluation.teaching`).

They are for a configuration whose Algorithm keeps weights.  `seed` writes a file that `SeedModel` can name.
`retrain-model` replaces the knowledge of users, from stored signatures or from folders of mail.

Results go to standard output, the progress to a terminal.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dspamd.commands.arguments import Arguments
from dspamd.commands.progress import Bar
from dspamd.commands.tool import files_in_trouble
from dspamd.errors import UsageError
from dspamd.evaluation import teaching
from dspamd.evaluation.corpus import Item, from_folders
from dspamd.evaluation.teaching import Owner, Used
from dspamd.files import atomic_replace
from dspamd.filter.dictionary import Dictionaries

if TYPE_CHECKING:
    from dspamd.app import Parts

SEED = """\
syntax: dspam_admin seed FILE --ham PATH ... --spam PATH ... [--profile=PROFILE]

Make FILE from labelled mail in folders, maildirs and mboxes: knowledge that all users begin with if SeedModel
names it.
"""
RETRAIN = """\
syntax: dspam_admin retrain-model USER ... [--ham PATH ... --spam PATH ...] [--profile=PROFILE]

Replace the knowledge of users, from the messages whose signatures are stored, or from labelled mail.
"""

_FOR_ALL = 0o644  # the workers have another account than the administrator


class Options(NamedTuple):
    """The arguments of either function: a file or users, and places of mail."""

    names: tuple[str, ...]
    ham: tuple[Path, ...] = ()
    spam: tuple[Path, ...] = ()


def parse_seed(words: Sequence[str]) -> Options:
    """The options after `seed`.  Raises UsageError."""
    options = _parsed("seed", words)
    if len(options.names) != 1 or not options.ham:
        raise UsageError("seed: a file, --ham and --spam are needed")
    return options


def parse_retrain(words: Sequence[str]) -> Options:
    """The options after `retrain-model`.  Raises UsageError."""
    options = _parsed("retrain-model", words)
    if not options.names:
        raise UsageError("retrain-model: a user is needed")
    return options


def _parsed(function: str, words: Sequence[str]) -> Options:
    parser = Arguments(function)
    parser.add_argument("names", nargs="*")
    for name in ("ham", "spam"):
        parser.add_argument(f"--{name}", type=Path, nargs="+", action="extend", default=[])
    found = parser.parse_intermixed_args(words)
    if bool(found.ham) != bool(found.spam):
        raise UsageError(f"{function}: --ham and --spam are both needed")
    return Options(tuple(found.names), tuple(found.ham), tuple(found.spam))


async def seed(parts: Parts, options: Options) -> int:
    """Write a seed; returns 0.

    Raises `ConfigError`, UsageError for a place that we may not write to, `UnusableCorpus` for no mail,
    `PermFail` for mail or a file that cannot be read or written.
    """
    teaching.weighing(parts.config)
    file = Path(options.names[0])
    _check_place(file)  # to read the mail may take long
    with files_in_trouble(1):
        items = await _items(options)
        with Bar() as bar:
            written, used = await teaching.seed(parts.config, items, bar.show)
        await asyncio.to_thread(lambda: atomic_replace(file, written, mode=_FOR_ALL, durable=True))
    sys.stdout.write(f"{_described(used)} read; {file} has {len(written)} bytes\n")
    return os.EX_OK


def _check_place(file: Path) -> None:
    """Raise UsageError for a place that cannot take a file of ours."""
    if file.is_dir():
        raise UsageError(f"seed: {file} is a folder, the name of a file is needed")
    if not (file.parent.is_dir() and os.access(file.parent, os.W_OK)):
        raise UsageError(f"seed: {file.parent} is no folder that we may write to")


async def retrain(parts: Parts, options: Options) -> int:
    """Replace the knowledge of users; 0, 1 if that of some does not change.

    Raises `ConfigError`, UsageError for an unknown user, `UnusableCorpus` for no mail, `TempFail` and
    `PermFail` as the store does, `PermFail` for mail that cannot be read.
    """
    teaching.weighing(parts.config)
    dictionaries = Dictionaries.of_site(parts.config, parts.storage)
    with files_in_trouble(1):
        items = await _items(options) if options.ham else None
        owners = await teaching.owners(options.names, parts.users, dictionaries, create=items is not None)
        return max([await _retrain(parts, owner, items) for owner in owners])


async def _retrain(parts: Parts, owner: Owner, items: Sequence[Item] | None) -> int:
    """Replace the knowledge of one owner, and print which messages it came from."""
    with Bar() as bar:
        used = await teaching.retrain(parts.config, owner, parts.home, items, bar.show)
    name, left_out = owner.name, _left_out(used)
    if not used.learned:
        sys.stderr.write(
            f"{name}: no message can be used, what is known stays as it was{left_out}: "
            "name folders of mail with --ham and --spam\n"
        )
        return 1
    sys.stdout.write(f"{name}: {_described(used)} used{left_out}\n")
    sys.stdout.flush()
    if used.missed:
        sys.stderr.write(
            f"{name}: the daemon learned so much meanwhile that some of it is missing: call it again\n"
        )
    return os.EX_OK


def _described(used: Used) -> str:
    return f"{used.ham} ham and {used.spam} spam"


def _left_out(used: Used) -> str:
    """The messages that could not be used, as the end of a sentence."""
    foreign = (
        f"; {used.foreign} left out: their signatures are of another Algorithm, which keeps other tokens"
    )
    unknown = f"; {used.unknown} left out: neither a correction nor a line in the log"
    return foreign * bool(used.foreign) + unknown * bool(used.unknown)


async def _items(options: Options) -> list[Item]:
    """The mail, oldest first.  Raises `UnusableCorpus`."""
    return await asyncio.to_thread(from_folders, options.ham, options.spam, "date")
