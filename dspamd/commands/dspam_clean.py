"""dspam_clean: removes old signatures and useless tokens.

The options are those of DSPAM 3.10.2 (reference/cli.md 7, dspam_clean(1)).  A Purge directive
of dspam.conf activates its step; -s, -p and -u activate theirs, with the given, configured or
built-in ages; `off` in the configuration stays off.

It works while mail flows, in small steps that do not delay mail; it may be ended at any moment.
Cron mails all output, so it prints only failures; --verbose shows the progress, and the log says
for each user what was removed and what is left; --json prints the sum.  --compact is the exception:
the mail of a user waits while it rewrites their file.

Unlike the original it really purges hash files, uses the training mode in effect, and refuses
unknown options instead of creating users of that name.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from dspamd.commands import tool
from dspamd.config.config import Config
from dspamd.config.option import Days
from dspamd.errors import UsageError
from dspamd.maintenance.maintenance import UNUSED, Maintenance, Report, ages
from dspamd.maintenance.purge import Ages, Purged, Unused

if TYPE_CHECKING:
    from dspamd.app import Parts

USAGE = "dspam_clean [-s[age] -p[age] -u[any,hapax,nospam,onehit] -h --compact] [user1 user2 ... userN]\n"
_SIGNATURES, _NEUTRAL = 14, 30  # days, if the configuration has none


@dataclass(frozen=True, slots=True)
class Options:
    """A command line.  None: no such step; "": with the configured ages."""

    signatures: str | None = None
    neutral: str | None = None
    unused: str | None = None
    users: tuple[str, ...] = ()
    profile: str = ""
    verbose: bool = False
    compact: bool = False
    json: bool = False

    @property
    def steps(self) -> bool:
        """Whether the command line names any step."""
        return self.compact or {self.signatures, self.neutral, self.unused} != {None}


COMMAND = tool.Command("dspam_clean", USAGE, help_on_stderr=("-h",))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 0 done, 1 wrong usage or nothing to do, 75 try again."""
    return tool.command(COMMAND, run, arguments)


def run(words: list[str]) -> int:
    options = parse(words)
    return tool.run(lambda parts: clean(parts, options), options.profile)


def parse(words: list[str]) -> Options:
    """What a command line says.  Raises UsageError."""
    words, profile = tool.profile_of(words)
    given: dict[str, str] = {}
    users: list[str] = []
    switches = dict.fromkeys(("--verbose", "--compact", "--json"), False)
    for word in words:
        if word in switches:
            switches[word] = True
        elif re.fullmatch(r"-[sp]\d{0,5}|-u(\d{1,5}(,\d{1,5}){0,3})?", word, re.ASCII):
            given[word[1]] = word[2:]
        elif word.startswith("-"):
            raise UsageError(f"unknown option '{word}'")
        else:
            users.append(word)
    return Options(given.get("s"), given.get("p"), given.get("u"), tuple(users), profile, *switches.values())


def purge_ages(config: Config, options: Options) -> Ages:
    """The configured ages, overridden by those of the command line."""
    chosen = ages(config)
    if options.signatures is not None:
        chosen = replace(
            chosen, signatures=_age(options.signatures, config, Config.PurgeSignatures, _SIGNATURES)
        )
    if options.neutral is not None:
        chosen = replace(chosen, neutral=_age(options.neutral, config, Config.PurgeNeutral, _NEUTRAL))
    if options.unused is not None:
        given = [*options.unused.split(","), "", "", ""][:4]
        rules = zip(given, UNUSED, Unused(), strict=True)
        unused = Unused(*(_age(text, config, option, otherwise) for text, option, otherwise in rules))
        chosen = replace(chosen, unused=unused)
    return chosen


def _age(text: str, config: Config, option: Days, otherwise: int | None) -> int | None:
    """The given age; else the configured one, which may be off; else the built-in one."""
    if text:
        return int(text)
    return config.value(option) if config.has(option) else otherwise


async def clean(parts: Parts, options: Options) -> int:
    chosen = purge_ages(parts.config, options)
    if not chosen and not options.steps:
        sys.stderr.write(USAGE)
        return 1
    maintenance = Maintenance(parts.users, parts.storage, chosen, whole=options.compact)
    progress = Progress(chosen) if options.verbose else None
    report = await maintenance.purge(options.users or None, progress or (lambda *_: None))
    if progress is not None:
        progress.end(report)
    if options.json:
        sys.stdout.write(json.dumps(data_of(report)) + "\n")
    for owner, failure in report.failures.items():
        sys.stderr.write(f"dspam_clean: {owner}: {failure}\n")
    return os.EX_TEMPFAIL if report.failures else os.EX_OK


def data_of(report: Report) -> dict[str, object]:
    """A purge as --json prints it."""
    failures = {owner: str(failure) for owner, failure in report.failures.items()}
    return {"users": report.owners, **asdict(report.purged), "failures": failures}


class Progress:
    """Shows the progress of a purge: a line for each owner, rewritten on a terminal."""

    def __init__(self, ages: Ages) -> None:
        self._owner: str | None = None
        self._live = sys.stdout.isatty()
        self._line = ""
        sys.stdout.write(f"dspam_clean starting: {_described(ages)}\n")

    def __call__(self, owner: str, purged: Purged) -> None:
        if owner != self._owner:
            self._end_line()
            self._owner = owner
        self._line = f"{owner}: {_counted(purged)}"
        if self._live:
            sys.stdout.write(f"\r{self._line}\x1b[K")
            sys.stdout.flush()

    def end(self, report: Report) -> None:
        self._end_line()
        sys.stdout.write(f"{report.owners} users: {_counted(report.purged)}\n")

    def _end_line(self) -> None:
        if self._owner is not None:
            sys.stdout.write("\n" if self._live else f"{self._line}\n")


def _described(ages: Ages) -> str:
    unused = ages.unused and ",".join("off" if age is None else str(age) for age in ages.unused)
    named = (("signatures", ages.signatures), ("neutral", ages.neutral), ("unused", unused))
    return " ".join(f"{name}={'off' if age is None else age}" for name, age in named)


def _counted(purged: Purged) -> str:
    return (
        f"removed {purged.tokens} tokens, {purged.tokens_left} left; "
        f"{purged.signatures} signatures, {purged.signatures_left} left"
    )


if __name__ == "__main__":
    sys.exit(main())
