"""The path of a message, from arrival to answer, for one recipient.

    who is it for?  ->  viruses, blacklists  ->  is it a correction?  ->  tokens  ->  counters
    ->  verdict  ->  hand over, and wait for the next hop's answer  ->  learn  ->  answer

The message is handed over before anything is learned from it: a crash between two
steps can cost a training step, never a message.  What a failed delivery would have to
take back (OnFail unlearn) was therefore never learned, nor are lessons that it brought.

What cannot be done now is raised as `TempFail`, so that the mail stays where it
is.  If the store is down the configuration says whether mail waits
(`OnStorageFailure defer`) or passes unfiltered and visibly marked (`deliver`).

The rules are those of reference/cli.md 3.5, engine.md 7 and protocols.md 7.
"""

from __future__ import annotations

import dataclasses
import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from dspamd.config.config import Config
from dspamd.engine._kernel import Run
from dspamd.engine.model import Learned, Lesson, Mode, Result, Source, Totals
from dspamd.engine.tokenizer import Tokens
from dspamd.errors import Failure, InvalidName, TempFail
from dspamd.filter.consultation import Consultation, Opinion
from dspamd.filter.dictionary import Dictionary, Judgement
from dspamd.filter.disposition import Disposition
from dspamd.filter.observers import report
from dspamd.filter.observers.observer import Observer, Processed
from dspamd.filter.outlet import Outlet
from dspamd.filter.reports import Reports
from dspamd.filter.scan.clamav import NotScanned
from dspamd.filter.scan.scanners import Finding, Scanners
from dspamd.filter.training import Trainer, UnknownSignature, told
from dspamd.filter.transaction import InboundMessage
from dspamd.filter.verdict import Outcome, Verdict, explanation_lines, summary_line, unfiltered_lines
from dspamd.home.history import History, Record, letter
from dspamd.home.templates import Texts
from dspamd.mail.rewrite import Rewrite, rewrite
from dspamd.offload.threads import aside
from dspamd.request.recipients import Delivery
from dspamd.request.request import Request
from dspamd.storage.contract import Change, Signature, Storage, Uid
from dspamd.telemetry import log, metrics
from dspamd.telemetry.stopwatch import Stopwatch
from dspamd.users.preferences import User
from dspamd.users.users import Users

EXPLAINED = 27
"""Tokens shown with a classification: as many as any algorithm lets decide."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A verdict, and what is to be learned once the message is handed over."""

    verdict: Verdict
    uid: Uid | None = None
    change: Change | None = None
    totals: Totals | None = None  # as they will be then
    reported: Tokens | None = None  # of what was learned as told, for the user's inoculation groups
    finding: Finding | None = None  # what decided, if it was not the statistics
    run: Run | None = None
    tokens: int | None = None  # how many


class Pipeline:
    """Processes messages.  It keeps nothing of them."""

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
        details: report.Details | None = None,
        new_signature: Callable[[Uid | None], str],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._config, self._users, self._storage = config, users, storage
        self._disposition, self._history = Disposition(config, outlet, texts), history
        self._reports = Reports(config, users, storage, self._disposition)
        self._trainer, self._consultation = Trainer(storage), Consultation(storage)
        self._scanners, self._observers = scanners, observers
        self._details, self._new_signature, self._clock = details, new_signature, clock

    async def process(self, mail: InboundMessage, delivery: Delivery) -> Outcome:
        """Everything that happens to one message for one recipient.

        Raises `TempFail` and `PermFail`, which know their reply: then the message
        was not handed over, or it brought a lesson that could not be learned.
        """
        if delivery.request.lesson is None:
            return await self._process(mail, delivery)
        if await self._reports.brings(mail, delivery.request):
            return await self._reports.carry_out(mail, delivery, self._teach_one)
        return await self._teach_one(mail, delivery)

    async def _teach_one(self, mail: InboundMessage, delivery: Delivery) -> Outcome:
        """Process what brings one lesson."""
        if delivery.request.lesson is None:
            raise ValueError("no lesson is asked for")
        with report.lesson(delivery.request.lesson):
            return await self._process(mail, delivery)

    async def _process(self, mail: InboundMessage, delivery: Delivery) -> Outcome:
        watch = Stopwatch(parse=mail.parse_s)
        # Whatever storage does: who is not known to be a user never gets mail through.
        if (name := await self._users.verified(delivery.user)) != delivery.user:
            delivery = dataclasses.replace(delivery, user=name)
        finding: Finding | None = None
        try:
            user = await self._whose(mail, delivery)
            if delivery.request.classify:
                user = user.alone
            watch.mark("store")
            filtered = user.filtered and not self._too_big(mail)
            finding = await self._scanners.find(mail, delivery.request.lesson, user) if filtered else None
            watch.mark("scan")
            judged = await self._judge(mail, delivery.request, user, finding, watch) if filtered else None
        except InvalidName as failure:
            if delivery.request.lesson or delivery.request.classify or await self._scanners.infected(mail):
                raise
            return await self._pass_by(mail, delivery, "not_judged", str(failure))
        except TempFail as failure:
            if isinstance(failure, NotScanned) or not await self._may_pass(mail, delivery.request, finding):
                raise
            return await self._pass_unfiltered(mail, delivery, failure)
        if judged is None:
            return await self._pass_by(mail, delivery, "not_judged" if user.filtered else "opted_out")
        try:
            outcome = await self._hand_over(mail, delivery, user, judged)
        except Failure as failure:
            self._record(
                mail, delivery, user, judged, watch, f"Delivery Failed ({failure.text})", failed=True
            )
            raise
        watch.mark("handover")
        judged = await self._learn(judged, delivery.request, user)
        watch.mark("commit")
        self._tell(mail, delivery, user, judged, outcome, watch)
        return outcome

    async def _whose(self, mail: InboundMessage, delivery: Delivery) -> User:
        """The user whose mail it is; a correction is for the owner that its signature names, if any."""
        user = await self._users.resolve(delivery.user)
        if delivery.request.lesson is not None and delivery.request.trusted:
            seen = await self._seen(mail, delivery.request, user)
            return await self._users.signer(seen, user) if seen else user
        return user

    async def _seen(self, mail: InboundMessage, request: Request, user: User) -> str | None:
        """The signature that a message brings back as a lesson."""
        if request.lesson is None or request.lesson.source is Source.CORPUS:
            return None
        return request.signature or (None if user.train_pristine else await mail.signature())

    # --- the verdict -----------------------------------------------------------------------

    async def _judge(
        self, mail: InboundMessage, request: Request, user: User, finding: Finding | None, watch: Stopwatch
    ) -> Judged | None:
        """The verdict: what was found, by signature for what was seen before, else by the text.

        None if there is nothing to go by: no header, no token.
        """
        if finding is not None:
            return await self._found(finding, mail, request, user, watch)
        lesson = request.lesson
        if lesson is not None and lesson.source is not Source.CORPUS:
            seen = await self._seen(mail, request, user)
            if seen or (lesson.source is Source.ERROR and not user.train_pristine):
                return await self._correct(seen or "", lesson, user, watch)
        return await self._classify(mail, request, user, watch)

    async def _found(
        self, finding: Finding, mail: InboundMessage, request: Request, user: User, watch: Stopwatch
    ) -> Judged:
        """A verdict without statistics.  The tokens are kept, so that it can be corrected (Q-T7)."""
        options = user.score_options(request)
        tokens = await mail.tokens(user.token_options(request), user.signature_pass(None))
        watch.mark("tokens")
        dictionary = await Dictionary.of(self._storage, user, create=not request.classify)
        lesson = None if request.classify else finding.lesson
        judgement = await dictionary.judge(tokens, options, lesson, watch)
        opinion = Opinion(finding.result, judgement.run.learned if lesson else Learned.nothing())
        judged = await self._judged(tokens, judgement, opinion, dictionary.uid, request, user)
        verdict = dataclasses.replace(judged.verdict, factors=None)
        return dataclasses.replace(
            judged, verdict=verdict, finding=finding, reported=tokens if lesson else None
        )

    async def _correct(self, signature: str, lesson: Lesson, user: User, watch: Stopwatch) -> Judged:
        """What the user says; raises `UnknownSignature` if he has none of that id."""
        dictionary = await Dictionary.of(self._storage, user, create=False)
        await self._trainer.look_up(dictionary, signature)
        watch.mark("store")
        return Judged(self._verdict(told(lesson.label), lesson, signature, user))

    async def _classify(
        self, mail: InboundMessage, request: Request, user: User, watch: Stopwatch
    ) -> Judged | None:
        lesson, options = request.lesson, user.score_options(request)
        tokens = await mail.tokens(user.token_options(request), user.signature_pass(lesson))
        if not tokens:
            return None
        watch.mark("tokens")
        create = not request.classify and (lesson is None or lesson.source is not Source.ERROR)
        dictionary = await Dictionary.of(self._storage, user, create=create)
        judgement = await dictionary.judge(tokens, options, lesson, watch)
        if lesson is None:
            opinion = await self._consultation.ask(user, request, judgement)
            watch.mark("classify")
            return await self._judged(tokens, judgement, opinion, dictionary.uid, request, user)
        if dictionary.uid is None:
            raise UnknownSignature("Nothing to correct", detail=f"{user.owner} has no dictionary")
        opinion = Opinion(judgement.run.result, judgement.run.learned)
        judged = await self._judged(tokens, judgement, opinion, dictionary.uid, request, user)
        return dataclasses.replace(judged, reported=tokens)

    async def _judged(
        self,
        tokens: Tokens,
        judgement: Judgement,
        opinion: Opinion,
        uid: Uid | None,
        request: Request,
        user: User,
    ) -> Judged:
        """What we think of it; what it teaches is left for after the hand-over."""
        run, lesson, mode = judgement.run, request.lesson, user.score_options(request).mode
        keep = lesson is None and mode is not Mode.NOTRAIN and not request.classify
        signature = self._new_signature(uid) if keep else None
        stored = None
        if signature and uid is not None and not user.train_pristine:
            stored = Signature(signature, await aside(8 * len(run), lambda: run.signature))
            if not await self._storage.has_room(uid, stored):
                # A header that names it would promise what nobody can keep.
                log.get().warning("signature_not_kept", user=user.name, uid=uid, bytes=len(stored.data))
                signature = stored = None
        verdict = self._verdict(opinion.result, lesson, signature, user)
        if user.show_factors:
            verdict = dataclasses.replace(verdict, factors=tuple(run.factors))
        change = None if request.classify else Change(opinion.learned, stored)
        totals = judgement.snapshot.totals.plus(opinion.learned.totals)
        return Judged(verdict, uid, change, totals, run=run, tokens=len(tokens))

    def _verdict(self, result: Result, lesson: Lesson | None, signature: str | None, user: User) -> Verdict:
        return Verdict(
            result,
            processed=datetime.fromtimestamp(self._clock()),
            source=lesson.source if lesson else None,
            signature=signature,
            user=user.name if result.spam and user.file_name != user.name else None,
            improbability=self._config.ImprobabilityDrive,
        )

    # --- the hand-over ---------------------------------------------------------------------

    async def _hand_over(
        self, mail: InboundMessage, delivery: Delivery, user: User, judged: Judged
    ) -> Outcome:
        """Bring the message where its verdict sends it; returns when it has arrived there."""
        outcome = await self._disposition.send(mail, delivery, user, judged.verdict)
        found = judged.finding and judged.finding.status
        return dataclasses.replace(
            outcome, summary=_summary(user, delivery.request, judged), status=found or outcome.status
        )

    async def _pass_by(
        self, mail: InboundMessage, delivery: Delivery, reason: str, detail: str | None = None
    ) -> Outcome:
        """Deliver the message as it came: its user is not served, or it has no tokens."""
        request = delivery.request
        if request.lesson is not None:
            raise UnknownSignature("Nothing to learn from", detail="no signature, no tokens, or opted out")
        outcome = await self._disposition.pass_on(mail, delivery, mail.message.raw)
        reason = "size" if self._too_big(mail) else reason
        report.passed(mail, delivery, outcome, reason=reason, detail=detail)
        return dataclasses.replace(outcome, status="Delivered")

    async def _pass_unfiltered(self, mail: InboundMessage, delivery: Delivery, failure: TempFail) -> Outcome:
        """Deliver the message marked as unfiltered, as configured, because the store is down."""
        content = rewrite(mail.message, Rewrite(lines=tuple(unfiltered_lines(failure.text))))
        outcome = await self._disposition.pass_on(mail, delivery, content)
        report.passed(mail, delivery, outcome, reason="storage", detail=str(failure))
        return dataclasses.replace(outcome, status="Unfiltered")

    # --- afterwards ------------------------------------------------------------------------

    async def _learn(self, judged: Judged, request: Request, user: User) -> Judged:
        """Commit what the message teaches; returns what is known of it then.

        A lesson fails if it cannot be learned: it is what the message is for.  Inbound mail is
        delivered already, so failing costs this step only.
        """
        lesson = request.lesson
        if lesson is not None:
            judged = await self._teach(judged, lesson, request, user)
        try:
            if lesson is None:
                await self._commit(judged)
                lesson = judged.finding and judged.finding.lesson
            if lesson is not None and judged.reported is not None:
                await self._consultation.inoculate(user, request, lesson, judged.reported)
        except Exception as error:  # whatever it is: an error now would bring the message twice
            metrics.NOT_LEARNED.add()
            log.get().error(
                "not_learned",
                uid=judged.uid,
                signature=judged.verdict.signature,
                reason=str(error),
                exc_info=None if isinstance(error, Failure) else error,
            )
        return judged

    async def _teach(self, judged: Judged, lesson: Lesson, request: Request, user: User) -> Judged:
        """Learn a lesson, by its signature or by its text.  Raises `TempFail`, `UnknownSignature`."""
        signature = judged.verdict.signature
        if signature is None:
            await self._commit(judged)
            return judged
        dictionary = await Dictionary.of(self._storage, user, create=False)
        tokens = await self._trainer.teach(
            dictionary, signature, lesson, user.token_options(request), user.score_options(request)
        )
        totals = (await dictionary.read(array("Q"))).totals
        return dataclasses.replace(judged, totals=totals, reported=tokens)

    async def _commit(self, judged: Judged) -> None:
        if judged.uid is not None and judged.change is not None:
            await self._storage.apply(judged.uid, judged.change)

    def _tell(
        self,
        mail: InboundMessage,
        delivery: Delivery,
        user: User,
        judged: Judged,
        outcome: Outcome,
        watch: Stopwatch,
    ) -> None:
        """One line for whoever looks for this message, and the files of the original."""
        verdict = judged.verdict
        report.judged(mail, delivery, user, verdict, outcome, watch, judged.tokens)
        if self._details is not None:
            self._details.tell(delivery, user, verdict, judged.run, watch)
        if delivery.request.classify:
            return
        self._record(mail, delivery, user, judged, watch, outcome.status)
        for observer in self._observers:
            observer.note(Processed(mail, delivery, user, verdict, judged.totals))

    def _record(
        self,
        mail: InboundMessage,
        delivery: Delivery,
        user: User,
        judged: Judged,
        watch: Stopwatch,
        status: str,
        *,
        failed: bool = False,
    ) -> None:
        """A record for the files of the original."""
        verdict = judged.verdict
        lesson = (judged.finding and judged.finding.lesson) or delivery.request.lesson
        self._history.add(
            Record(
                user=user.name,
                file_user=user.file_name,
                letter=letter(verdict.result.name, lesson, failed=failed),
                signature=verdict.signature or "",
                status=status,
                seconds=watch.total,
                statistics=user.statistics_name,
                totals=None if failed else judged.totals,
                merged=user.membership.merged,
                fields=mail.fields,
            )
        )

    async def _may_pass(self, mail: InboundMessage, request: Request, finding: Finding | None) -> bool:
        """Whether mail passes unfiltered while the store is down: no lesson, and nothing bad."""
        if finding is not None or request.lesson is not None:
            return False
        return self._config.OnStorageFailure == "deliver" and not await self._scanners.infected(mail)

    def _too_big(self, mail: InboundMessage) -> bool:
        limit = self._config.MaxMessageSize
        return 0 < limit < len(mail.message)


def _summary(user: User, request: Request, judged: Judged) -> bytes:
    """What is printed of a verdict; who asks for it alone, and has `showFactors`, sees its tokens too."""
    if not (request.classify or request.summary):
        return b""
    lines = [summary_line(user.name, judged.verdict)]
    if request.classify and user.show_factors and judged.run is not None:
        lines += explanation_lines(judged.run.explain()[:EXPLAINED])
    return b"".join(line + b"\n" for line in lines)
