"""One configuration at work: it judges message after message, and learns as it would in the daemon.

The decisions are those of `filter.decision`, the lessons those of `filter.training`, and both work on a
store in memory.  So it measures the code that runs.  It leaves out the rest of the path: scanners,
hand-over, quarantine, logs, and the preferences that a site's store keeps.

A replay can be pickled after any message, and goes on from there.
"""

from __future__ import annotations

import time
from array import array
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from dspamd.config.config import Config
from dspamd.engine.model import Label, Lesson, Source, TokenOptions
from dspamd.engine.scorers import scorer
from dspamd.engine.tokenizer import Tokens
from dspamd.evaluation.corpus import Item
from dspamd.evaluation.counted import CountedStorage
from dspamd.evaluation.feedback import Feedback
from dspamd.filter.decision import Decision, Decisions
from dspamd.filter.dictionary import Dictionaries
from dspamd.filter.passage import Passage
from dspamd.filter.training import recall, teach
from dspamd.filter.transaction import InboundMessage
from dspamd.home.home import Home
from dspamd.mail.view import SignaturePass
from dspamd.request.envelope import Envelope
from dspamd.request.recipients import Delivery, recipient_of
from dspamd.request.request import Request
from dspamd.telemetry.stopwatch import Stopwatch
from dspamd.users.users import Users

NOT_JUDGED = 0.5
"""The score of a message that passes without a verdict: it has no tokens, or is too large."""

_NEW_MAIL = Request()
_ANY_TIME = datetime(2000, 1, 1)  # in headers that nobody sees
_NOWHERE = Home(Path("/nonexistent"))


class Report(NamedTuple):
    """A correction that a user will make, before message number `due` comes."""

    due: int
    number: int  # of the message that it is about
    user: str
    signature: str
    label: Label


@dataclass(slots=True)
class Record:
    """What was observed, a value for each message, in the order of the replay."""

    labels: array[int] = field(default_factory=lambda: array("b"))  # 1: spam
    verdicts: array[int] = field(default_factory=lambda: array("b"))
    scores: array[float] = field(default_factory=lambda: array("d"))
    judged: array[int] = field(default_factory=lambda: array("b"))
    trained: array[int] = field(default_factory=lambda: array("b"))  # 1: it changed what its user knows
    corrections: int = 0
    seconds: dict[str, float] = field(default_factory=dict)  # of CPU, by stage

    def __len__(self) -> int:
        return len(self.labels)


class StoredMail(InboundMessage):
    """A message of which only the signature is left."""

    def __init__(self, signature: bytes, config: Config) -> None:
        super().__init__(Envelope(b"", (), b""))
        self._stored, self._recall = signature, scorer(config.Algorithm).recall

    async def tokens(self, options: TokenOptions, signature_pass: SignaturePass) -> Tokens:
        return self._recall(self._stored, options)


class Replay:
    """A configuration with its users, who know nothing at first."""

    def __init__(self, config: Config, order: str, feedback: Feedback, *, stored: bool = False) -> None:
        """`order` is the name of the order, on which chance depends; `stored`: messages are signatures."""
        self._config, self._order, self._feedback, self._stored = config, order, feedback, stored
        self.storage = CountedStorage()
        self.record = Record()
        self._reports: deque[Report] = deque()
        self._equip()

    def _equip(self) -> None:
        self._users = Users(self._config, self.storage, _NOWHERE)
        self._dictionaries = Dictionaries.of_site(self._config, self.storage)
        self._decisions = Decisions(self._config, self._dictionaries, lambda _: str(len(self.record)))

    def __getstate__(self) -> tuple[object, ...]:
        settings = self._config, self._order, self._feedback, self._stored
        return (*settings, self.storage, self.record, self._reports)

    def __setstate__(self, state: tuple[object, ...]) -> None:
        self._config, self._order, self._feedback, self._stored, self.storage, self.record, self._reports = (
            state  # type: ignore[assignment]
        )
        self._equip()

    async def process(self, item: Item) -> None:
        """Judge the next message, and learn from it; first come the reports that are due.

        Raises OSError if it cannot be read.
        """
        while self._reports and self._reports[0].due <= len(self.record):
            await self._correct(self._reports.popleft())
        content = item.read()
        watch, busy = Stopwatch(time.process_time), self.storage.seconds
        user = await self._users.resolve(item.user)
        mail = (
            StoredMail(content, self._config) if self._stored else InboundMessage(Envelope(b"", (), content))
        )
        decision = None
        if not 0 < self._config.MaxMessageSize < len(mail.message):
            delivery = Delivery(item.user, recipient_of(item.user), _NEW_MAIL)
            decision = await self._decisions.decide(
                Passage(mail, delivery, user, time=_ANY_TIME, watch=watch), None
            )
        if decision is not None and decision.uid is not None and decision.change is not None:
            await self.storage.apply(decision.uid, decision.change)
        watch.mark("learn")
        self._spend(watch, busy)
        await self._hear(item, decision)

    async def _hear(self, item: Item, decision: Decision | None) -> None:
        """Note the verdict, and what the user says of it."""
        record, number = self.record, len(self.record)
        spam, score = False, NOT_JUDGED
        if decision is not None:
            result = decision.verdict.result
            spam, score = result.spam, 0.0 if result.name == "Whitelisted" else result.probability
        report = self._report(item, number, decision, Label.SPAM if spam else Label.INNOCENT)
        record.labels.append(item.label is Label.SPAM)
        record.verdicts.append(spam)
        record.scores.append(score)
        record.judged.append(decision is not None)
        record.trained.append(decision is not None and _teaches(decision))
        if report is not None and self._feedback.delay:
            self._reports.append(report)
        elif report is not None:
            await self._correct(report)
        elif decision is not None and decision.uid is not None and decision.verdict.signature is not None:
            await self.storage.delete_signature(decision.uid, decision.verdict.signature)

    def _report(self, item: Item, number: int, decision: Decision | None, verdict: Label) -> Report | None:
        if decision is None or decision.verdict.signature is None:
            return None
        label = self._feedback.report(self._order, item.name, item.label, verdict)
        if label is None:
            return None
        due = number + 1 + self._feedback.delay
        return Report(due, number, item.user, decision.verdict.signature, label)

    async def _correct(self, report: Report) -> None:
        """Carry out a correction, and forget the signature: there will be no other."""
        watch, busy = Stopwatch(time.process_time), self.storage.seconds
        user, lesson = await self._users.resolve(report.user), Lesson(report.label, Source.ERROR)
        request = Request(lesson=lesson)
        dictionary = await self._dictionaries.of(user, create=False)
        recalled = await recall(dictionary, report.signature)
        written = self.storage.written.rows
        await teach(recalled, lesson, user.token_options(request), user.score_options(request))
        watch.mark("learn")
        self._spend(watch, busy)
        if self.storage.written.rows > written:
            self.record.corrections += 1
            self.record.trained[report.number] = 1
        await self.storage.delete_signature(recalled.uid, report.signature)

    def _spend(self, watch: Stopwatch, busy: float) -> None:
        """Add the time of each stage.  The store, busy for `busy` seconds before, is a stage of its own."""
        spent, store = self.record.seconds, self.storage.seconds - busy
        learn = watch.seconds["learn"] - (store - watch.seconds.get("store", 0.0))
        for stage, seconds in (watch.seconds | {"store": store, "learn": learn}).items():
            spent[stage] = spent.get(stage, 0.0) + seconds


def _teaches(decision: Decision) -> bool:
    """Whether new mail is learned, not only counted."""
    if decision.change is None:
        return False
    totals = decision.change.learned.totals
    return bool(totals.spam_learned or totals.innocent_learned or decision.change.block)
