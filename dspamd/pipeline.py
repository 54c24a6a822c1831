"""The path of a message, from arrival to answer, for one recipient.

    who is it for?  ->  is it a correction?  ->  tokens  ->  counters  ->  verdict
    ->  hand over, and wait for the next hop's answer  ->  learn  ->  answer

The message is handed over before anything is learned from it: a crash between two
steps can cost a training step, never a message.  (A correction is learned at once,
since it is what the message is for, and can be repeated without harm.)

What cannot be done now is raised as `TempFail`, so that the mail stays where it
is.  If the store is down the configuration says whether mail waits
(`OnStorageFailure defer`) or passes unfiltered and visibly marked (`deliver`).

The rules are those of reference/cli.md 3.5, engine.md 7 and protocols.md 7.
"""

from __future__ import annotations

import dataclasses
import enum
import time
from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from dspamd import log
from dspamd.config import Config
from dspamd.consultation import Consultation, Opinion
from dspamd.delivery.handover import Handover, Outlet
from dspamd.dictionary import Dictionary, Judgement
from dspamd.engine import Tokens
from dspamd.engine.model import Label, Lesson, Mode, Result, Source, Totals
from dspamd.errors import Failure, Reply, TempFail
from dspamd.history import History, Record, letter
from dspamd.incoming import Incoming, aside
from dspamd.jobs import Job, recipient_of
from dspamd.mail.classic import SignaturePass
from dspamd.mail.message import Message
from dspamd.mail.rewrite import Rewrite, rewrite
from dspamd.request import Request
from dspamd.storage.contract import Change, Signature, Storage, Uid
from dspamd.training import Trainer, UnknownSignature
from dspamd.users import User, Users
from dspamd.verdict import Outcome, Verdict, header_lines, summary_line, unfiltered_lines

ACCEPTED = Reply(250, "2.6.0", "Message accepted for delivery")


class Action(enum.Enum):
    """What happens to a judged message."""

    DELIVER = "Delivered"
    PRINT = "Printed"  # to whoever asked: --stdout
    QUARANTINE = "Quarantined"
    NOTHING = ""


def choose(spam: bool, request: Request, spam_action: str) -> Action:
    """The decision table of reference/cli.md 3.5; a summary never starts a delivery agent."""
    deliver = Action.PRINT if request.stdout else Action.DELIVER
    if request.deliver_spam if spam else request.deliver_innocent:
        return deliver
    lesson = request.lesson
    if not spam or (lesson is not None and lesson.source is not Source.INOCULATION):
        return Action.NOTHING
    if spam_action != "quarantine" and lesson is None:
        return Action.NOTHING if request.summary and not request.stdout else deliver
    return Action.NOTHING if request.summary else Action.QUARANTINE


@dataclass(frozen=True, slots=True)
class Judged:
    """A verdict, and what is to be learned once the message is handed over."""

    verdict: Verdict
    uid: Uid | None = None
    change: Change | None = None
    totals: Totals | None = None  # as they will be then
    reported: Tokens | None = None  # of spam that the user reports, for his inoculation groups


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
        tags: Mapping[bool, bytes],
        new_signature: Callable[[], str],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._config, self._users, self._storage = config, users, storage
        self._outlet, self._history = outlet, history
        self._trainer, self._consultation = Trainer(storage), Consultation(storage)
        self._tags, self._new_signature, self._clock = tags, new_signature, clock

    async def process(self, mail: Incoming, job: Job) -> Outcome:
        """Everything that happens to one message for one recipient.

        Raises `TempFail` and `PermFail`, which know their reply: then the message
        was not handed over.
        """
        started = time.perf_counter()
        try:
            user = await self._users.resolve(job.user)
            if job.request.classify:
                user = user.alone
            filtered = user.filtered and not self._too_big(mail)
            judged = await self._judge(mail, job.request, user) if filtered else None
        except TempFail as failure:
            if job.request.lesson is not None or self._config.text("OnStorageFailure") != "deliver":
                raise
            return await self._pass_unfiltered(mail, job, failure)
        if judged is None:
            return await self._pass_by(mail, job)
        outcome = await self._hand_over(mail, job, user, judged.verdict)
        await self._learn(judged, job.request, user)
        self._tell(mail, job, user, judged, outcome, time.perf_counter() - started)
        return outcome

    # --- the verdict -----------------------------------------------------------------------

    async def _judge(self, mail: Incoming, request: Request, user: User) -> Judged | None:
        """The verdict: by signature for what was seen before, else by the text.

        None if there is nothing to go by: no header, no token.
        """
        lesson = request.lesson
        if lesson is not None and lesson.source is not Source.CORPUS:
            seen = request.signature or (None if user.train_pristine else await mail.signature())
            if seen or (lesson.source is Source.ERROR and not user.train_pristine):
                return await self._correct(seen or "", lesson, request, user)
        return await self._classify(mail, request, user)

    async def _correct(self, signature: str, lesson: Lesson, request: Request, user: User) -> Judged:
        """Teach by signature; raises `UnknownSignature` if this user has none of that id."""
        dictionary = await Dictionary.of(self._storage, user, create=False)
        taught = await self._trainer.teach(
            dictionary, signature, lesson, user.token_options(request), user.score_options(request)
        )
        verdict = self._verdict(taught.result, lesson, signature, user)
        totals = (await dictionary.read(array("Q"))).totals
        return Judged(verdict, totals=totals, reported=taught.tokens)

    async def _classify(self, mail: Incoming, request: Request, user: User) -> Judged | None:
        lesson, options = request.lesson, user.score_options(request)
        tokens = await mail.tokens(user.token_options(request), _signature_pass(user, lesson, options.strict))
        if not tokens:
            return None
        create = not request.classify and (lesson is None or lesson.source is not Source.ERROR)
        dictionary = await Dictionary.of(self._storage, user, create=create)
        judgement = await dictionary.judge(tokens, options, lesson)
        if lesson is None:
            opinion = await self._consultation.ask(user, request, judgement)
            return self._judged(judgement, opinion, dictionary.uid, request, user)
        if dictionary.uid is None:
            raise UnknownSignature("Nothing to correct", detail=f"{user.owner} has no dictionary")
        run = judgement.run
        await self._storage.apply(dictionary.uid, Change(run.learned))
        judged = self._judged(judgement, Opinion(run.result, run.learned), None, request, user)
        return dataclasses.replace(judged, reported=tokens)

    def _judged(
        self, judgement: Judgement, opinion: Opinion, uid: Uid | None, request: Request, user: User
    ) -> Judged:
        """What we think of it; what inbound mail teaches is left for after the hand-over."""
        run, lesson, mode = judgement.run, request.lesson, user.score_options(request).mode
        keep = lesson is None and mode is not Mode.NOTRAIN and not request.classify
        signature = self._new_signature() if keep else None
        stored = Signature(signature, run.signature) if signature and not user.train_pristine else None
        verdict = self._verdict(opinion.result, lesson, signature, user)
        if user.show_factors:
            verdict = dataclasses.replace(verdict, factors=tuple(run.factors))
        change = Change(opinion.learned, stored) if lesson is None and not request.classify else None
        return Judged(verdict, uid, change, judgement.snapshot.totals.plus(opinion.learned.totals))

    def _verdict(self, result: Result, lesson: Lesson | None, signature: str | None, user: User) -> Verdict:
        return Verdict(
            result,
            processed=datetime.fromtimestamp(self._clock()),
            source=lesson.source if lesson else None,
            signature=signature,
            user=user.name if result.spam and user.file_name != user.name else None,
            improbability=self._config.flag("ImprobabilityDrive"),
        )

    # --- the hand-over ---------------------------------------------------------------------

    async def _hand_over(self, mail: Incoming, job: Job, user: User, verdict: Verdict) -> Outcome:
        """Bring the message where its verdict sends it; returns when it has arrived there."""
        request, spam = job.request, verdict.result.spam
        if verdict.source is Source.ERROR:  # it came to an alias, and goes on to the user himself
            job = dataclasses.replace(job, recipient=recipient_of(user.name))
        action = Action.NOTHING if request.classify else choose(spam, request, user.spam_action)
        content = b""
        if action is not Action.NOTHING:
            changes = self._changes(user, verdict)
            content = await aside(len(mail.message), lambda: rewrite(mail.message, changes))
        outcome = await self._send(mail, job, action, content, spam=spam, owner=user.file_name)
        return dataclasses.replace(
            outcome,
            verdict=verdict,
            summary=summary_line(user.name, verdict) + b"\n" if request.classify or request.summary else b"",
            status=_status(action, user, verdict),
        )

    def _changes(self, user: User, verdict: Verdict) -> Rewrite:
        """What we write into the message: our headers, and what the user's options ask for."""
        spam = verdict.result.spam
        inbound = verdict.source is None
        embed = inbound and verdict.signature and not user.signature_in_headers and not user.train_pristine
        return Rewrite(
            lines=tuple(header_lines(verdict)),
            subject_tag=user.spam_subject if spam and user.spam_action == "tag" else b"",
            text_tag=self._tags[spam] if (user.tag_spam if spam else user.tag_nonspam) else b"",
            signature=verdict.signature if embed else None,
        )

    async def _send(
        self, mail: Incoming, job: Job, action: Action, content: bytes, *, spam: bool = False, owner: str = ""
    ) -> Outcome:
        """Hand the finished message to the next hop, the quarantine of `owner`, or our caller."""
        if action is Action.NOTHING:
            return Outcome(job.recipient, ACCEPTED, None)
        if action is Action.PRINT:
            return Outcome(job.recipient, ACCEPTED, None, printed=content)
        handover = Handover(
            sender=mail.envelope.sender,
            recipient=job.recipient.address,
            content=Message(content).crlf,
            mail_parameters=mail.envelope.parameters,
            rcpt_parameters=job.recipient.parameters,
            xforward=mail.envelope.xforward,
            spam=spam,
            user=job.user,
            arguments=job.request.agent_arguments,
            trusted=job.request.trusted,
        )
        if action is Action.QUARANTINE:
            return Outcome(job.recipient, await self._outlet.quarantine(handover, owner), None)
        return Outcome(job.recipient, await self._outlet.deliver(handover), None)

    async def _pass_by(self, mail: Incoming, job: Job) -> Outcome:
        """Deliver the message as it came: its user does not want it filtered, or it has no tokens."""
        request = job.request
        if request.lesson is not None:
            raise UnknownSignature("Nothing to learn from", detail="no signature, no tokens, or opted out")
        outcome = await self._send(mail, job, _untouched(request), mail.message.raw)
        log.get().info("passed_by", queue_id=mail.envelope.queue_id, user=job.user, size=len(mail.message))
        return dataclasses.replace(outcome, status="Delivered")

    async def _pass_unfiltered(self, mail: Incoming, job: Job, failure: TempFail) -> Outcome:
        """Deliver the message marked as unfiltered, as configured, because the store is down."""
        log.get().warning("unfiltered", queue_id=mail.envelope.queue_id, user=job.user, reason=str(failure))
        content = rewrite(mail.message, Rewrite(lines=tuple(unfiltered_lines(failure.text))))
        outcome = await self._send(mail, job, _untouched(job.request), content)
        return dataclasses.replace(outcome, status="Unfiltered")

    # --- afterwards ------------------------------------------------------------------------

    async def _learn(self, judged: Judged, request: Request, user: User) -> None:
        """Commit what the message teaches.  It is delivered already: failing costs this step only."""
        try:
            if judged.uid is not None and judged.change is not None:
                await self._storage.apply(judged.uid, judged.change)
            if judged.reported is not None and _concerns_others(request.lesson):
                await self._consultation.inoculate(user, request, judged.reported)
        except Exception as error:  # whatever it is: an error now would bring the message twice
            expected = isinstance(error, Failure)
            log.get().error(
                "not_learned",
                uid=judged.uid,
                signature=judged.verdict.signature,
                reason=str(error),
                exc_info=None if expected else error,
            )

    def _tell(
        self, mail: Incoming, job: Job, user: User, judged: Judged, outcome: Outcome, seconds: float
    ) -> None:
        """One line for whoever looks for this message, and the files of the original."""
        verdict, result = judged.verdict, judged.verdict.result
        log.get().info(
            "message",
            queue_id=mail.envelope.queue_id,
            message_id=mail.fields.message_id,
            user=user.name,
            rcpt=job.recipient.text,
            result=result.name,
            source=verdict.source.value if verdict.source else None,
            probability=round(result.probability, 4),
            confidence=round(result.confidence, 4),
            signature=verdict.signature,
            size=len(mail.message),
            total_ms=round(seconds * 1000, 1),
            next=str(outcome.reply),
        )
        if job.request.classify:
            return
        self._history.add(
            Record(
                user=user.name,
                file_user=user.file_name,
                letter=letter(result.name, job.request.lesson),
                signature=verdict.signature or "",
                status=outcome.status,
                seconds=seconds,
                statistics=user.statistics_name,
                totals=judged.totals,
                merged=user.membership.merged,
                fields=mail.fields,
            )
        )

    def _too_big(self, mail: Incoming) -> bool:
        limit = self._config.number("MaxMessageSize")
        return 0 < limit < len(mail.message)


def _concerns_others(lesson: Lesson | None) -> bool:
    """Whether a lesson is a report of spam, which inoculation groups share (engine.md 9.6)."""
    return (
        lesson is not None
        and not lesson.unlearn
        and lesson.label is Label.SPAM
        and lesson.source is not Source.CORPUS
    )


def _untouched(request: Request) -> Action:
    """Where a message goes that was not judged."""
    if request.classify or not request.deliver_innocent:
        return Action.NOTHING
    return Action.PRINT if request.stdout else Action.DELIVER


def _signature_pass(user: User, lesson: Lesson | None, strict: bool) -> SignaturePass:
    """How signatures of earlier passes are kept out of the tokens (engine.md 1.8, quirk Q-M18)."""
    cut = not user.train_pristine and (lesson is None or not strict)
    return SignaturePass(headers_only=user.signature_in_headers, cut_tags=cut)


def _status(action: Action, user: User, verdict: Verdict) -> str:
    """What the user log says became of the message (reference/storage.md 7.1)."""
    if verdict.source is Source.ERROR:
        return "Retrained"
    if verdict.source is not None:
        return ""
    if verdict.result.name == "Whitelisted":
        return "Auto-Whitelisted"
    if action is Action.QUARANTINE:
        return "Quarantined"
    return "Tagged" if verdict.result.spam and user.spam_action == "tag" else "Delivered"
