"""What the daemon counts and times, under the names that Prometheus sees.

The composition root makes one `Metrics` and passes it to every part that counts.  The numbers of
all workers lie in shared memory (`board.py`), so each worker knows the sum without asking the
others.  A label never names a user or an address.  A command counts as well, for itself.
"""

from __future__ import annotations

from collections.abc import Iterator

from dspamd.telemetry.board import ROWS, Board
from dspamd.telemetry.metric import OTHER, Counter, Gauge, Histogram, Latest, Metric

_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60)
_BYTES = tuple(float(1 << exponent) for exponent in range(10, 28, 2))
_TOKENS = (10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0, 10000.0, 30000.0)
STAGES = ("parse", "scan", "tokens", "store", "classify", "handover", "commit")
DRIVERS = ("sqlite", "hash", "mysql", "postgresql")
OPERATIONS = ("uid", "read", "apply", "signature", "preferences", OTHER)


class Metrics:
    """All metrics of one daemon, each an attribute; iterating gives them in the order of the exposition."""

    def __init__(self) -> None:
        self.messages = Counter(
            "dspamd_messages_total",
            "Messages processed, once for each recipient, by result and source.",
            result=(
                "Innocent",
                "Spam",
                "Whitelisted",
                "Virus",
                "Blacklisted",
                "Blocklisted",
                "Unfiltered",
                OTHER,
            ),
            source=("inbound", "error", "corpus", "inoculation"),
        )
        self.stage_seconds = Histogram(
            "dspamd_message_seconds", "Time that each stage of a message took.", _SECONDS, stage=STAGES
        )
        self.message_bytes = Histogram("dspamd_message_bytes", "Size of messages.", _BYTES)
        self.message_tokens = Histogram(
            "dspamd_tokens_per_message", "Tokens in messages that were scored.", _TOKENS
        )
        self.training = Counter(
            "dspamd_training_total",
            "Lessons: corrections, corpus and inoculations, by class, source and outcome.",
            **{
                "class": ("spam", "innocent"),
                "source": ("error", "corpus", "inoculation"),
                "outcome": ("learned", "refused", "forbidden", "failed"),
            },
        )
        self.last_training = Latest(
            "dspamd_last_training_timestamp_seconds", "When the last lesson was learned."
        )
        self.not_learned = Counter(
            "dspamd_not_learned_total", "Messages that were delivered and could not be learned."
        )
        self.last_changed = Latest(
            "dspamd_last_change_timestamp_seconds", "When the storage took what a message teaches last."
        )
        self.last_unchanged = Latest(
            "dspamd_last_change_refused_timestamp_seconds", "When the storage could be read only last."
        )
        self.shadow_verdicts = Counter(
            "dspamd_shadow_verdicts_total",
            "New mail by our verdict and by that of ShadowAlgorithm, which decides nothing.",
            ours=("spam", "innocent"),
            shadow=("spam", "innocent"),
        )
        self.shadow_corrections = Counter(
            "dspamd_shadow_corrections_total",
            "Mistakes that users corrected, each once, by what ShadowAlgorithm said on arrival.",
            shadow=("right", "wrong"),
        )
        self.unfiltered = Counter(
            "dspamd_unfiltered_total",
            "Messages that were delivered without a verdict: storage down, too large, opted out, no tokens.",
            reason=("storage", "size", "opted_out", "not_judged"),
        )
        self.lmtp_replies = Counter(
            "dspamd_lmtp_replies_total",
            "Replies to messages, one for each recipient.",
            code_class=("2xx", "4xx", "5xx"),
        )
        self.turned_away = Counter(
            "dspamd_turned_away_total",
            "Clients and messages refused because of a limit (ServerMax..., ServerTimeout).",
            reason=("connections", "memory", "size", "timeout"),
        )
        self.lmtp_connections = Gauge(
            "dspamd_lmtp_connections", "Open connections of mail servers and dspamc."
        )
        self.handover_seconds = Histogram(
            "dspamd_handover_seconds", "Time until the next hop took a message.", _SECONDS
        )
        self.handover_failures = Counter(
            "dspamd_handover_failures_total",
            "Messages that the next hop did not take.",
            reason=("unreachable", "broken", "deferred", "refused", OTHER),
        )
        self.delivery_connections = Gauge(
            "dspamd_delivery_connections",
            "Connections to the next hops: in use by a message, messages that wait for one, "
            "and the limit (DeliveryConnections for each next hop in use).",
            state=("used", "waiting", "limit"),
        )
        self.last_handover = Latest(
            "dspamd_last_handover_timestamp_seconds", "When a next hop answered last."
        )
        self.last_unreached = Latest(
            "dspamd_last_unreached_timestamp_seconds", "When a next hop could not be reached last."
        )
        self.storage_seconds = Histogram(
            "dspamd_storage_seconds",
            "Duration of storage operations.",
            _SECONDS,
            driver=DRIVERS,
            operation=OPERATIONS,
        )
        self.storage_errors = Counter(
            "dspamd_storage_errors_total",
            "Storage operations that failed.",
            driver=DRIVERS,
            kind=("unreachable", "temporary", "permanent"),
        )
        self.pool_connections = Gauge(
            "dspamd_storage_pool_connections",
            "Connections to the database server: in use, and wanted (in use, or waited for).",
            state=("used", "wanted"),
        )
        self.purged = Counter(
            "dspamd_purged_rows_total", "Rows that purges removed.", rule=("tokens", "signatures")
        )
        self.last_purge = Latest(
            "dspamd_last_purge_timestamp_seconds", "When the daemon finished its last purge."
        )
        self.loop_lag = Histogram(
            "dspamd_event_loop_lag_seconds",
            "Delay of the event loop of a worker, measured every second.",
            _SECONDS,
        )

        self._all = tuple(each for each in vars(self).values() if isinstance(each, Metric))
        self._width = 0
        for metric in self._all:
            self._width = metric.place(self._width)
        self._board: Board | None = None
        self._row = memoryview(bytearray(8 * self._width)).cast("d")
        self._place()

    def __iter__(self) -> Iterator[Metric]:
        return iter(self._all)

    def share(self, rows: int = ROWS) -> None:
        """From now on the processes that this one forks count together, up to `rows` of them."""
        self._board = Board(self._width, rows)
        self._place()

    def claim(self) -> None:
        """In a process that counts with others: count in a row of our own."""
        if self._board is None:
            return
        self._row = self._board.claim()
        self._place()
        for metric in self._all:
            if isinstance(metric, Gauge):
                metric.reset()

    @property
    def board(self) -> Board | None:
        """The rows of all processes, once they are shared."""
        return self._board

    def _place(self) -> None:
        for metric in self._all:
            metric.count_in(self._row, self._board)
