"""The report of a message: its line in the log, the metrics, the details for `Debug`.

The line has the recipient, the result, the confidence, the time of each stage, and the
next hop's answer.  It has the queue ids of both mail servers, so that one search
follows the mail.

`Debug` names users and `DebugOpt` kinds of operation (reference/config.md 4.1).  Their messages are
logged in detail in `LogDirectory`/dspam.debug: settings, times, the most significant tokens.  No
other log has any content of a message.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from dspamd.config.config import Config
from dspamd.engine.model import Label, Lesson, Source
from dspamd.engine.scorers import Run
from dspamd.errors import PermFail
from dspamd.filter.passage import Passage
from dspamd.filter.transaction import InboundMessage
from dspamd.filter.verdict import Outcome, Verdict
from dspamd.request.recipients import Delivery
from dspamd.request.request import Request
from dspamd.telemetry import log
from dspamd.telemetry.log_target import File
from dspamd.telemetry.metrics import Metrics


class MessageLog:
    """Logs and counts messages and lessons."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def decided(self, passage: Passage, verdict: Verdict, outcome: Outcome, tokens: int | None) -> None:
        """Log and count a message that got a verdict."""
        mail, watch = passage.mail, passage.watch
        result, source, size, seconds = verdict.result, verdict.source, len(mail.message), watch.seconds
        log.get().info(
            "message",
            queue_id=mail.envelope.queue_id,
            message_id=mail.fields.message_id or None,
            user=passage.user.name,
            rcpt=passage.delivery.recipient.text,
            result=result.name,
            source=source.value if source else None,
            probability=round(result.probability, 4),
            confidence=round(result.confidence, 4),
            signature=verdict.signature,
            size=size,
            tokens=tokens,
            **{f"{stage}_ms": round(spent * 1000, 1) for stage, spent in seconds.items()},
            total_ms=round(watch.total * 1000, 1),
            next=str(outcome.reply),
        )
        self._metrics.messages.add(result.name, source.value if source else "inbound")
        self._metrics.message_bytes.observe(size)
        if tokens is not None:
            self._metrics.message_tokens.observe(tokens)
        for stage, spent in seconds.items():
            self._metrics.stage_seconds.observe(spent, stage)

    def passed(
        self,
        mail: InboundMessage,
        delivery: Delivery,
        outcome: Outcome,
        *,
        reason: str,
        detail: str | None = None,
    ) -> None:
        """Log and count a message that has no verdict; `reason` is one of `Metrics.unfiltered`."""
        write = log.get().warning if reason == "storage" else log.get().info
        write(
            "unfiltered" if reason == "storage" else "passed_by",
            queue_id=mail.envelope.queue_id,
            message_id=mail.fields.message_id or None,
            user=delivery.user,
            rcpt=delivery.recipient.text,
            reason=reason,
            detail=detail,
            size=len(mail.message),
            next=str(outcome.reply),
        )
        self._metrics.messages.add("Unfiltered", "inbound")
        self._metrics.unfiltered.add(reason)

    @contextmanager
    def lesson(self, taught: Lesson) -> Iterator[None]:
        """Count a lesson, with its outcome in the body."""
        try:
            yield
        except PermFail as failure:
            self.turned_down(taught, failure)
            raise
        except BaseException:
            self._count(taught, "failed")
            raise
        self._count(taught, "learned")
        self._metrics.last_training.set(time.time())

    def turned_down(self, taught: Lesson, failure: PermFail) -> None:
        """Count a lesson that was refused for good."""
        self._count(taught, failure.reason)

    def _count(self, taught: Lesson, outcome: str) -> None:
        self._metrics.training.add(_class(taught.label), taught.source.value, outcome)


class Details:
    """The detailed log of messages, for some users and operations."""

    def __init__(self, config: Config) -> None:
        self._users = frozenset(config.Debug)
        self._kinds = frozenset(config.DebugOpt)
        self._log = log.logger("debug", config.LogFormat, File(log.directory(config) / "dspam.debug"))

    def report(self, passage: Passage, verdict: Verdict, run: Run | None) -> None:
        """Log a message in detail, if it is of such a kind and for such a user."""
        user = passage.user
        if not self._wanted(user.name, passage.request):
            return
        self._log.debug(
            "details",
            user=user.name,
            rcpt=passage.delivery.recipient.text,
            signature=verdict.signature,
            result=verdict.result.name,
            probability=verdict.result.probability,
            settings=str(passage.score_options),
            groups=str(user.membership),
            seconds={stage: round(spent, 6) for stage, spent in passage.watch.seconds.items()},
        )
        for name, value in run.factors if run is not None else ():
            token = name.decode("utf-8", "backslashreplace")
            self._log.debug("factor", signature=verdict.signature, token=token, probability=value)

    def _wanted(self, user: str, request: Request) -> bool:
        if not self._users or not self._users & {"*", user}:
            return False
        return not self._kinds or _kind(request) in self._kinds


def _kind(request: Request) -> str:
    """The word of `DebugOpt` for a request."""
    if request.classify:
        return "classify"
    if request.lesson is None:
        return "process"
    if request.lesson.source is Source.ERROR:
        return "spam" if request.lesson.label is Label.SPAM else "fp"
    return str(request.lesson.source.value)


def _class(label: Label) -> str:
    return "spam" if label is Label.SPAM else "innocent"
