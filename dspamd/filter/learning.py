"""The lesson of a message: it is committed after the hand-over, and trouble with it costs no mail."""

from __future__ import annotations

import time

from dspamd.engine.model import Totals
from dspamd.errors import Failure
from dspamd.filter.consultation import Consultation
from dspamd.filter.decision import Decision
from dspamd.filter.dictionary import Dictionaries
from dspamd.filter.passage import Passage
from dspamd.filter.training import teach
from dspamd.storage.contract import NoChanges, Storage
from dspamd.telemetry import log
from dspamd.telemetry.metrics import Metrics
from dspamd.telemetry.recurring import Recurring


class Learning:
    """Commits what messages teach."""

    def __init__(self, storage: Storage, dictionaries: Dictionaries, metrics: Metrics) -> None:
        self._storage, self._consultation, self._metrics = storage, Consultation(dictionaries), metrics
        self._unlearned = Recurring("not_learned", "learned_again")

    async def commit(self, passage: Passage, decision: Decision) -> Totals | None:
        """Commit the lesson of the message; returns the totals of the dictionary afterwards.

        A lesson that cannot be learned fails: it is the purpose of its message.  Plain mail is
        delivered by now, so a failure costs no more than this stage.
        """
        totals, shared = decision.totals, decision.shared
        if (recalled := decision.recalled) is not None and passage.lesson is not None:
            shared = await teach(recalled, passage.lesson, passage.token_options, passage.score_options)
            totals = await recalled.dictionary.totals()
        elif passage.lesson is not None:
            await self._apply(decision)
        try:
            if passage.lesson is None:
                await self._apply(decision)
            if decision.lesson is not None and shared is not None:
                await self._consultation.inoculate(passage.user, passage.request, decision.lesson, shared)
        except Exception as error:  # whatever it is: an error now would bring the message twice
            self._metrics.not_learned.add()
            self._tell(error, decision)
        return totals

    def _tell(self, error: Exception, decision: Decision) -> None:
        """Name a message that was not learned; only the first one, and each count, has the reason."""
        about = {"uid": decision.uid, "signature": decision.verdict.signature}
        bug = None if isinstance(error, Failure) else error
        if lost := self._unlearned.due(error, error.text if isinstance(error, Failure) else str(error)):
            log.get().error("not_learned", **about, lost=lost, reason=str(error), exc_info=bug)
        else:
            log.get().info("not_learned", **about)

    async def _apply(self, decision: Decision) -> None:
        if decision.uid is not None and decision.change is not None:
            try:
                await self._storage.apply(decision.uid, decision.change)
            except NoChanges:
                self._metrics.last_unchanged.set(time.time())
                raise
            self._metrics.last_changed.set(time.time())
            self._unlearned.well()
