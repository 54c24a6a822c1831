"""What the daemon counts and times, under the names that Prometheus sees.

The numbers of all workers lie in memory that they share, a row for each process
(`Board`), so whoever is asked can tell the sum, without asking the others.  A worker
that takes the place of a dead or retired one goes on with its row: counters never fall.

Base units (seconds, bytes); labels have few values, all known here, never a user or an
address; what is not known counts as `other`.  Counting takes well below a microsecond
and cannot fail.  What is not the daemon counts as well, and nobody looks.
"""

from __future__ import annotations

import fcntl
import itertools
import mmap
import os
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

ROWS = 512
OTHER = "other"

_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60)
_BYTES = tuple(float(1 << exponent) for exponent in range(10, 28, 2))
_TOKENS = (10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0, 10000.0, 30000.0)


class Reading(NamedTuple):
    """The numbers of one combination of label values.

    Those of a histogram are its buckets, not cumulated, and the sum.
    """

    labels: tuple[str, ...]
    numbers: tuple[float, ...]


class Board:
    """Rows of numbers in memory that this process shares with those it forks.

    A process holds its row by a lock, which the kernel takes back when the process ends.
    """

    def __init__(self, width: int, rows: int = ROWS) -> None:
        self._width, self._rows = 1 + width, rows
        self._file = os.memfd_create("metrics")
        os.ftruncate(self._file, 8 * self._width * rows)
        self._cells = memoryview(mmap.mmap(self._file, 0)).cast("d")
        self._own = -1

    def claim(self) -> memoryview[float]:
        """A row of our own; one that nobody sees if all are taken."""
        for number in range(self._rows):
            if self._lock(number):
                self._own = number
                self._cells[number * self._width] = 1.0  # it is in use
                return self._row(number)
        return memoryview(bytearray(8 * self._width)).cast("d")[1:]

    def rows(self, *, living: bool = False) -> list[memoryview[float]]:
        """All rows that ever were in use, or only those of processes that live."""
        used = itertools.takewhile(lambda number: self._cells[number * self._width], range(self._rows))
        return [self._row(number) for number in used if not living or self._lives(number)]

    def _row(self, number: int) -> memoryview[float]:
        return self._cells[number * self._width + 1 : (number + 1) * self._width]

    def _lives(self, number: int) -> bool:
        if number == self._own:
            return True
        if not self._lock(number):
            return True
        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, number)
        return False

    def _lock(self, number: int) -> bool:
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
        except OSError:
            return False
        return True


class Metric:
    """A name with its help, and a place in each row for each combination of label values."""

    width = 1

    def __init__(self, name: str, help: str, **labels: Sequence[str]) -> None:
        self.name, self.help = name, help
        self.labels = tuple(labels)
        self._at: dict[tuple[str, ...], int] = {}
        self._values: Mapping[str, Sequence[str]] = labels

    def place(self, first: int) -> int:
        """Take the places from `first` on; returns the first one after them."""
        for values in itertools.product(*self._values.values()):
            self._at[values] = first
            first += self.width
        return first

    def readings(self) -> list[Reading]:
        """The numbers of all processes together, for each combination of label values."""
        rows = self._rows()
        return [
            Reading(values, tuple(self._join(row[at + step] for row in rows) for step in range(self.width)))
            for values, at in self._at.items()
        ]

    def _rows(self) -> list[memoryview[float]]:
        return _board.rows() if _board else [_row]

    def _join(self, numbers: Iterable[float]) -> float:
        return sum(numbers)

    def _find(self, values: tuple[str, ...]) -> int:
        """The place of some label values, of which unknown ones become `other`."""
        try:
            return self._at[values]
        except KeyError:
            known = zip(values, self._values.values(), strict=True)
            return self._at[tuple(value if value in allowed else OTHER for value, allowed in known)]


class Counter(Metric):
    """Only ever rises."""

    def add(self, *values: str, by: float = 1.0) -> None:
        _row[self._find(values)] += by


class Gauge(Metric):
    """What is, in processes that live."""

    def add(self, *values: str, by: float) -> None:
        _row[self._find(values)] += by

    @contextmanager
    def counted(self, *values: str) -> Iterator[None]:
        """One more while the block runs."""
        self.add(*values, by=1)
        try:
            yield
        finally:
            self.add(*values, by=-1)

    def _rows(self) -> list[memoryview[float]]:
        return _board.rows(living=True) if _board else [_row]

    def reset(self) -> None:
        """Forget what a former owner of our row was doing when it died."""
        for at in self._at.values():
            _row[at] = 0.0


class Latest(Metric):
    """When something happened last, in seconds since 1970; 0: never."""

    def set(self, when: float) -> None:
        _row[self._at[()]] = when

    def _join(self, numbers: Iterable[float]) -> float:
        return max(numbers)


class Histogram(Metric):
    """How often which values occurred; `bounds` are the upper ends of the buckets but the last."""

    def __init__(self, name: str, help: str, bounds: Sequence[float], **labels: Sequence[str]) -> None:
        super().__init__(name, help, **labels)
        self.bounds = tuple(bounds)
        self.width = len(bounds) + 2

    def observe(self, value: float, *values: str) -> None:
        at = self._find(values)
        _row[at + bisect_left(self.bounds, value)] += 1.0
        _row[at + self.width - 1] += value


STAGES = ("parse", "scan", "tokens", "store", "classify", "handover", "commit")
DRIVERS = ("sqlite", "hash", "mysql", "postgresql")
OPERATIONS = ("uid", "read", "apply", "signature", "preferences", OTHER)

MESSAGES = Counter(
    "dspamd_messages_total",
    "Messages processed, once for each recipient, by what they were found to be and why they came.",
    result=("Innocent", "Spam", "Whitelisted", "Virus", "Blacklisted", "Blocklisted", "Unfiltered", OTHER),
    source=("inbound", "error", "corpus", "inoculation"),
)
STAGE_SECONDS = Histogram(
    "dspamd_message_seconds", "Time that each stage of a message took.", _SECONDS, stage=STAGES
)
MESSAGE_BYTES = Histogram("dspamd_message_bytes", "Size of messages.", _BYTES)
MESSAGE_TOKENS = Histogram("dspamd_tokens_per_message", "Tokens in messages that were judged.", _TOKENS)
TRAINING = Counter(
    "dspamd_training_total",
    "Lessons: corrections, corpus and inoculations, by what they teach and what became of them.",
    **{
        "class": ("spam", "innocent"),
        "source": ("error", "corpus", "inoculation"),
        "outcome": ("learned", "refused", "forbidden", "failed"),
    },
)
LAST_TRAINING = Latest("dspamd_last_training_timestamp_seconds", "When a lesson was learned last.")
NOT_LEARNED = Counter("dspamd_not_learned_total", "Messages delivered of which nothing could be learned.")
UNFILTERED = Counter(
    "dspamd_unfiltered_total",
    "Messages that were delivered without a verdict: storage down, too large, not wanted, nothing to judge.",
    reason=("storage", "size", "opted_out", "not_judged"),
)
LMTP_REPLIES = Counter(
    "dspamd_lmtp_replies_total",
    "Replies to messages, one for each recipient.",
    code_class=("2xx", "4xx", "5xx"),
)
TURNED_AWAY = Counter(
    "dspamd_turned_away_total",
    "Clients and messages refused because a limit was reached (ServerMax..., ServerTimeout).",
    reason=("connections", "memory", "size", "timeout"),
)
LMTP_CONNECTIONS = Gauge("dspamd_lmtp_connections", "Open connections of mail servers and dspamc.")
HANDOVER_SECONDS = Histogram(
    "dspamd_handover_seconds", "Time until the next hop had taken a message.", _SECONDS
)
HANDOVER_FAILURES = Counter(
    "dspamd_handover_failures_total",
    "Messages that the next hop did not take.",
    reason=("unreachable", "broken", "deferred", "refused", OTHER),
)
DELIVERY_CONNECTIONS = Gauge(
    "dspamd_delivery_connections",
    "Connections to the next hops: in use by a message, messages that wait for one, and how many there "
    "may be (DeliveryConnections for each next hop spoken to).",
    state=("used", "waiting", "limit"),
)
LAST_HANDOVER = Latest("dspamd_last_handover_timestamp_seconds", "When the next hop answered last.")
LAST_UNREACHED = Latest(
    "dspamd_last_unreached_timestamp_seconds", "When the next hop was last not to be reached."
)
STORAGE_SECONDS = Histogram(
    "dspamd_storage_seconds",
    "Time of operations of the storage.",
    _SECONDS,
    driver=DRIVERS,
    operation=OPERATIONS,
)
STORAGE_ERRORS = Counter(
    "dspamd_storage_errors_total",
    "Operations of the storage that failed.",
    driver=DRIVERS,
    kind=("unreachable", "temporary", "permanent"),
)
POOL_CONNECTIONS = Gauge(
    "dspamd_storage_pool_connections",
    "Connections to the database server in use, and wanted: those in use, and what waits for one.",
    state=("used", "wanted"),
)
PURGED = Counter("dspamd_purged_rows_total", "What purging removed.", rule=("tokens", "signatures"))
LAST_PURGE = Latest("dspamd_last_purge_timestamp_seconds", "When the daemon finished purging last.")
LOOP_LAG = Histogram(
    "dspamd_event_loop_lag_seconds",
    "How late the event loop of a worker was, looked at every second.",
    _SECONDS,
)

METRICS: tuple[Metric, ...] = tuple(each for each in globals().values() if isinstance(each, Metric))


def _place() -> int:
    first = 0
    for metric in METRICS:
        first = metric.place(first)
    return first


_width = _place()
_row: memoryview[float] = memoryview(bytearray(8 * _width)).cast("d")
_board: Board | None = None


def share() -> None:
    """From now on the processes that this one forks count together."""
    global _board
    _board = Board(_width)


def claim() -> None:
    """In such a process: count in a row of our own."""
    global _row
    if _board is None:
        return
    _row = _board.claim()
    for metric in METRICS:
        if isinstance(metric, Gauge):
            metric.reset()
