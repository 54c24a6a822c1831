"""dspam_maintenance: one nightly run that keeps a site in shape (reference/cli.md 8).

    logs           removes lines older than --logdays from system.log and the logs of users
    dictionaries   removes old signatures and useless tokens, as dspam_clean -s -p -u

It works on any store, while mail flows, and may be ended at any moment.  It prints only failures,
so that cron has nothing to mail; --json prints what was purged.  Only one runs at a time: it exits at once
and quietly while another run, or the daemon (PurgeInterval), is purging.

The script of DSPAM 3.10.2 looked for SQL scripts and patched them.  The options about these are
accepted and have no effect, because purging needs no scripts here.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dspamd.commands import dspam_clean, tool
from dspamd.commands.dspam_logrotate import rotate
from dspamd.config.config import Config
from dspamd.errors import UsageError
from dspamd.home.home import Home
from dspamd.maintenance.maintenance import Lock

if TYPE_CHECKING:
    from dspamd.app import Parts

USAGE = """\
usage: dspam_maintenance [--profile=PROFILE] [--logdays=DAYS] [--verbose] [--json] [--help]
	[--signatures=DAYS] [--neutral=DAYS] [--unused=DAYS] [--hapaxes=DAYS] [--hits1s=DAYS] [--hits1i=DAYS]
accepted, without effect:
	[--purgescriptdir=DIRS] [--without-sql-purge] [--with-sql-optimization] [--with-sql-autoupdate]
	[--with-all-drivers]
"""
_AGES = ("logdays", "signatures", "neutral", "unused", "hapaxes", "hits1s", "hits1i")
_WITHOUT_EFFECT = (
    "purgescriptdir", "without-sql-purge", "with-sql-optimization", "with-sql-autoupdate", "with-all-drivers",
)  # fmt: skip
_LOG_DAYS = 31
_NEUTRAL = "90"  # days, if the configuration has none: longer than in dspam_clean
_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Options:
    """A command line: the given ages, by name."""

    ages: dict[str, str]
    verbose: bool = False
    profile: str = ""
    json: bool = False

    def purge(self, config: Config) -> dspam_clean.Options:
        """The options for dspam_clean; an empty age means the configured or built-in one."""
        neutral = "" if config.given(Config.PurgeNeutral) else _NEUTRAL
        return dspam_clean.Options(
            signatures=self.ages.get("signatures", ""),
            neutral=self.ages.get("neutral", neutral),
            unused=",".join(self.ages.get(name, "") for name in ("unused", "hapaxes", "hits1s", "hits1i")),
            verbose=self.verbose,
            json=self.json,
        )


COMMAND = tool.Command("dspam_maintenance", USAGE)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 0, 1 wrong usage or a log failed, 75, 78."""
    return tool.command(COMMAND, run, arguments)


def run(words: list[str]) -> int:
    options = parse(words)
    return tool.run(lambda parts: maintain(parts, options), options.profile)


def parse(words: list[str]) -> Options:
    """The options of a command line.  Raises UsageError."""
    words, profile = tool.profile_of(words)
    ages: dict[str, str] = {}
    verbose = as_json = False
    for word in words:
        name, _, value = word.removeprefix("--").partition("=")
        if word == "--verbose":
            verbose = True
        elif word == "--json":
            as_json = True
        elif word.startswith("--") and name in _AGES and re.fullmatch(r"\d{1,5}", value, re.ASCII):
            ages[name] = value
        elif not (word.startswith("--") and name in _WITHOUT_EFFECT):
            raise UsageError(f"unknown parameter '{word}'")
    return Options(ages, verbose, profile, as_json)


async def maintain(parts: Parts, options: Options) -> int:
    """Rotate the logs, then purge.  Raises `TempFail`, `OSError`."""
    lock = Lock(parts.home.path / "purge.lock", 0)
    if not await asyncio.to_thread(lock.take):
        if options.verbose:
            sys.stdout.write("dspam_maintenance: another run is purging\n")
        return os.EX_OK
    try:
        days = int(options.ages.get("logdays", _LOG_DAYS))
        rotated = await asyncio.to_thread(_rotate, parts.home, days, verbose=options.verbose)
        purged = await dspam_clean.clean(parts, options.purge(parts.config))
        if purged == os.EX_OK:
            lock.note()
        return purged or rotated
    finally:
        lock.release()


def _rotate(home: Home, days: int, *, verbose: bool) -> int:
    """Remove old lines from the logs; 1 if some log could not be rotated."""
    status = os.EX_OK
    for log in _logs(home):
        try:
            deleted = rotate(log, int(time.time()) - days * _DAY_S)
        except OSError as error:
            sys.stderr.write(f"dspam_maintenance: {error}\n")
            status = 1
        else:
            if verbose:
                sys.stdout.write(f"{log}: removed {deleted} lines\n")
    return status


def _logs(home: Home) -> list[Path]:
    """system.log and the logs of users; not the daemon's log, which may be below Home and has other lines."""
    system = [home.system_log] if home.system_log.exists() else []
    return [*system, *sorted((home.path / "data").rglob("*.log"))]


if __name__ == "__main__":
    sys.exit(main())
