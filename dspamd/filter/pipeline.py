"""The path of a message, from arrival to answer, for one recipient.

    begin      find the user, and the signature of a lesson                   Passage
    scan       viruses, blocklists, blacklists                               Finding
    decide     correction, or tokens, counters, statistics                   Decision
    hand over  send the message on, and wait for the next hop's answer       Outcome
    learn      commit the lesson of the message
    report     log, metrics, files, observers

`passage` explains these terms.  The pipeline hands a message over before it learns anything from it: a
crash between two stages can cost a lesson, never a message.  It learns nothing after a failed delivery,
also no lesson in the message, so there is nothing to take back (OnFail unlearn).

A stage that cannot do its work now raises `TempFail`, and the mail stays where it is.  If the store is
down the configuration says whether mail waits (`OnStorageFailure defer`) or passes unfiltered and
visibly marked (`deliver`).

The rules are those of reference/cli.md 3.5, engine.md 7 and protocols.md 7.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime

from dspamd.config.config import Config
from dspamd.engine.model import Source, Totals
from dspamd.errors import Failure, InvalidName, TempFail
from dspamd.filter.decision import Decision, Decisions
from dspamd.filter.dictionary import Dictionaries, bulk
from dspamd.filter.disposition import Disposition
from dspamd.filter.explanation import explanation_lines
from dspamd.filter.learning import Learning
from dspamd.filter.observers.observer import Observer, Processed
from dspamd.filter.observers.report import Details, MessageLog
from dspamd.filter.outlet import Outlet
from dspamd.filter.passage import Passage
from dspamd.filter.reports import Reports
from dspamd.filter.scan.scanners import Finding, ScanFailed, Scanners
from dspamd.filter.shadow import Shadow
from dspamd.filter.training import UnknownSignature
from dspamd.filter.transaction import InboundMessage
from dspamd.filter.verdict import Outcome, summary_line, unfiltered_lines
from dspamd.home.history import History, Record, letter
from dspamd.home.templates import Texts
from dspamd.mail.rewrite import Rewrite, rewrite
from dspamd.offload.threads import aside
from dspamd.request.recipients import Delivery
from dspamd.request.request import Request
from dspamd.storage.contract import Storage, Uid
from dspamd.telemetry.metrics import Metrics
from dspamd.telemetry.stopwatch import Stopwatch
from dspamd.users.preferences import User
from dspamd.users.users import Users

EXPLAINED = 27
"""Tokens shown with a classification: as many as any algorithm uses."""


class Pipeline:
    """Processes messages, and keeps nothing of them."""

    def __init__(
        self,
        config: Config,
        users: Users,
        storage: Storage,
        outlet: Outlet,
        history: History,
        *,
        scanners: Scanners,
        texts: Texts,
        observers: Sequence[Observer] = (),
        details: Details | None = None,
        metrics: Metrics | None = None,
        new_signature: Callable[[Uid | None], str],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._config, self._users, self._history = config, users, history
        self._scanners, self._observers, self._details, self._clock = scanners, observers, details, clock
        dictionaries = Dictionaries.of_site(config, storage)
        self._decisions = Decisions(config, dictionaries, new_signature)
        self._disposition = Disposition(config, outlet, texts)
        metrics = metrics or Metrics()
        self._learning = Learning(storage, dictionaries, metrics)
        self._shadow = Shadow(config, dictionaries, metrics)
        self._log = MessageLog(metrics)
        self._reports = Reports(config, users, dictionaries, self._disposition, self._log)

    async def process(self, mail: InboundMessage, delivery: Delivery) -> Outcome:
        """Do everything with one message for one recipient.

        Raises `TempFail` and `PermFail`, which know their reply: the message was not handed over then,
        or it brought a lesson that could not be learned.
        """
        if delivery.request.lesson is None:
            return await self._process(mail, delivery)
        if await self._reports.brings(mail, delivery.request):
            return await self._reports.carry_out(mail, delivery, self._process_lesson)
        return await self._process_lesson(mail, delivery)

    async def _process_lesson(self, mail: InboundMessage, delivery: Delivery) -> Outcome:
        """Process a message that brings one lesson."""
        if delivery.request.lesson is None:
            raise ValueError("the client asks for no lesson")
        with self._log.lesson(delivery.request.lesson):
            if delivery.request.filed and not self._too_big(mail):
                delivery = await self._reports.filed(mail, delivery)
            return await self._process(mail, delivery)

    async def _process(self, mail: InboundMessage, delivery: Delivery) -> Outcome:
        watch = Stopwatch(parse=mail.parse_s)
        # First, even if the store is down: mail never passes for a name that may be no user.
        delivery = await self._verified(delivery)
        finding: Finding | None = None
        try:
            passage = await self._begin(mail, delivery, watch)
            filtered = passage.user.filtered and not self._too_big(mail)
            finding = await self._scanners.find(mail, passage.lesson, passage.user) if filtered else None
            watch.mark("scan")
            decision = await self._decisions.decide(passage, finding) if filtered else None
        except InvalidName as failure:
            if delivery.request.lesson or delivery.request.classify or await self._scanners.infected(mail):
                raise
            return await self._pass_by(mail, delivery, "not_judged", str(failure))
        except ScanFailed:
            raise
        except TempFail as failure:
            if not await self._may_pass(mail, delivery.request, finding):
                raise
            return await self._pass_unfiltered(mail, delivery, failure)
        if decision is None:
            return await self._pass_by(mail, delivery, "not_judged" if passage.user.filtered else "opted_out")
        return await self._carry_out(passage, decision)

    async def _carry_out(self, passage: Passage, decision: Decision) -> Outcome:
        """Carry out a decision: hand over, learn, report."""
        try:
            outcome = await self._hand_over(passage, decision)
        except Failure as failure:
            self._record(passage, decision, f"Delivery Failed ({failure.text})", None, failed=True)
            raise
        passage.watch.mark("handover")
        totals = await self._learning.commit(passage, decision)
        passage.watch.mark("commit")
        await self._shadow.follow(passage, decision)
        self._report(passage, decision, outcome, totals)
        return outcome

    # --- the user and the content --------------------------------------------------------------

    async def _verified(self, delivery: Delivery) -> Delivery:
        """The delivery under the name that the external look-up gives its user, if there is one."""
        name = await self._users.verified(delivery.user)
        return delivery if name == delivery.user else Delivery(name, delivery.recipient, delivery.request)

    async def _begin(self, mail: InboundMessage, delivery: Delivery, watch: Stopwatch) -> Passage:
        """The passage of a message; a correction goes to the owner that its signature names, if any."""
        user, request = await self._users.resolve(delivery.user), delivery.request
        signature = await _signature(mail, request, user)
        if signature and request.trusted:
            owner = await self._users.signer(signature, user)
            if owner is not user:
                user, signature = owner, await _signature(mail, request, owner)
        if request.classify:
            user = user.alone
        watch.mark("store")
        return Passage(mail, delivery, user, signature, datetime.fromtimestamp(self._clock()), watch)

    # --- the hand-over ---------------------------------------------------------------------

    async def _hand_over(self, passage: Passage, decision: Decision) -> Outcome:
        """Bring the message where its verdict sends it; returns when it has arrived there."""
        summary = await _summary(passage, decision)
        return await self._disposition.send(passage, decision.verdict, found=decision.status, summary=summary)

    async def _pass_by(
        self, mail: InboundMessage, delivery: Delivery, reason: str, detail: str | None = None
    ) -> Outcome:
        """Deliver the message as it came: its user is not served, or it has no tokens."""
        if delivery.request.lesson is not None:
            raise UnknownSignature("Nothing to learn from", detail="no signature, no tokens, or opted out")
        outcome = await self._disposition.pass_on(mail, delivery, mail.message.raw, "Delivered")
        reason = "size" if self._too_big(mail) else reason
        self._log.passed(mail, delivery, outcome, reason=reason, detail=detail)
        return outcome

    async def _pass_unfiltered(self, mail: InboundMessage, delivery: Delivery, failure: TempFail) -> Outcome:
        """Deliver the message marked as unfiltered, as configured, because the store is down."""
        lines = tuple(unfiltered_lines(failure.text))
        content = rewrite(mail.message, Rewrite(lines=lines, drop_twins=self._config.SpamHeaders))
        outcome = await self._disposition.pass_on(mail, delivery, content, "Unfiltered")
        self._log.passed(mail, delivery, outcome, reason="storage", detail=str(failure))
        return outcome

    async def _may_pass(self, mail: InboundMessage, request: Request, finding: Finding | None) -> bool:
        """Whether mail passes unfiltered while the store is down: no lesson, and nothing bad."""
        if finding is not None or request.lesson is not None:
            return False
        return self._config.OnStorageFailure == "deliver" and not await self._scanners.infected(mail)

    def _too_big(self, mail: InboundMessage) -> bool:
        limit = self._config.MaxMessageSize
        return 0 < limit < len(mail.message)

    # --- afterwards ------------------------------------------------------------------------

    def _report(self, passage: Passage, decision: Decision, outcome: Outcome, totals: Totals | None) -> None:
        """Log the message, count it, and notify the observers."""
        verdict = decision.verdict
        self._log.decided(passage, verdict, outcome, decision.tokens)
        if self._details is not None:
            self._details.report(passage, verdict, decision.run)
        if passage.request.classify:
            return
        self._record(passage, decision, outcome.status, totals)
        processed = Processed(passage.mail, passage.delivery, passage.user, verdict, totals)
        for observer in self._observers:
            observer.note(processed)

    def _record(
        self,
        passage: Passage,
        decision: Decision,
        status: str,
        totals: Totals | None,
        *,
        failed: bool = False,
    ) -> None:
        """Add a record to the logs and statistics that DSPAM keeps."""
        user, verdict = passage.user, decision.verdict
        self._history.add(
            Record(
                user=user.name,
                file_user=user.file_name,
                letter=letter(verdict.result.name, decision.lesson, failed=failed),
                signature=verdict.signature or "",
                status=status,
                seconds=passage.watch.total,
                statistics=user.statistics_name,
                totals=totals,
                merged=user.membership.merged,
                fields=passage.mail.fields,
            )
        )


async def _signature(mail: InboundMessage, request: Request, user: User) -> str | None:
    """The signature of a message that is a lesson; users who train pristine mail have none."""
    if request.lesson is None or request.lesson.source is Source.CORPUS:
        return None
    return request.signature or (None if user.train_pristine else await mail.signature())


async def _summary(passage: Passage, decision: Decision) -> bytes:
    """The text that is printed of a verdict; for a question by a user with `showFactors` also the tokens."""
    request, user = passage.request, passage.user
    if not (request.classify or request.summary):
        return b""
    lines = [summary_line(user.name, decision.verdict)]
    if request.classify and user.show_factors and decision.run is not None:
        run = decision.run
        size = bulk(run, passage.score_options)
        lines += await aside(size, lambda: explanation_lines(run.reasons(EXPLAINED), run.balance))
    return b"".join(line + b"\n" for line in lines)
