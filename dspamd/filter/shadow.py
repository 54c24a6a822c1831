"""A scorer in the shadow of another: it scores and learns all mail, and decides nothing (`ShadowAlgorithm`).

It learns what the other decides, until the user corrects that.  A postmaster sees in the metrics how often
the two differ, and what the shadow said of mail that users correct, before they make it the Algorithm.  It is
the verdict on arrival that counts, for by now the shadow has learned our mistake; so its signature keeps
that.  What it knows by then is what a user begins with after the change.

Only a scorer with a block can be a shadow: its knowledge stands beside that of the other.  The store keeps a
second signature for each message, which the user never sees.  The shadow works after the hand-over, and
its failures are logged and forgotten.
"""

from __future__ import annotations

from dspamd.config.config import Config
from dspamd.engine.arrival import Arrival, arrival_of, marked
from dspamd.engine.model import Label, Lesson, Result, ScoreOptions, Source, TokenOptions
from dspamd.engine.modes import near_errors
from dspamd.engine.scorers import scorer
from dspamd.errors import Failure
from dspamd.filter.decision import Decision
from dspamd.filter.dictionary import Dictionaries, Scoring, change_of
from dspamd.filter.passage import Passage
from dspamd.filter.training import Recalled, UnknownSignature, recall, teach
from dspamd.storage.contract import Correct, Signature
from dspamd.telemetry import log
from dspamd.telemetry.metrics import Metrics
from dspamd.telemetry.recurring import Recurring

SUFFIX = "-shadow"
"""The end of the id of the second signature of a message."""


class Shadow:
    """The shadow that dspam.conf names, for all users; without one it does nothing."""

    def __init__(self, config: Config, dictionaries: Dictionaries, metrics: Metrics) -> None:
        self._chosen = scorer([config.ShadowAlgorithm]) if config.ShadowAlgorithm else None
        view = self._chosen.view if self._chosen is not None else None
        self._tokens = TokenOptions(view=view or config.MessageView, document=config.DataSource == "document")
        self._options = near_errors(
            ScoreOptions(frozenset([config.ShadowAlgorithm]), margin=config.TrainingMargin)
        )
        self._dictionaries, self._metrics = dictionaries, metrics
        self._failures = Recurring("shadow_failed", "shadow_follows_again")

    async def follow(self, passage: Passage, decision: Decision) -> None:
        """Score and learn a message on which the other scorer has decided; never fails."""
        if self._chosen is None or passage.request.classify:
            return
        try:
            if decision.recalled is not None and passage.lesson is not None:
                await self._correct(decision.recalled, passage.lesson)
            elif decision.run is not None and not decision.status:
                await self._score(passage, decision)
        except Exception as error:  # whatever it is: the mail is delivered and learned
            said = error.text if isinstance(error, Failure) else str(error)
            if lost := self._failures.due(error, said):
                name = passage.user.name
                log.get().warning("shadow_failed", user=name, lost=lost, reason=str(error))
        else:
            self._failures.well()

    async def _score(self, passage: Passage, decision: Decision) -> None:
        """Score new mail, or a lesson that comes with its text."""
        tokens = await passage.mail.tokens(self._tokens, passage.user.signature_pass(passage.lesson))
        dictionary = await self._dictionaries.of(passage.user, create=False)
        if dictionary.uid is None:
            return
        scoring = await dictionary.score(tokens, self._options, passage.lesson)
        signature = correct = None
        if passage.lesson is None:
            self._metrics.shadow_verdicts.add(_word(decision.verdict.result), _word(scoring.result))
            ours = Label.SPAM if decision.verdict.result.spam else Label.INNOCENT
            said = scoring
            if scoring.result.spam != decision.verdict.result.spam:
                # Users correct our verdicts, not these: what nobody corrects is as we said.
                scoring = await dictionary.score(tokens, self._options, Lesson(ours, Source.CORPUS))
            signature, correct = _kept(decision.verdict.signature, said, ours, scoring.learned.block)
        change = change_of(scoring.learned.block_only, self._options, signature, correct)
        await dictionary.storage.apply(dictionary.uid, change)

    async def _correct(self, ours: Recalled, lesson: Lesson) -> None:
        """Teach a correction; mail from before the shadow was there has no signature of it."""
        try:
            recalled = await recall(ours.dictionary, ours.signature + SUFFIX)
        except UnknownSignature:
            return
        said = arrival_of(recalled.stored.data)
        if said is not None and _contradicts(lesson, ours, recalled):
            self._metrics.shadow_corrections.add("right" if said.label is lesson.label else "wrong")
        await teach(recalled, lesson, self._tokens, self._options, block_only=True)


def _contradicts(lesson: Lesson, ours: Recalled, shadow: Recalled) -> bool:
    """Whether a user says for the first time that our verdict on a message was wrong.

    The first correction finds nothing in force for the shadow, or something provisional; no later one does.
    """
    last, arrival = shadow.stored.correction, arrival_of(ours.stored.data)
    if lesson.source is not Source.ERROR or lesson.unlearn:
        return False
    if last is not None and (not last.provisional or last.label is lesson.label):
        return False
    return arrival is None or arrival.label is not lesson.label


def _kept(
    signature: str | None, said: Scoring, label: Label, block: bytes
) -> tuple[Signature | None, Correct | None]:
    """The second signature of a message, and its provisional lesson if it teaches the block something."""
    if signature is None:
        return None, None
    data = marked(said.run.signature, Arrival(said.label, learned=False))
    stored = Signature(signature + SUFFIX, data)
    return stored, Correct(stored.id, None, label, provisional=True) if block else None


def _word(result: Result) -> str:
    return "spam" if result.spam else "innocent"
