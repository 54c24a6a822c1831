"""dspam_eval: measures configurations side by side on labelled mail.

Each message is judged as if it had just come, then its user corrects a wrong verdict: the figures are
those of the daemon with that mail, from the first day on.  Nothing of the site is changed.

The results go to standard output, the progress to a terminal.  A run that was stopped goes on when it is
started again with the same arguments.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from dspamd.commands import tool
from dspamd.commands.arguments import Arguments
from dspamd.commands.progress import Bar
from dspamd.config.config import default_path
from dspamd.errors import ConfigError, Failure, UsageError
from dspamd.evaluation import saved
from dspamd.evaluation.configurations import Configuration, configurations
from dspamd.evaluation.corpus import (
    ORDERS,
    Item,
    UnusableCorpus,
    Users,
    complete,
    from_folders,
    from_index,
)
from dspamd.evaluation.feedback import Feedback, shuffled
from dspamd.evaluation.history import kept, replayable
from dspamd.evaluation.plots import plots
from dspamd.evaluation.report import Measured, document, tables
from dspamd.evaluation.run import GIVEN, Task, run
from dspamd.file_errors import explained
from dspamd.files import atomic_replace
from dspamd.users.preferences import Defaults

if TYPE_CHECKING:
    from dspamd.app import Parts

USAGE = """\
Usage: dspam_eval --index FILE [option ...] [configuration ...]
       dspam_eval --ham PLACE --spam PLACE [option ...] [configuration ...]
       dspam_eval --history USER [option ...] [configuration ...]

Configurations: a dspam.conf, or NAME:Directive=value,Directive=value with these lines in place of
those of --config. None: that of --config alone.

Mail:
  --index FILE        lines of ham|spam and a path
  --ham, --spam PLACE folder, maildir or mbox; may be repeated
  --order date|name   the order of the mail in such places (date)
  --history USER      signatures of this user in the stores of the site, with their corrections
  --users folder|FILE several users: the first folder of each path, or lines of a path and a user
Measurement:
  --config FILE       the dspam.conf under all NAME:... (the defaults of all directives)
  --delay N           errors are reported N messages late (0)
  --unreported SHARE  percent of errors that nobody reports (0)
  --noise SHARE       percent of messages that their user takes for the other class (0)
  --shuffle N         N random orders, the same each time, in place of the given one
  --jobs N            processes (one for each CPU)
  --state FOLDER      keep results there, also after the end (a folder of the user, until the end)
Output:
  --json FILE         all figures
  --plots FOLDER      roc.svg, learning.svg, reliability.svg
"""
COMMAND = tool.Command("dspam_eval", USAGE)


@dataclass(frozen=True, slots=True)
class Options:
    """A command line."""

    configurations: tuple[str, ...]
    config: Path | None
    index: Path | None
    ham: tuple[Path, ...]
    spam: tuple[Path, ...]
    order: str
    history: str
    users: str
    feedback: Feedback
    shuffle: int
    jobs: int
    state: Path | None
    json: Path | None
    plots: Path | None


class Ended(Exception):
    """The work on the stores of the site has failed, and said why."""

    def __init__(self, exit_status: int) -> None:
        super().__init__(exit_status)
        self.exit_status = exit_status


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status.

    0; 1 wrong usage, or an output that cannot be written; 2 unusable corpus; 75 stopped, try again;
    78 the configuration is wrong.
    """
    return tool.command(COMMAND, work, arguments)


def work(words: list[str]) -> int:
    options = parse(words)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return evaluate(options)
    except (ConfigError, Failure, UnusableCorpus) as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_status
    except Ended as end:
        return end.exit_status
    except KeyboardInterrupt:
        sys.stderr.write("\nstopped; started again with the same arguments it goes on\n")
        return os.EX_TEMPFAIL
    except OSError as error:
        sys.stderr.write(f"{explained(error)}\n")
        return 1


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def parse(words: Sequence[str]) -> Options:
    """What a command line says.  Raises UsageError."""
    parser = Arguments()
    parser.add_argument("configurations", nargs="*")
    for name in ("config", "index", "state", "json", "plots"):
        parser.add_argument(f"--{name}", type=Path)
    for name in ("ham", "spam"):
        parser.add_argument(f"--{name}", type=Path, action="append", default=[])
    parser.add_argument("--order", choices=ORDERS, default=ORDERS[0])
    parser.add_argument("--history", default="")
    parser.add_argument("--users", default="")
    for name in ("delay", "shuffle"):
        parser.add_argument(f"--{name}", type=_count, default=0)
    parser.add_argument("--jobs", type=_count, default=len(os.sched_getaffinity(0)))
    for name in ("unreported", "noise"):
        parser.add_argument(f"--{name}", type=_share, default=0.0)
    found = parser.parse_intermixed_args(words)
    places = bool(found.ham or found.spam)
    if (found.index is not None) + places + bool(found.history) != 1:
        raise UsageError("one of --index, --ham with --spam, and --history is needed")
    if places and not (found.ham and found.spam):
        raise UsageError("--ham and --spam are both needed")
    if found.history and found.users:
        raise UsageError("--history is that of one user")
    return Options(
        tuple(found.configurations),
        found.config,
        found.index,
        tuple(found.ham),
        tuple(found.spam),
        found.order,
        found.history,
        found.users,
        Feedback(found.delay, found.unreported, found.noise),
        found.shuffle,
        max(1, found.jobs),
        found.state,
        found.json,
        found.plots,
    )


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"a number is expected, not '{text}'")
    return int(text)


def _share(text: str) -> float:
    try:
        percent = float(text.removesuffix("%"))
    except ValueError:
        percent = -1.0
    if not 0 <= percent <= 100:
        raise argparse.ArgumentTypeError(f"a share from 0 to 100 is expected, not '{text}'")
    return percent / 100


def evaluate(options: Options) -> int:
    """Measure, and tell.  Raises what makes that impossible."""
    compared = configurations(options.configurations, options.config)
    _check_outputs(options)
    folder = options.state or saved.default_folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    items = _items(options, compared, folder)
    orders = [f"order {n}" for n in range(1, options.shuffle + 1)] or [GIVEN]
    corpus = saved.fingerprint(items, options.feedback)
    tasks = [_task(each, order, corpus, options, folder) for each in compared for order in orders]
    with Bar() as bar:
        observed = run(tasks, items, options.jobs, bar.show)
    by_order = {order: items if order == GIVEN else shuffled(items, order) for order in orders}
    named = {each.name: each for each in compared}
    _tell(
        options,
        [
            Measured(named[task.name], task.order, by_order[task.order], each)
            for task, each in zip(tasks, observed, strict=True)
        ],
    )
    if options.state is None:
        for path in [task.state for task in tasks] + [Path(items[0].message.path)] * bool(options.history):
            saved.discard(path)
    return os.EX_OK


def _check_outputs(options: Options) -> None:
    """Raise UsageError or OSError for files that cannot be written in the end: a run may take hours."""
    if options.json is not None and not os.access(options.json.parent, os.W_OK):
        raise UsageError(f"--json: {options.json.parent} is no folder that we may write to")
    if options.plots is not None:
        options.plots.mkdir(parents=True, exist_ok=True)


def _task(configuration: Configuration, order: str, corpus: str, options: Options, folder: Path) -> Task:
    name = f"{configuration.fingerprint}-{corpus}-{order.replace(' ', '-')}.state"
    stored = bool(options.history)
    return Task(configuration.name, configuration.config, order, options.feedback, stored, folder / name)


def _items(options: Options, compared: Sequence[Configuration], folder: Path) -> list[Item]:
    """The messages, with their users.  Raises `UnusableCorpus`, and `Ended` as the stores of the site do."""
    if options.history:
        return _history(options.history, compared, options.config, folder)
    users = Users(by_folder=options.users == "folder")
    if options.users and not users.by_folder:
        users = Users.read(Path(options.users))
    if options.index is not None:
        return users.of(from_index(options.index))
    return users.of(from_folders(options.ham, options.spam, options.order))


def _history(user: str, compared: Sequence[Configuration], base: Path | None, folder: Path) -> list[Item]:
    """The messages that the site still knows of a user."""
    found: list[Item] = []
    hint = "" if base else f"; --config {default_path()} measures with the tokens of the site"

    async def read(parts: Parts) -> int:
        for name, reason in replayable(Defaults.of(parts.config).tokens, compared).items():
            raise UnusableCorpus(f"{name}: {reason}{hint}")
        resolved = await parts.users.resolve(user)
        log = parts.home.file(resolved.file_name, "log")
        known = await kept(parts.storage, resolved, log, folder)
        if known.unknown:
            sys.stderr.write(f"{known.unknown} messages are left out: no correction, and not in {log}\n")
        found.extend(complete(known.items, user))
        return os.EX_OK

    if status := tool.run(read):
        raise Ended(status)
    return found


def _tell(options: Options, measured: Sequence[Measured]) -> None:
    """Write the results.  Raises OSError."""
    sys.stdout.write(tables(measured))
    if options.json is not None:
        text = json.dumps(document(measured, options.feedback._asdict()), indent=1) + "\n"
        atomic_replace(options.json, text.encode())
    if options.plots is not None:
        for name, drawing in plots(measured).items():
            atomic_replace(options.plots / name, drawing.encode())


if __name__ == "__main__":
    sys.exit(main())
