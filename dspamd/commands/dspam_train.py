"""dspam_train: teaches a user's dictionary with a corpus, and measures the success.

It classifies each message as if it had just come, and corrects wrong verdicts
(reference/cli.md 8).  A corpus is a folder with a message in each file, a maildir, an
mbox file, or an index with lines `spam|ham PATH`.  The command mixes spam and innocent mail
evenly, in proportion to their numbers, innocent mail first.

`--spam` and `--ham` name what people have, in any place (`corpus_training`).  Of the other forms the output
is that of DSPAM 3.10.2.  This process does the work, in a fraction of the time
that a program for each message takes; with `--client` the daemon does it.  Unlike the
original it takes files in the order of their names, not in that of the file system.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dspamd.commands import corpus_training, dspam_stats, tool
from dspamd.commands.learner import RIGHT, Daemon, Learner, Local
from dspamd.commands.turns import Item, in_turns
from dspamd.engine.model import Label
from dspamd.errors import UsageError
from dspamd.evaluation.corpus import LABELS, UnusableCorpus, index_lines, messages
from dspamd.users.trust import login_name

if TYPE_CHECKING:
    from dspamd.app import Parts

USAGE = """\
Usage: dspam_train [username] [--client] [--profile=PROFILE] [spam_corpus] [nonspam_corpus]
       dspam_train [username] [--client] [--profile=PROFILE] -i [index]
       dspam_train [username] [--client] [--profile=PROFILE] --spam [place ...] --ham [place ...]
                   [--mode teft|toe|tum|tone] [--password-file file] [--again] [--verbose] [--json]
"""


@dataclass(frozen=True, slots=True)
class Options:
    user: str
    client: bool
    profile: str
    corpora: tuple[Path, ...]  # an index, or spam and innocent mail


COMMAND = tool.Command("dspam_train", USAGE)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 0, 1 wrong usage, 2 unusable corpus, 75 try again."""
    return tool.command(COMMAND, run, arguments)


def run(words: list[str]) -> int:
    if corpus_training.asked(words):
        rest, profile = tool.profile_of(words)
        wanted = corpus_training.parse(rest, profile)
        return tool.run(lambda parts: corpus_training.train(parts, wanted), profile)
    options = parse(words)
    return tool.run(lambda parts: train(parts, options), options.profile)


def parse(words: list[str]) -> Options:
    """The options of a command line; the default user is the caller.  Raises UsageError."""
    words, profile = tool.profile_of(words)
    rest = [word for word in words if word not in ("--client", "-c")]
    client = len(rest) < len(words)
    match rest:
        case ["-i", index, *names] | [*names, "-i", index]:
            corpora = [index]
        case [*names, spam, innocent]:
            corpora = [spam, innocent]
        case _:
            raise UsageError
    if len(names) > 1 or any(word.startswith("-") for word in (*names, *corpora)):
        raise UsageError
    user = names[0] if names else login_name(os.getuid())
    return Options(user, client, profile, tuple(map(Path, corpora)))


async def train(parts: Parts, options: Options) -> int:
    write, user = sys.stdout.write, (options.user,)
    write("Taking Snapshot...\n")
    await dspam_stats.show(parts, dspam_stats.Options("r", user))
    try:
        items = list(corpus(options))
    except (OSError, UnusableCorpus) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    learner = Daemon(options.profile) if options.client else Local(parts)
    taught = list[Item]()
    try:
        for item in items:
            await tool.uninterrupted(_teach(learner, options.user, item, taught))
    except asyncio.CancelledError:
        sys.stderr.write(
            f"dspam_train: {len(taught)} of {len(items)} messages are learned; "
            "called again, it learns them again (with --spam and --ham it would go on)\n"
        )
        raise
    write("TRAINING COMPLETE\n\nTraining Snapshot:\n")
    await dspam_stats.show(parts, dspam_stats.Options("Ss", user))
    write("\nOverall Statistics:\n")
    await dspam_stats.show(parts, dspam_stats.Options("S", user))
    return os.EX_OK


async def _teach(learner: Learner, user: str, item: Item, taught: list[Item]) -> None:
    """Classify a message, correct a wrong verdict, print one line, and add the message to `taught`."""
    content = await asyncio.to_thread(item.read)
    kind = "spam" if item.label is Label.SPAM else "nonspam"
    sys.stdout.write(f"[test: {kind:<7}] {item.name[:32]:<23} result: ")
    verdict = await learner.judge(user, content)
    if verdict is None:
        sys.stdout.write("BROKEN result!!\n")
    elif verdict.name in RIGHT[item.label]:
        sys.stdout.write("PASS\n")
    else:
        sys.stdout.write(f"FAIL ({verdict.name})\n")
        await learner.correct(user, item.label, verdict.signature)
    sys.stdout.flush()
    taught.append(item)


def corpus(options: Options) -> Iterator[Item]:
    """The messages in the order of the training.  Raises OSError and `UnusableCorpus`."""
    if len(options.corpora) == 1:
        sys.stdout.write(f"Training on {options.corpora[0]} index...\n")
        return _indexed(options.corpora[0])
    spam_path, innocent_path = options.corpora
    sys.stdout.write(f"Training {innocent_path} / {spam_path} corpora...\n")
    spam = [Item(Label.SPAM, name, place.read) for name, place in messages(spam_path)]
    innocent = [Item(Label.INNOCENT, name, place.read) for name, place in messages(innocent_path)]
    return in_turns(innocent, spam)


def _indexed(path: Path) -> Iterator[Item]:
    for _, label, name in index_lines(path):
        if label not in LABELS:
            raise UnusableCorpus(f"{path}: '{label}' is neither spam nor ham")
        yield Item(LABELS[label], name, (path.parent / name).read_bytes)


if __name__ == "__main__":
    sys.exit(main())
