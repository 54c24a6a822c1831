"""dspam_admin copy: copies all dictionaries of another configuration's store into ours.

It is for a site that changes its storage driver: the administrator keeps the old dspam.conf
under another name, and names it here.  `maintenance.transfer` copies each owner, and can repeat
that.  It removes nothing from the other store.

It prints a summary at the end, with `--verbose` one for each owner.  Failures go to standard
error; after a failure with one owner it goes on with the others.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dspamd.config.config import Config
from dspamd.errors import Failure, TempFail, UsageError
from dspamd.maintenance.transfer import Transferred, transfer
from dspamd.storage.contract import Storage
from dspamd.storage.drivers import open_storage

if TYPE_CHECKING:
    from dspamd.app import Parts

USAGE = """\
syntax: dspam_admin copy FILE [USER ...] [--replace] [--verbose] [--profile=PROFILE]

Copy the dictionaries of the store that FILE, another dspam.conf, names into ours: those of the users, or all.
It can be repeated, and adds nothing twice.

	--replace  let the other store win where users have learned other mail here, or set preferences
	--verbose  print a line for each user, too
"""

_EVERYBODY = ""


class Options(NamedTuple):
    """The arguments of `copy`."""

    config: Path
    owners: tuple[str, ...] = ()  # none: all
    replace: bool = False
    verbose: bool = False


def parse(words: Sequence[str]) -> Options:
    """The options after `copy`.  Raises UsageError."""
    flags = {word for word in words if word.startswith("--")}
    plain = [word for word in words if word not in flags]
    if not plain or flags - {"--replace", "--verbose"}:
        raise UsageError
    return Options(Path(plain[0]), tuple(plain[1:]), "--replace" in flags, "--verbose" in flags)


async def copy(parts: Parts, options: Options) -> int:
    """Copy the owners; 0, or 75 or 1 if some failed.  Raises `ConfigError`, `TempFail`."""
    from dspamd.app import home_of

    config = Config.load(options.config)
    home = home_of(config)
    source = open_storage(config, home)
    await source.open()
    try:
        owners = options.owners
        if not owners:
            # Stores of files do not list users who have preferences only.
            others = await asyncio.to_thread(home.owners, "prefs")
            owners = (_EVERYBODY, *sorted({*await source.owners(), *others}))
        return await _copy(source, parts.storage, owners, options)
    finally:
        await source.close()


async def _copy(source: Storage, target: Storage, owners: Sequence[str], options: Options) -> int:
    total, status = Transferred(), os.EX_OK
    for owner in owners:
        try:
            done = await transfer(source, target, owner, replace=options.replace)
        except Failure as failure:
            sys.stderr.write(f"dspam_admin: {owner or 'default'}: {failure}\n")
            status = os.EX_TEMPFAIL if isinstance(failure, TempFail) else status or 1
            continue
        total = total.plus(done)
        if options.verbose:
            sys.stdout.write(f"{owner or 'default'}: {_described(done)}\n")
            sys.stdout.flush()
    sys.stdout.write(f"{sum(map(bool, owners))} users: {_described(total)}\n")
    return status


def _described(done: Transferred) -> str:
    blocks = (
        f", {done.blocks} blocks ({done.blocks_changed} changed)"
        if done.blocks or done.blocks_changed
        else ""
    )
    return (
        f"{done.tokens} tokens ({done.tokens_changed} changed), "
        f"{done.signatures} signatures ({done.signatures_changed} new), "
        f"{done.preferences} preferences ({done.preferences_changed} new)"
        f"{blocks}"
    )
