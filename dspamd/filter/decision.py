"""Decisions about messages: the verdict, and the change that follows the hand-over.

    a scanner found something   ->  its finding is the verdict
    a lesson with a signature   ->  the user's word is the verdict; the stored message is taught
    anything else               ->  the tokens and the dictionary decide

Nothing is changed here: the pipeline commits a decision after the hand-over.  The rules are those of
reference/engine.md 7 and protocols.md 7.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from dspamd.config.config import Config
from dspamd.engine.arrival import Arrival, marked
from dspamd.engine.model import Learned, Lesson, Result, Source, Totals
from dspamd.engine.modes import RULES
from dspamd.engine.scorers import Run
from dspamd.engine.tokenizer import Tokens
from dspamd.filter.consultation import Consultation
from dspamd.filter.dictionary import Dictionaries, Scoring, bulk, change_of
from dspamd.filter.passage import Passage
from dspamd.filter.scan.scanners import Finding
from dspamd.filter.training import Recalled, UnknownSignature, recall, result_of
from dspamd.filter.verdict import Verdict
from dspamd.offload.threads import aside
from dspamd.storage.contract import Change, Correct, NoChanges, Signature, Uid
from dspamd.telemetry import log


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict, and the change that follows the hand-over.

    lesson    the class of the message according to the client or the finding; None: neither says
    uid       the owner who learns `change`; None: the store does not know them
    recalled  the stored message of the lesson, which they learn in place of `change`
    totals    of the dictionary after `change`
    shared    the tokens that the user's inoculation groups learn, too
    run       the statistics, None for a recalled message, which has no tokens here either
    status    the words of the logs for a finding; empty: those for the verdict
    """

    verdict: Verdict
    lesson: Lesson | None
    uid: Uid | None = None
    change: Change | None = None
    recalled: Recalled | None = None
    totals: Totals | None = None
    shared: Tokens | None = None
    run: Run | None = None
    tokens: int | None = None
    status: str = ""


class Decisions:
    """Decides about messages.  `new_signature` makes the id of a signature for an owner."""

    def __init__(
        self, config: Config, dictionaries: Dictionaries, new_signature: Callable[[Uid | None], str]
    ) -> None:
        self._improbability, self._quarantine_after = config.ImprobabilityDrive, config.QuarantineAfter
        self._dictionaries, self._new_signature = dictionaries, new_signature
        self._consultation = Consultation(dictionaries)

    async def decide(self, passage: Passage, finding: Finding | None) -> Decision | None:
        """The decision; None if the message has no tokens.

        Raises `UnknownSignature` for a lesson about a message that the user does not have,
        `TempFail` and `InvalidName` as the store does.
        """
        if finding is not None:
            return await self._by_finding(passage, finding)
        lesson = passage.lesson
        if lesson is not None and (passage.signature or _needs_signature(passage, lesson)):
            return await self._by_signature(passage, lesson)
        return await self._by_tokens(passage)

    async def _by_finding(self, passage: Passage, finding: Finding) -> Decision:
        """Decide without statistics.  The tokens are kept, so that the user can correct it (Q-T7)."""
        lesson = None if passage.request.classify else finding.lesson
        tokens = await passage.tokens(None)
        passage.watch.mark("tokens")
        dictionary = await self._dictionaries.of(passage.user, create=not passage.request.classify)
        scoring = await dictionary.score(tokens, passage.score_options, lesson, passage.watch)
        learned = scoring.learned if lesson else Learned.nothing()
        ours = lesson is not None and passage.lesson is None
        keeps = RULES[passage.score_options.mode].unsure is not None
        decided = scoring.but(finding.result, learned, provisional=ours and keeps)
        return await self._decision(passage, dictionary.uid, tokens, decided, finding)

    async def _by_signature(self, passage: Passage, lesson: Lesson) -> Decision:
        """Decide as the user says.  Raises `UnknownSignature` if they have no such signature."""
        dictionary = await self._dictionaries.of(passage.user, create=False)
        recalled = await recall(dictionary, passage.signature or "")
        passage.watch.mark("store")
        verdict = self._verdict(passage, result_of(lesson.label), recalled.signature)
        return Decision(verdict, lesson, recalled=recalled)

    async def _by_tokens(self, passage: Passage) -> Decision | None:
        """Decide by the tokens of the message."""
        lesson, request, user = passage.lesson, passage.request, passage.user
        tokens = await passage.tokens(lesson)
        if not tokens:
            return None
        passage.watch.mark("tokens")
        create = not request.classify and (lesson is None or lesson.source is not Source.ERROR)
        dictionary = await self._dictionaries.of(user, create=create)
        scoring = await dictionary.score(tokens, passage.score_options, lesson, passage.watch)
        if lesson is None:
            scoring = await self._consultation.ask(user, request, scoring)
            passage.watch.mark("classify")
        elif dictionary.uid is None:
            raise UnknownSignature("Nothing to correct", detail=f"{user.owner} has no dictionary")
        return await self._decision(passage, dictionary.uid, tokens, scoring)

    async def _decision(
        self,
        passage: Passage,
        uid: Uid | None,
        tokens: Tokens,
        scoring: Scoring,
        finding: Finding | None = None,
    ) -> Decision:
        """The decision that a scoring makes, with the signature that will be stored for it."""
        signature, stored = await self._signature(passage, uid, scoring)
        run, verdict = scoring.run, self._verdict(passage, scoring.result, signature)
        if passage.user.show_factors and finding is None:
            size = bulk(run, passage.score_options)
            factors, count = await aside(size, lambda: (tuple(run.factors), run.factor_count))
            verdict = replace(verdict, factors=factors, factor_count=count)
        classify = passage.request.classify
        taught = finding.lesson if finding is not None else passage.lesson
        return Decision(
            replace(verdict, unproven=finding is None and self._unproven(passage, scoring)),
            passage.lesson or taught,
            uid,
            None if classify else _change(passage, scoring, stored),
            totals=scoring.snapshot.totals.plus(scoring.learned.totals),
            shared=tokens if taught is not None and not classify else None,
            run=run,
            tokens=len(tokens),
            status=finding.status if finding is not None else "",
        )

    async def _signature(
        self, passage: Passage, uid: Uid | None, scoring: Scoring
    ) -> tuple[str | None, Signature | None]:
        """The id of new mail, and its stored tokens; users who train pristine mail store none."""
        request, user = passage.request, passage.user
        if request.lesson is not None or request.classify or not RULES[passage.score_options.mode].learns:
            return None, None
        id_ = self._new_signature(uid)
        if uid is None or user.train_pristine:
            return id_, None
        stored = Signature(id_, await aside(8 * len(scoring.run), lambda: _data(passage, scoring)))
        # A header with an id that is not stored would promise a correction that cannot work.
        try:
            room = await self._dictionaries.storage.has_room(uid, stored)
        except NoChanges:
            return None, None  # and the message will not be learned, which the log says
        if not room:
            log.get().warning("signature_not_kept", user=user.name, uid=uid, bytes=len(stored.data))
            return None, None
        return id_, stored

    def _unproven(self, passage: Passage, scoring: Scoring) -> bool:
        """Whether the verdict on new mail is spam, by a dictionary with few lessons of either class."""
        totals = scoring.snapshot.totals
        lessons = min(totals.spam_learned, totals.innocent_learned)
        return passage.lesson is None and scoring.result.spam and lessons < self._quarantine_after

    def _verdict(self, passage: Passage, result: Result, signature: str | None) -> Verdict:
        user = passage.user
        return Verdict(
            result,
            processed=passage.time,
            source=passage.lesson.source if passage.lesson is not None else None,
            signature=signature,
            user=user.name if result.spam and user.file_name != user.name else None,
            improbability=self._improbability,
        )


def _change(passage: Passage, scoring: Scoring, stored: Signature | None) -> Change:
    """What the store changes.  It keeps a provisional lesson with its signature, to take it back exactly."""
    options, correct = passage.score_options, None
    if scoring.provisional and stored is not None and not options.strict:
        correct = Correct(stored.id, None, scoring.label, provisional=True)
    return change_of(scoring.learned, options, stored, correct)


def _data(passage: Passage, scoring: Scoring) -> bytes:
    """The content of a signature: the tokens, and the verdict unless nobody will ask for it."""
    if passage.score_options.strict:
        return scoring.run.signature
    learned = scoring.teaches and not scoring.provisional
    return marked(scoring.run.signature, Arrival(scoring.label, learned))


def _needs_signature(passage: Passage, lesson: Lesson) -> bool:
    """Whether the text of the message is not enough for a lesson."""
    return lesson.source is Source.ERROR and not passage.user.train_pristine
