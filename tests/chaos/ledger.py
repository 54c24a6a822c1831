"""The ledger of a run: the records of each party, as values.

Four parties keep records independently:

* we: the sent mails, the workers that we killed, and when, the times of trouble at the next hop,
  the client that vanished;
* the next hop: each copy that it took, when, and when it answered, if it did (`Arrival`);
* the client, Postfix: how each attempt ended for each recipient (`Attempt`);
* the daemon: its log (`Said`), and its dictionaries after the run (`Contents`).

Each hand-over has its own signature, which its worker made.  It is in the copy that arrived,
in the log, and in the dictionary, where the worker committed it together with the counters.
It joins all records of one hand-over; `audit` compares them.

All times are monotonic seconds, which are the same in all processes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from functools import cached_property

from dspamd.engine.model import Totals
from tests.chaos.mails import Mail

Copy = tuple[int, str]
"""A mail for one of its users: the number of the mail, and who."""


@dataclass(frozen=True)
class Kill:
    """The workers of the daemon that were killed together."""

    at: float
    workers: frozenset[int]


@dataclass(frozen=True)
class Trouble:
    """The next hop was dead or frozen."""

    begun: float
    over: float


@dataclass(frozen=True)
class Arrival:
    """A copy that the next hop took at `at`, and answered at `answered`, if it came to that."""

    at: float
    user: str
    content: bytes
    answered: float | None = None

    @cached_property
    def queue_id(self) -> str:
        """Postfix's name of the mail; empty if it did not come from Postfix."""
        return _first(_RECEIVED, self.content) or ""

    @cached_property
    def number(self) -> int | None:
        """The number of the mail, if it is one of ours."""
        found = _first(_SUBJECT, self.content)
        return None if found is None else int(found)

    @cached_property
    def signature(self) -> str:
        return _first(_SIGNATURE, self.content) or ""

    @cached_property
    def spam(self) -> bool:
        """The verdict, which is the class that was learned."""
        return _first(_RESULT, self.content) == "Spam"

    @cached_property
    def worker(self) -> int:
        """The process id of the worker that handed it over: after the time, before ten digits of chance."""
        return int(self.signature[8:-10] or 0)


class End(Enum):
    """How an attempt to hand a copy to the daemon ended for Postfix."""

    SENT = "sent"  # acknowledged
    REFUSED = "refused"  # deferred, after the whole message
    CUT = "cut"  # the connection was lost after the whole message was sent
    EARLIER = "earlier"  # anything before that


@dataclass(frozen=True)
class Attempt:
    """Postfix's record of an attempt, whose end it gives to the second."""

    queue_id: str
    user: str
    second: float
    end: End


class Word(Enum):
    """Events of the daemon's log that matter here."""

    MESSAGE = "message"  # handed over; the reply is next
    DEFERRED = "deferred"
    NOT_LEARNED = "not_learned"


@dataclass(frozen=True)
class Said:
    """A line of the daemon's log; its times are right unless its clock was set."""

    at: float
    word: Word
    queue_id: str = ""
    user: str = ""
    signature: str = ""
    reply: str = ""


@dataclass(frozen=True)
class Contents:
    """The dictionary of one user: totals, tokens of each signature, spam and innocent hits of each token.

    A scorer with weights has a block, and `lessons` is the sum of what the signatures say it was taught.
    """

    totals: Totals = Totals()  # noqa: RUF009  a tuple
    signatures: Mapping[str, frozenset[int]] = field(default_factory=dict)
    hits: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    block: bytes = b""
    lessons: bytes = b""


@dataclass(frozen=True)
class Ledger:
    """All of it."""

    mails: Sequence[Mail]
    arrivals: Sequence[Arrival]
    attempts: Sequence[Attempt]
    said: Sequence[Said]
    contents: Mapping[str, Contents]
    kills: Sequence[Kill] = ()
    troubles: Sequence[Trouble] = ()
    epoch: float = 0.0
    """The wall clock when the monotonic one was zero."""
    clocks: frozenset[int] = frozenset({0})
    """By how many seconds the clock of the daemon was ahead, now and then."""
    vanished: frozenset[int] = frozenset()
    """Mails whose client vanished after the final dot, without a reply."""
    on_server: bool = False
    """Whether a database server keeps the dictionaries: the answer to a commit can be lost."""


_RECEIVED = re.compile(rb"^Received: from [^\n]*\n[ \t]+by \S+ \(Postfix\) with \S+ id (\w+)", re.M)
_SUBJECT = re.compile(rb"^Subject: Chaos (\d+)\r?$", re.M)
_SIGNATURE = re.compile(rb"^X-DSPAM-Signature: (\w+)\r?$", re.M)
_RESULT = re.compile(rb"^X-DSPAM-Result: (\w+)\r?$", re.M)
_STATUS = re.compile(
    r"^(\w{3} [ \d]\d [\d:]{8}) \S+ postfix/lmtp\[\d+\]: (\w+): to=<(\w+)@.* status=(\w+) \((.*)\)$", re.M
)
_LINE = re.compile(r"^timestamp=(\S+) level=\w+ event=(message|deferred|not_learned) (.*)$", re.M)
_FIELD = re.compile(r'(\w+)=(?:"((?:[^"\\]|\\.)*)"|(\S*))')


def attempts_in(log: str, epoch: float) -> list[Attempt]:
    """The log of Postfix; `epoch` is the wall clock when the monotonic one was zero."""
    found, now = [], datetime.now()
    for stamp, queue_id, user, status, text in _STATUS.findall(log):
        wall = dated(stamp, now).timestamp()
        found.append(Attempt(queue_id, user, wall - epoch, _end(status, text)))
    return found


def dated(stamp: str, now: datetime) -> datetime:
    """The time that a log names without its year: the year before, if a new one has begun meanwhile."""
    years = (now.year, now.year - 1) if now.month == 1 else (now.year,)
    times = [datetime.strptime(f"{year} {stamp}", "%Y %b %d %H:%M:%S") for year in years]
    return min(times, key=lambda time: abs(time - now))


def said_in(log: str, epoch: float) -> list[Said]:
    """The log of the daemon."""
    found = []
    for stamp, event, rest in _LINE.findall(log):
        fields = {name: quoted or plain for name, quoted, plain in _FIELD.findall(rest)}
        known = {name: fields.get(name, "") for name in ("queue_id", "user", "signature", "reply")}
        found.append(Said(datetime.fromisoformat(stamp).timestamp() - epoch, Word(event), **known))
    return found


def _end(status: str, text: str) -> End:
    if status == "sent":
        return End.SENT
    if "while sending end of data" in text:
        return End.CUT
    return End.REFUSED if "in reply to end of DATA command" in text else End.EARLIER


def _first(pattern: re.Pattern[bytes], content: bytes) -> str | None:
    match = pattern.search(content, 0, 16384)
    return match[1].decode() if match else None
