"""dspam_admin learn-maildirs: learns what users do with the mail in their maildirs (`evaluation.maildirs`).

Mail in Junk is spam; mail that left Junk, or was read and kept for some days, is ham.  Mail whose class we
know already, from our verdict or from a later correction, teaches nothing.  We correct a message by its
signature if it has one, and learn others as mail of a corpus.

Nothing is printed without --verbose, a terminal, or trouble, so that cron has nothing to mail.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dspamd.commands.arguments import Arguments
from dspamd.commands.learner import Local
from dspamd.commands.tool import uninterrupted
from dspamd.engine.model import Label
from dspamd.errors import Failure, TempFail, UsageError
from dspamd.evaluation.maildir_memory import ENDING, Memory, Remembered
from dspamd.evaluation.maildirs import JUNK, SILENT, Entry, Names, Place, entries, look, read, users
from dspamd.file_errors import explained
from dspamd.filter.dictionary import Dictionaries
from dspamd.filter.training import UnknownSignature
from dspamd.mail.signature import id_of_text
from dspamd.maintenance.maintenance import Lock
from dspamd.telemetry import log

if TYPE_CHECKING:
    from dspamd.app import Parts

USAGE = """\
syntax: dspam_admin learn-maildirs [PATTERN] [option ...] [--profile=PROFILE]

Learn from what users do with the mail in their maildirs, which PATTERN or Maildirs of dspam.conf names.

	--user NAME      only this user; may be repeated
	--new-users      also users for whom no mail was filtered yet; they are passed over otherwise
	--kept DAYS      mail that was read and kept so long is ham (14); off: it says nothing
	--junk FOLDER    a folder for spam; may be repeated
	--silent FOLDER  a folder that says nothing; may be repeated
	--limit N        lessons for a user in one run (1000)
	--dry-run        print what it would learn
	--verbose        print the sums without a terminal, too
	--json           print an object instead of text
"""

_KEPT_DAYS = 14
_AT_ONCE = 1_000  # lessons for a user in a run
_DAY_S = 86_400


class Options(NamedTuple):
    """A command line."""

    pattern: str
    users: frozenset[str]
    names: Names
    kept: float | None  # days; None: mail that is kept says nothing
    limit: int
    new_users: bool
    dry_run: bool
    verbose: bool
    json: bool


def parse(words: Sequence[str]) -> Options:
    """The options after `learn-maildirs`.  Raises UsageError."""
    parser = Arguments("learn-maildirs")
    parser.add_argument("pattern", nargs="?", default="")
    for name in ("user", "junk", "silent"):
        parser.add_argument(f"--{name}", action="append", default=[])
    parser.add_argument("--kept", default=str(_KEPT_DAYS))
    parser.add_argument("--limit", type=int, default=_AT_ONCE)
    parser.flags("new-users", "dry-run", "verbose", "json")
    found = parser.parse_intermixed_args(list(words))
    if found.kept != "off" and not found.kept.isdecimal():
        raise UsageError(f"learn-maildirs: --kept: '{found.kept}' is neither days nor off")
    return Options(
        found.pattern,
        frozenset(found.user),
        Names.of(found.junk or JUNK, found.silent or SILENT),
        None if found.kept == "off" else float(found.kept),
        found.limit,
        found.new_users,
        found.dry_run,
        found.verbose,
        found.json,
    )


@dataclass(slots=True)
class Tally:
    """What a run has done."""

    users: int = 0
    spam: int = 0
    ham: int = 0
    by_signature: int = 0
    unusable: int = 0
    left: int = 0

    def __str__(self) -> str:
        text = f"{self.users} users: {self.spam} spam and {self.ham} ham learned"
        text += f", {self.by_signature} by signature"
        text += f"; {self.unusable} cannot be learned" * bool(self.unusable)
        return text + f"; {self.left} left for the next run" * bool(self.left)

    def data(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in self.__slots__}


async def learn(parts: Parts, options: Options) -> int:
    """Learn; 0, 1 for a maildir that cannot be read, 75 if the store failed.  Raises UsageError, OSError."""
    pattern = options.pattern or parts.config.Maildirs
    if not pattern:
        raise UsageError("learn-maildirs: a pattern is needed, or Maildirs in dspam.conf")
    lock = Lock(parts.home.path / "maildirs.lock", 0)
    if not await asyncio.to_thread(lock.take):
        sys.stderr.write("learn-maildirs: another run is learning\n" * options.verbose)
        return os.EX_OK
    try:
        found = [each for each in await asyncio.to_thread(users, pattern) if _chosen(each[0], options)]
        if not found:
            sys.stderr.write(f"learn-maildirs: {pattern}: there is no such maildir\n")
            return 1
        return await Run(parts, options).all(found)
    finally:
        lock.release()


def _chosen(user: str, options: Options) -> bool:
    return not options.users or user in options.users


class Run:
    """One look at the maildirs of all users."""

    def __init__(self, parts: Parts, options: Options) -> None:
        self._parts, self._options, self._learner = parts, options, Local(parts)
        self._tally, self._now = Tally(), time.time()

    async def all(self, found: Sequence[tuple[str, Path]]) -> int:
        """Learn for each of them; the exit status."""
        status = os.EX_OK
        try:
            for user, maildir in found:
                status = max(status, await self._user(user, maildir))
                self._tally.users += 1
                if status == os.EX_TEMPFAIL:
                    break
        except asyncio.CancelledError:
            sys.stderr.write(f"learn-maildirs: {self._tally}: the next run goes on from there\n")
            raise
        log.get().info("maildirs_learned", **self._tally.data())
        if self._options.json:
            sys.stdout.write(json.dumps(self._tally.data()) + "\n")
        elif self._options.verbose or sys.stdout.isatty():
            sys.stdout.write(f"learn-maildirs: {self._tally}\n")
        return status

    async def _user(self, user: str, maildir: Path) -> int:
        try:
            await self._learn(user, maildir)
        except OSError as error:
            sys.stderr.write(f"learn-maildirs: {user}: {explained(error, maildir)}\n")
            return 1
        except Failure as failure:
            sys.stderr.write(f"learn-maildirs: {user}: {failure}\n")
            return os.EX_TEMPFAIL if isinstance(failure, TempFail) else 1
        return os.EX_OK

    async def _learn(self, user: str, maildir: Path) -> None:
        """Learn from the mail of one user.  Raises OSError, `TempFail`, `PermFail`."""
        if not self._options.new_users and not await self._is_known(user):
            text = (
                f"no mail was filtered for {user} yet: is this the name of the user in dspamd? (--new-users)"
            )
            sys.stderr.write(f"learn-maildirs: {text}\n")
            return
        home = self._parts.home
        memory = await asyncio.to_thread(Memory, home.file(user, ENDING))
        found = await asyncio.to_thread(self._found, maildir, memory)
        if not self._options.dry_run:
            await asyncio.to_thread(home.prepare, home.file(user, ENDING))
        lessons = 0
        try:
            for before, mails in found:
                after = self._after(before, mails)
                if after is None or after.label is before.label:
                    memory.messages[before.key] = after or before
                elif lessons == self._options.limit:
                    self._tally.left += 1
                else:
                    lessons += 1
                    await uninterrupted(self._teach(user, memory, before, after, mails[0].path))
        finally:
            if not self._options.dry_run:
                present = {before.key for before, _ in found}
                await asyncio.to_thread(memory.save, present, int(self._now // _DAY_S))

    async def _is_known(self, user: str) -> bool:
        """Whether the user has a dictionary: what another name is taught would serve nobody."""
        users = self._parts.users
        dictionaries = Dictionaries.of_site(self._parts.config, self._parts.storage)
        resolved = await users.resolve(await users.verified(user))
        return (await dictionaries.of(resolved, create=False)).uid is not None

    def _found(self, maildir: Path, memory: Memory) -> list[tuple[Remembered, list[Entry]]]:
        """The messages in a maildir, as we remember them, with their files.  Blocks; raises OSError."""
        keys = {message.base: message.key for message in memory.messages.values()}
        before: dict[str, Remembered] = {}
        files = defaultdict[str, list[Entry]](list)
        for entry in entries(maildir, self._options.names):
            if (key := keys.get(entry.base)) is None:
                try:
                    known = look(entry.path)
                except OSError:  # a mail program is moving it: the next run finds it
                    continue
                key = keys[entry.base] = known.key
                if key not in memory.messages:
                    before.setdefault(key, Remembered(key, entry.base, Place.SILENT, known.label))
            before.setdefault(key, memory.messages.get(key) or before[key])
            files[key].append(entry)
        return [(message, files[key]) for key, message in before.items()]

    def _after(self, before: Remembered, mails: Sequence[Entry]) -> Remembered | None:
        """A message with its place and class of now; None while its copies contradict each other."""
        places = {mail.place for mail in mails}
        if places >= {Place.JUNK, Place.KEPT}:
            return None
        base = before.base if any(mail.base == before.base for mail in mails) else mails[0].base
        if Place.JUNK in places:
            return replace(before, base=base, place=Place.JUNK, label=Label.SPAM)
        if Place.KEPT not in places:  # where it lay before counts
            return replace(before, base=base)
        ham = before.place is Place.JUNK or any(map(self._kept, mails))
        return replace(before, base=base, place=Place.KEPT, label=Label.INNOCENT if ham else before.label)

    def _kept(self, mail: Entry) -> bool:
        """Whether the user has read a message and kept it long enough."""
        days = self._options.kept
        return days is not None and mail.seen and self._now - mail.arrived >= days * _DAY_S

    async def _teach(
        self, user: str, memory: Memory, before: Remembered, after: Remembered, path: str
    ) -> None:
        """Teach one message.  Raises `TempFail`, `PermFail`, OSError; then the next run does it."""
        label = after.label
        assert label is not None
        word = "spam" if label is Label.SPAM else "ham"
        if self._options.dry_run:
            sys.stdout.write(f"{user}: {word}: {path}\n")
            return
        if after.signature and await self._corrected(user, after.signature, label):
            await asyncio.to_thread(memory.note, after)  # the store takes a correction once anyway
            return
        await asyncio.to_thread(memory.note, after)
        try:
            await self._feed(user, label, path)
        except FileNotFoundError:  # a mail program is moving it
            memory.messages[before.key] = before
        except BaseException:
            memory.messages[before.key] = before
            raise

    async def _feed(self, user: str, label: Label, path: str) -> None:
        message = await asyncio.to_thread(read, path, None)
        # The user may have taught the text already, by moving the message in a mail program.
        if await self._corrected(user, id_of_text(message), label):
            return
        try:
            await self._learner.feed(user, label, message)
            self._count(label)
        except UnknownSignature:
            self._tally.unusable += 1

    async def _corrected(self, user: str, signature: str, label: Label) -> bool:
        """Whether there is such a signature: it may be too old, or another program made it."""
        with suppress(UnknownSignature):
            await self._learner.correct(user, label, signature)
            self._tally.by_signature += 1
            self._count(label)
            return True
        return False

    def _count(self, label: Label) -> None:
        if label is Label.SPAM:
            self._tally.spam += 1
        else:
            self._tally.ham += 1
