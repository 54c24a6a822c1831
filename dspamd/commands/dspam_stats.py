"""dspam_stats: prints how many verdicts were right and wrong, for each user.

The options and every byte of the output are those of DSPAM 3.10.2 (reference/cli.md 8),
because web pages and scripts read them; engine.md 10 defines the figures.  The default is the
form for long user names, with two lines; `LongUsernames off` gives one line.

With --json it prints an object for each user, a line each, with all of them.

Unlike the original, flags may be combined (`-sS`), `-h` is no error, and a question about an
unknown user creates no files.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dspamd.commands import tool
from dspamd.engine.model import Totals
from dspamd.errors import Failure, UsageError
from dspamd.files import atomic_replace
from dspamd.home.history import counters
from dspamd.home.home import Home
from dspamd.users.trust import login_name, trusted

if TYPE_CHECKING:
    from dspamd.app import Parts

USAGE = """\
usage: dspam_stats [-h]|[--profile=PROFILE] [-HrsSt] [user [user...]]
      \tPrint dspam statistics for users.
      \tIf no users are specified, stats for all users are printed.
      \t-h: print this message
      \t-H: print stats in "human friendly" format
      \t-r: Resets the current snapshot
      \t-s: Displays stats since last snapshot (instead of since epoch)
      \t-S: Displays accuracy percentages in addition to stats
      \t-t: Displays a total of all statistics displayed
"""
_NAMES = (
    "TP True Positives:",
    "TN True Negatives:",
    "FP False Positives:",
    "FN False Negatives:",
    "SC Spam Corpusfed:",
    "NC Nonspam Corpusfed:",
    "TL Training Left:",
)
TOTAL = "TOTAL"
"""The name under which the sum of all users is shown."""

ENOUGH = 2500  # innocent messages, after which training is complete


class Figures(NamedTuple):
    """Counts of verdicts, in the order of snapshots."""

    tp: int = 0  # spam with the verdict spam
    tn: int = 0  # innocent mail with the verdict innocent
    fn: int = 0  # spam with the verdict innocent
    fp: int = 0  # innocent mail with the verdict spam
    sc: int = 0  # spam of a corpus
    nc: int = 0  # innocent of a corpus

    def plus(self, other: Figures, sign: int = 1) -> Figures:
        return Figures(*(a + sign * b for a, b in zip(self, other, strict=True)))

    @property
    def shr(self) -> float:
        """Spam hit rate: percent of spam with the verdict spam."""
        return 100 - _percent(self.fn, self.tp + self.fn, 0)

    def hsr(self, none: float) -> float:
        """Ham strike rate: percent of innocent mail with the verdict spam; `none` without such mail."""
        return _percent(self.fp, self.tn + self.fp, none)

    @property
    def ppv(self) -> float:
        """Positive predictive value: percent of right verdicts among those that say spam."""
        return _percent(self.tp, self.tp + self.fp, 100)

    @property
    def oca(self) -> float:
        """Overall accuracy: percent of right verdicts."""
        return 100 - _percent(self.fn + self.fp, self.tp + self.fn + self.tn + self.fp, 0)


def _percent(part: int, whole: int, none: float) -> float:
    return 100 * part / whole if whole else none


@dataclass(frozen=True, slots=True)
class Options:
    """A command line; `flags` are its letters."""

    flags: str = ""
    users: tuple[str, ...] = ()
    profile: str = ""
    json: bool = False


COMMAND = tool.Command("dspam_stats", USAGE, help_on_stderr=("-h",), complaint="{called}: {error}\n{usage}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 0, or 1 after wrong usage."""
    return tool.command(COMMAND, run, arguments)


def run(words: list[str]) -> int:
    options = parse(words)
    if "h" in options.flags:
        sys.stderr.write(USAGE)
        return os.EX_OK
    return tool.run(lambda parts: show(parts, options), options.profile, anybody=True)


def parse(words: list[str]) -> Options:
    """The options of a command line.  Raises UsageError for an unknown flag."""
    words, profile = tool.profile_of(words)
    as_json = "--json" in words
    words = [word for word in words if word != "--json"]
    flags = "".join(word[1:] for word in words if word.startswith("-"))
    for flag in flags:
        if flag not in "HhrsSt":
            raise UsageError(f'unknown option "{flag}".')
    return Options(flags, tuple(word for word in words if not word.startswith("-")), profile, as_json)


async def show(parts: Parts, options: Options) -> int:
    """Print the statistics that the options ask for.  Raises `NotTrusted` for those of others.

    The command reports trouble with one user on standard error, and goes on with the others.
    """
    uid = os.getuid()
    own = not options.profile and set(options.users) == {login_name(uid)}
    if not own and not trusted(parts.config, uid):
        raise tool.NotTrusted
    form = Data() if options.json else Form(options.flags, long_names=parts.config.LongUsernames)
    sum_totals, sum_figures = Totals(), Figures()
    status = os.EX_OK
    for user in options.users or await parts.storage.owners():
        try:
            totals = await totals_of(parts, user)
        except Failure as failure:
            sys.stderr.write(f"dspam_stats: {user}: {failure}\n")
            status = failure.exit_status
            continue
        figures = now = Figures(*counters(totals))
        if "s" in options.flags:
            figures = now.plus(await asyncio.to_thread(read_snapshot, parts.home.file(user, "rstats")), -1)
        sys.stdout.write(form.of(user, totals, figures))
        if "r" in options.flags:
            await asyncio.to_thread(write_snapshot, parts.home, user, now)
        sum_totals, sum_figures = sum_totals.plus(totals), sum_figures.plus(figures)
    if "t" in options.flags:
        sys.stdout.write(form.of(TOTAL, sum_totals, sum_figures))
    return status


async def totals_of(parts: Parts, user: str) -> Totals:
    """The counters of a user; zeros for an unknown one."""
    uid = await parts.storage.uid(user, create=False)
    return Totals() if uid is None else (await parts.storage.read(uid, array("Q"))).totals


def read_snapshot(path: Path) -> Figures:
    """The figures in `USER.rstats`; absent ones are 0 (storage.md 7.3)."""
    try:
        numbers = path.read_text("ascii", "replace").split("\n")[0].split(",")
    except FileNotFoundError:
        return Figures()
    return Figures(*(int(number) if number.strip().isdecimal() else 0 for number in numbers[:6]))


def write_snapshot(home: Home, user: str, figures: Figures) -> None:
    path = home.prepare(home.file(user, "rstats"))
    atomic_replace(path, b"%s\n" % ",".join(map(str, figures)).encode(), ending=str(os.getpid()))


class Form:
    """The form of a user's statistics."""

    def __init__(self, flags: str, *, long_names: bool) -> None:
        self._human = "H" in flags
        self._percentages = "S" in flags
        self._long_names = long_names

    def of(self, user: str, totals: Totals, figures: Figures) -> str:
        if self._human:
            return _human(user, totals, figures)
        indent = " " * (4 if self._long_names else 18)
        head = f"{user}\n{indent}" if self._long_names else f"{user:<16}  "
        counts = zip(("TP", "TN", "FP", "FN", "SC", "NC"), _shown(figures), strict=True)
        lines = head + " ".join(f"{name}:{count:6d}" for name, count in counts) + "\n"
        if self._percentages:
            rates = (("SHR", figures.shr), ("HSR", figures.hsr(0)), ("OCA", figures.oca))
            lines += indent + "       ".join(f"{name}: {rate:7.2f}%" for name, rate in rates) + "\n"
        return lines


class Data:
    """The statistics of a user as a line of JSON; the sum of all users has none."""

    def of(self, user: str, totals: Totals, figures: Figures) -> str:
        named = zip(("TP", "TN", "FP", "FN", "SC", "NC"), _shown(figures), strict=True)
        rates = {"SHR": figures.shr, "HSR": figures.hsr(0), "PPV": figures.ppv, "OCA": figures.oca}
        data = {"user": None if user is TOTAL else user, **dict(named), "TL": _left(totals)}
        return json.dumps(data | {name: round(rate, 2) for name, rate in rates.items()}) + "\n"


def _left(totals: Totals) -> int:
    """Innocent messages until training is complete."""
    return max(0, ENOUGH - totals.innocent_learned - totals.innocent_classified)


def _shown(figures: Figures) -> tuple[int, ...]:
    return figures.tp, figures.tn, figures.fp, figures.fn, figures.sc, figures.nc


def _human(user: str, totals: Totals, figures: Figures) -> str:
    counts = zip(_NAMES, (*_shown(figures), _left(totals)), strict=True)
    lines = [f"{name:<33}{count:>7d}" for name, count in counts]
    lines += [
        f"{name:<32}{rate:>7.2f}%"
        for name, rate in (
            ("SHR Spam Hit Rate", figures.shr),
            ("HSR Ham Strike Rate:", figures.hsr(100)),
            ("PPV Positive predictive value:", figures.ppv),
            ("OCA Overall Accuracy:", figures.oca),
        )
    ]
    return f"{user}:\n" + "".join(f"        \t{line}\n" for line in lines) + "        \n"


if __name__ == "__main__":
    sys.exit(main())
