"""dspam_admin rename user, merge user: a user gets another name, which is new or that of another user."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from dspamd.commands.moving import Options, parse, site_of, tell_of_groups
from dspamd.commands.progress import Bar
from dspamd.maintenance.moving.merging import merge
from dspamd.maintenance.moving.possessions import tally
from dspamd.maintenance.moving.renaming import rename

if TYPE_CHECKING:
    from dspamd.app import Parts

RENAME = """\
syntax: dspam_admin rename user USER NEW [--profile=PROFILE]

Give a user another name, of which nothing may be known. What was interrupted is finished.
"""
MERGE = """\
syntax: dspam_admin merge user USER INTO [--profile=PROFILE]

Join a user to another one: counters, signatures, weights, preferences, logs, quarantine. What was interrupted
is finished, and nothing is added twice.
"""


def parse_rename(words: Sequence[str]) -> Options:
    """The options after `rename user`.  Raises UsageError."""
    return parse("rename user", words, range(2, 3))


def parse_merge(words: Sequence[str]) -> Options:
    """The options after `merge user`.  Raises UsageError."""
    return parse("merge user", words, range(2, 3))


async def rename_user(parts: Parts, options: Options) -> int:
    """Give a user another name; 0, or 1 if the names do not allow it."""
    name, new = options.words
    try:
        await rename(site_of(parts), name, new)
    except asyncio.CancelledError:
        _interrupted(name)
        raise
    sys.stdout.write(f"{name} is {new} now: {await tally(site_of(parts), new)}\n")
    tell_of_groups(parts, name)
    return os.EX_OK


async def merge_user(parts: Parts, options: Options) -> int:
    """Join a user to another; 0, or 1 if the names do not allow it, or something is missing."""
    name, into = options.words
    try:
        with Bar() as bar:
            merged = await merge(site_of(parts), name, into, bar.show)
    except asyncio.CancelledError:
        _interrupted(name)
        raise
    for text in merged.missing:
        sys.stderr.write(f"{into}: {text}; {name} stays\n")
    if merged.lost:
        sys.stderr.write(
            f"{name}: {merged.lost} messages were learned meanwhile; {into} does not know them\n"
        )
    if merged.missing:
        return 1
    sys.stdout.write(f"{name} is part of {into} now: {await tally(site_of(parts), into)}\n")
    tell_of_groups(parts, name)
    return os.EX_OK


def _interrupted(name: str) -> None:
    sys.stderr.write(f"{name}: the same command goes on from there, and finishes\n")
