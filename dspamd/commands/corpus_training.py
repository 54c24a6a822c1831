"""dspam_train --spam ... --ham ...: teaches what people have, and goes on where it was interrupted.

Places are folders with a message in each file, maildirs, mboxes, single messages, and folders of a mail
server (`evaluation.imap`).  Spam and ham take turns.  A message that was learned is never learned again
(`position`), wherever it lies then.

Results go to standard output; the progress to a terminal; what is in trouble to standard error.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dspamd.commands.arguments import Arguments
from dspamd.commands.learner import RIGHT, Daemon, Learner, Local
from dspamd.commands.position import ENDING, Position, digest_of
from dspamd.commands.progress import Bar
from dspamd.commands.tool import uninterrupted
from dspamd.commands.turns import Item, in_turns
from dspamd.engine.model import Label, Mode
from dspamd.evaluation.corpus import UnusableCorpus, messages
from dspamd.evaluation.imap import SCHEMES, Folder
from dspamd.file_errors import explained
from dspamd.users.trust import login_name

if TYPE_CHECKING:
    from dspamd.app import Parts

LEARNING = tuple(mode.value for mode in Mode if mode is not Mode.NOTRAIN)
PASSWORD = "DSPAM_IMAP_PASSWORD"
"""The variable of the environment with the password for mail servers, without --password-file."""

_RECENT = 500  # verdicts that the running accuracy is about


class Options(NamedTuple):
    """A command line."""

    user: str
    spam: tuple[str, ...]
    ham: tuple[str, ...]
    client: bool = False
    profile: str = ""
    mode: str = ""
    password_file: str = ""
    again: bool = False
    verbose: bool = False
    json: bool = False


def asked(words: Sequence[str]) -> bool:
    """Whether a command line has this form."""
    return "--spam" in words or "--ham" in words


def parse(words: Sequence[str], profile: str) -> Options:
    """The options of a command line; the default user is the caller.  Raises UsageError."""
    parser = Arguments()
    parser.add_argument("user", nargs="?")
    for name in ("spam", "ham"):
        parser.add_argument(f"--{name}", nargs="+", action="extend", default=[])
    parser.add_argument("-c", "--client", action="store_true")
    parser.add_argument("--mode", choices=LEARNING, default="")
    parser.add_argument("--password-file", default="")
    parser.flags("again", "verbose", "json")
    found = vars(parser.parse_intermixed_args(list(words)))
    found |= {"spam": tuple(found["spam"]), "ham": tuple(found["ham"]), "profile": profile}
    found["user"] = found["user"] or login_name(os.getuid())
    return Options(**found)


@dataclass(slots=True)
class Course:
    """What a training has done."""

    count: int
    started: float
    learned: dict[Label, int] = field(default_factory=lambda: {Label.SPAM: 0, Label.INNOCENT: 0})
    right: int = 0
    known: int = 0
    left_out: int = 0
    recent: deque[bool] = field(default_factory=lambda: deque(maxlen=_RECENT))

    @property
    def done(self) -> int:
        return sum(self.learned.values())

    @property
    def looked_at(self) -> int:
        return self.done + self.known + self.left_out

    @property
    def rate(self) -> float:
        """Messages learned in a second."""
        return self.done / max(time.monotonic() - self.started, 1e-3)

    @property
    def running(self) -> float:
        """Percent of the recent verdicts that were right."""
        return 100 * sum(self.recent) / max(len(self.recent), 1)

    def note(self, label: Label, *, right: bool) -> None:
        self.learned[label] += 1
        self.right += right
        self.recent.append(right)

    def __str__(self) -> str:
        spam, ham = self.learned[Label.SPAM], self.learned[Label.INNOCENT]
        text = f"{spam} spam and {ham} ham of {self.count} messages learned"
        text += f"; {self.known} known before" * bool(self.known)
        text += f"; {self.left_out} left out" * bool(self.left_out)
        if self.done:
            last = len(self.recent)
            text += f"; {100 * self.right / self.done:.1f} % right, {self.running:.1f} % of the last {last}"
        return f"{text}; {self.rate:.0f}/s"

    def data(self, user: str) -> dict[str, object]:
        return {
            "user": user,
            "messages": self.count,
            "spam": self.learned[Label.SPAM],
            "ham": self.learned[Label.INNOCENT],
            "right": self.right,
            "known": self.known,
            "left_out": self.left_out,
            "per_second": round(self.rate, 1),
        }


async def train(parts: Parts, options: Options) -> int:
    """Teach; 0, 1 if a message had to be left out, 2 for a place that cannot be read, 75 try again.

    Raises `TempFail`, `PermFail`; the same command goes on from there.
    """
    modes = (f"--mode={options.mode}",) if options.mode else ()
    learner = Daemon(options.profile, modes) if options.client else Local(parts, modes)
    with ExitStack() as places:
        try:
            items = await asyncio.to_thread(_items, options, places)
        except UnusableCorpus as error:
            sys.stderr.write(f"dspam_train: {error}\n")
            return error.exit_status
        return await _train(parts, options, learner, items)


async def _train(parts: Parts, options: Options, learner: Learner, items: Sequence[Item]) -> int:
    path = await asyncio.to_thread(parts.home.prepare, parts.home.file(options.user, ENDING))
    with closing(await asyncio.to_thread(Position, path)) as position:
        if options.again:
            position.forget()
        course = await Training(learner, options, position, items).run()
    if options.json:
        sys.stdout.write(json.dumps(course.data(options.user)) + "\n")
    else:
        sys.stdout.write(f"{options.user}: {course}\n")
    return 1 if course.left_out else os.EX_OK


class Unjudged(Exception):
    """The filter passes a message on without a verdict: it is too big, empty, or its user opted out."""


class Training:
    """The lessons of some messages."""

    def __init__(self, learner: Learner, options: Options, position: Position, items: Sequence[Item]) -> None:
        self._learner, self._options, self._position, self._items = learner, options, position, items
        self._course = Course(len(items), time.monotonic())

    async def run(self) -> Course:
        """Teach them.  If it is interrupted or fails, it says how far it came."""
        course, bar, ended = self._course, Bar(), False
        try:
            for item in self._items:
                await uninterrupted(self._look_at(item))
                bar.show(
                    course.looked_at / course.count, f"{course.rate:.0f}/s, {course.running:.1f} % right"
                )
            ended = True
        finally:
            bar.end()
            if not ended:
                sys.stderr.write(f"{self._options.user}: {course}: the same command goes on from there\n")
        return course

    async def _look_at(self, item: Item) -> None:
        """Learn a message, unless it is known."""
        if item.key and self._position.knows(digest_of(item.key.encode())):
            self._course.known += 1
            return
        try:
            content = await asyncio.to_thread(item.read)
        except OSError as error:  # a mail program has moved it meanwhile
            self._leave_out(explained(error, item.name))
            return
        digests = [digest_of(text) for text in (content, item.key.encode()) if text]
        if not digests or self._position.knows(digests[0]):
            self._course.known += 1
            return
        try:
            with self._position.taken(*digests):
                await self._teach(item, content)
        except Unjudged:
            self._leave_out(f"{item.name}: the filter gives it no verdict")

    async def _teach(self, item: Item, content: bytes) -> None:
        verdict = await self._learner.judge(self._options.user, content)
        if verdict is None:
            raise Unjudged
        right = verdict.name in RIGHT[item.label]
        if not right:
            await self._learner.correct(self._options.user, item.label, verdict.signature)
        self._course.note(item.label, right=right)
        if self._options.verbose:
            sys.stdout.write(f"{item.name}: {'right' if right else f'wrong ({verdict.name})'}\n")

    def _leave_out(self, why: str) -> None:
        self._course.left_out += 1
        sys.stderr.write(f"dspam_train: {why}\n")


def _items(options: Options, places: ExitStack) -> list[Item]:
    """The messages of all places, in turns; `places` keeps them open.

    Blocks; raises `UnusableCorpus`, `TempFail`.
    """
    spam, ham = (
        [item for place in named for item in _of_place(label, place, options, places)]
        for label, named in ((Label.SPAM, options.spam), (Label.INNOCENT, options.ham))
    )
    return list(in_turns(ham, spam))


def _of_place(label: Label, place: str, options: Options, places: ExitStack) -> Iterator[Item]:
    if place.partition("://")[0] in SCHEMES:
        folder = places.enter_context(closing(Folder(place, _password(options))))
        for name, key, read in folder.messages():
            yield Item(label, name, read, key)
        return
    try:
        found = messages(Path(place))
    except OSError as error:
        raise UnusableCorpus(explained(error, place)) from error
    for name, message in found:
        yield Item(label, name, message.read)


def _password(options: Options) -> str:
    """The password for mail servers, which no command line shows.  Raises `UnusableCorpus`."""
    if options.password_file:
        try:
            return Path(options.password_file).read_text("utf-8").splitlines()[0]
        except (OSError, UnicodeDecodeError) as error:
            raise UnusableCorpus(f"{options.password_file}: {error}") from error
        except IndexError:
            raise UnusableCorpus(f"{options.password_file}: there is no password in it") from None
    if PASSWORD in os.environ:
        return os.environ[PASSWORD]
    raise UnusableCorpus(f"a mail server needs a password: --password-file, or {PASSWORD} in the environment")
