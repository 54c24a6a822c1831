"""dspam_logrotate: removes old lines from system.log and the logs of users (reference/cli.md 8).

A line begins with its time, in seconds.  The command also removes lines without a time, such as
the empty lines between the records of a user.  It reads no configuration.

It rewrites a log in place, under the lock that all writers take, DSPAM too, so no line is lost.
Remaining lines move towards the beginning: after a crash some lines are there twice and none is
missing.
"""

from __future__ import annotations

import fcntl
import os
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from dspamd.commands import tool
from dspamd.commands.interruption import Interruption
from dspamd.errors import UsageError

_DAY_S = 86_400
WRITTEN_AT_ONCE = 1 << 20  # bytes
_TIME = re.compile(rb"(\d+)\t")


class Options(NamedTuple):
    days: int
    verbose: bool
    logs: list[Path]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 0, 1 some log could not be rotated, 255 wrong usage."""
    form = f"{sys.argv[0]} -a age [-v]"
    usage = f"Usage: {form} -l logfiles\nor\nUsage: {form} -d /var/dspam\n"
    command = tool.Command("dspam_logrotate", usage, complains_on_stdout=True, wrong_usage=255)
    return tool.command(command, run, arguments)


def run(words: list[str]) -> int:
    options = parse(words)
    if options is None:
        raise UsageError
    failed = False
    with Interruption() as interruption:
        for done, log in enumerate(options.logs):
            if interruption.came:
                ended = f"ended by {interruption.came}: {done} of {len(options.logs)} logs are rotated"
                sys.stderr.write(f"dspam_logrotate: {ended}\n")
                return tool.INTERRUPTED
            try:
                deleted = rotate(log, int(time.time()) - options.days * _DAY_S)
            except OSError as error:
                sys.stderr.write(f"dspam_logrotate: {error}\n")
                failed = True
                continue
            if options.verbose:
                sys.stdout.write(f"Deleted {deleted} lines from {log} \n")
    return 1 if failed else os.EX_OK


def parse(words: list[str]) -> Options | None:
    """The options of a command line; None after wrong usage."""
    days: int | None = None
    verbose = False
    while words:
        match words:
            case ["-a", age, *rest] if age.isdecimal():
                days = int(age)
            case ["-v", *rest]:
                verbose = True
            case ["-l", log, *more] if days is not None:
                return Options(
                    days, verbose or "-v" in more, [Path(each) for each in (log, *more) if each != "-v"]
                )
            case ["-d", folder, *rest] if days is not None:
                return Options(days, verbose or "-v" in rest, sorted(Path(folder).rglob("*.log")))
            case _:
                return None
        words = rest
    return None


def rotate(log: Path, oldest: int) -> int:
    """Remove the lines before a time (seconds since 1970) from a log; how many.  Raises OSError."""
    deleted = kept = 0
    waiting = bytearray()
    with log.open("r+b") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)

        def write() -> int:
            return os.pwrite(file.fileno(), waiting, kept) if deleted else len(waiting)

        for line in file:
            if _since(line, oldest):
                waiting += line
            else:
                deleted += 1
            if len(waiting) >= WRITTEN_AT_ONCE:
                kept += write()
                waiting.clear()
        kept += write()
        os.ftruncate(file.fileno(), kept)
    return deleted


def _since(line: bytes, oldest: int) -> bool:
    when = _TIME.match(line)
    return when is not None and int(when[1]) >= oldest


if __name__ == "__main__":
    sys.exit(main())
