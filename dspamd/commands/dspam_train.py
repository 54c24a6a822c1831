"""dspam_train: teaches a user's dictionary with a corpus, and measures the success.

It classifies each message as if it had just come, and corrects wrong verdicts
(reference/cli.md 8).  A corpus is a folder with a message in each file, a maildir, an
mbox file, or an index with lines `spam|ham PATH`.  The command mixes spam and innocent mail
evenly, in proportion to their numbers, innocent mail first.

The output is that of DSPAM 3.10.2.  This process does the work, in a fraction of the time
that a program for each message takes; with `--client` the daemon does it.  Unlike the
original it takes files in the order of their names, not in that of the file system.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from dspamd.commands import dspam_stats, tool
from dspamd.engine.model import Label
from dspamd.errors import Failure, UsageError
from dspamd.evaluation.corpus import LABELS, UnusableCorpus, index_lines, messages
from dspamd.filter.transaction import InboundMessage
from dspamd.request.envelope import Envelope
from dspamd.request.recipients import Delivery, recipient_of, requested
from dspamd.users.trust import login_name

if TYPE_CHECKING:
    from dspamd.app import Parts
    from dspamd.filter.verdict import Outcome

USAGE = """\
Usage: dspam_train [username] [--client] [--profile=PROFILE] [spam_corpus] [nonspam_corpus]
       dspam_train [username] [--client] [--profile=PROFILE] -i [index]
"""
_RIGHT = {Label.SPAM: ("Spam", "Blacklisted"), Label.INNOCENT: ("Innocent", "Whitelisted")}
_SUMMARY = re.compile(rb'class="([^"]*)".*signature=(\S+)')


class Item(NamedTuple):
    """A message of a corpus."""

    label: Label
    name: str
    read: Callable[[], bytes]


class Verdict(NamedTuple):
    """The name of the verdict, and the signature for a correction."""

    name: str
    signature: str


class Learner(Protocol):
    """A filter that learns."""

    async def judge(self, user: str, message: bytes) -> Verdict | None:
        """Process a message as new mail; None if it got no verdict."""

    async def correct(self, user: str, label: Label, signature: str) -> None: ...


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
    for item in items:
        await _teach(learner, options.user, item)
    write("TRAINING COMPLETE\n\nTraining Snapshot:\n")
    await dspam_stats.show(parts, dspam_stats.Options("Ss", user))
    write("\nOverall Statistics:\n")
    await dspam_stats.show(parts, dspam_stats.Options("S", user))
    return os.EX_OK


async def _teach(learner: Learner, user: str, item: Item) -> None:
    """Classify a message, correct a wrong verdict, and print one line."""
    content = await asyncio.to_thread(item.read)
    kind = "spam" if item.label is Label.SPAM else "nonspam"
    sys.stdout.write(f"[test: {kind:<7}] {item.name[:32]:<23} result: ")
    verdict = await learner.judge(user, content)
    if verdict is None:
        sys.stdout.write("BROKEN result!!\n")
    elif verdict.name in _RIGHT[item.label]:
        sys.stdout.write("PASS\n")
    else:
        sys.stdout.write(f"FAIL ({verdict.name})\n")
        await learner.correct(user, item.label, verdict.signature)
    sys.stdout.flush()


class Local:
    """The filter in this process."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def judge(self, user: str, message: bytes) -> Verdict | None:
        outcome = await self._process(user, message, "--deliver=summary")
        verdict = outcome.verdict
        return None if verdict is None else Verdict(verdict.result.name, verdict.signature or "")

    async def correct(self, user: str, label: Label, signature: str) -> None:
        options = (f"--class={label.value}", "--source=error", f"--signature={signature}")
        await self._process(user, b"\n\n", *options)

    async def _process(self, user: str, message: bytes, *options: str) -> Outcome:
        request = requested(self._parts.config, ("--user", user, *options))
        mail = InboundMessage(Envelope(b"", (), message))
        return await self._parts.pipeline.process(mail, Delivery(user, recipient_of(user), request))


class Daemon:
    """The filter behind dspamc."""

    def __init__(self, profile: str) -> None:
        self._profile = [f"--profile={profile}"] if profile else []

    async def judge(self, user: str, message: bytes) -> Verdict | None:
        printed = await self._ask(user, message, "--deliver=summary", "--stdout")
        found = _SUMMARY.search(printed)
        return Verdict(found[1].decode(), found[2].decode()) if found else None

    async def correct(self, user: str, label: Label, signature: str) -> None:
        await self._ask(user, b"", f"--class={label.value}", "--source=error", f"--signature={signature}")

    async def _ask(self, user: str, message: bytes, *options: str) -> bytes:
        """What dspamc prints.  Raises `Failure` if it fails; it said why on standard error."""
        words = ("-m", "dspamd.commands.dspamc", "--user", user, *options, *self._profile)
        pipe = asyncio.subprocess.PIPE
        client = await asyncio.create_subprocess_exec(sys.executable, *words, stdin=pipe, stdout=pipe)
        printed, _ = await client.communicate(message)
        if client.returncode:
            raise Failure("dspamc failed", detail=f"exit status {client.returncode}")
        return printed


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


def in_turns(innocent: Sequence[Item], spam: Sequence[Item]) -> Iterator[Item]:
    """Mix both in proportion, beginning with an innocent one."""
    ratio = len(innocent) / len(spam) if spam else 0.0
    done = 0
    for number, item in enumerate(spam):
        due = max(number + 1 if ratio >= 1 else 1, round(number * ratio))
        yield from innocent[done:due]
        done = max(done, due)
        yield item
    yield from innocent[done:]


def _indexed(path: Path) -> Iterator[Item]:
    for _, label, name in index_lines(path):
        if label not in LABELS:
            raise UnusableCorpus(f"{path}: '{label}' is neither spam nor ham")
        yield Item(LABELS[label], name, (path.parent / name).read_bytes)


if __name__ == "__main__":
    sys.exit(main())
