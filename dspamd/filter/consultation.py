"""Asking the dictionaries of other users about a message, and teaching them reported spam.

A dictionary that is not sure asks the other members of a classification group.  Where a group has global
users, it asks them even when it is sure, until its user has received enough mail
(reference/engine.md 9.4).  The answer counts as the user's own, and becomes part of what the message
teaches them.  The others learn nothing by being asked.

In an inoculation group a report of spam is taught to the other members, unless they take the message
for spam already (9.6).  A member makes the report, or a blacklist does (RBLInoculate).

No mail depends on the dictionaries of other users: one that fails is left out, and after
`PATIENCE_S` no other is asked.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace

from dspamd.engine.model import Label, Learned, Lesson, Mode, ScoreOptions, Snapshot, Source, Totals
from dspamd.engine.modes import MISCLASSIFIED, RULES
from dspamd.engine.scorers import scorer
from dspamd.engine.tokenizer import Tokens
from dspamd.errors import Failure
from dspamd.filter.dictionary import Dictionaries, Dictionary, Scoring, bulk, change_of
from dspamd.offload.threads import aside
from dspamd.request.request import Request
from dspamd.telemetry import log
from dspamd.users.groups import Asks
from dspamd.users.preferences import User

PATIENCE_S = 20.0
"""Seconds for asking or teaching others, one after the other; the sender of the mail waits."""

_SURE = 0.65  # from this confidence on it asks nobody
_DISTRUSTED = 0.60  # confidence of verdicts that are not trusted
_EXPERIENCE = Totals(spam_learned=250, innocent_learned=1000)  # from these totals on they are

_INOCULATION = Lesson(Label.SPAM, Source.INOCULATION)


class Consultation:
    """Consults the members of a user's groups."""

    def __init__(self, dictionaries: Dictionaries) -> None:
        self._dictionaries, self._storage = dictionaries, dictionaries.storage

    async def ask(self, user: User, request: Request, own: Scoring) -> Scoring:
        """The scoring of new mail with the answers of the user's peers; `own` is that of the user alone."""
        options = user.score_options(request)
        if not user.membership.peers or own.result.name == "Whitelisted":
            return own
        totals = own.snapshot.totals.plus(own.learned.totals)
        result = own.result
        if user.membership.asks is Asks.GLOBAL and not _experienced(totals, options.mode):
            result = result._replace(spam=False, confidence=_DISTRUSTED)
        if result.spam or result.confidence >= _SURE:
            return own
        size, each = bulk(own.run, options), scorer(options.algorithms)
        tokens = await aside(size, lambda: each.recall(own.run.signature, user.token_options(request)))
        spam = await self._spam(user.membership.peers, tokens, options)
        if spam is None:
            return own
        result = result._replace(spam=spam, name="Spam" if spam else "Innocent")
        if spam == own.result.spam or not RULES[options.mode].learns:
            return own.but(result, own.learned, provisional=own.provisional)
        label = Label.SPAM if spam else Label.INNOCENT
        if RULES[options.mode].unsure is not None:  # we were wrong, so it is this that we learn
            corrected = await aside(size, lambda: _corrected(tokens, own.snapshot, options, label))
            return own.but(result, corrected, provisional=True)
        before = own.snapshot._replace(totals=totals)
        learned = await aside(
            size, lambda: each.join(own.learned, _corrected(tokens, before, options, label))
        )
        return own.but(result, learned)

    async def _spam(self, peers: Iterable[str], tokens: Tokens, options: ScoreOptions) -> bool | None:
        """Whether one of the peers takes it for spam; None if no peer could be asked."""
        answered = None
        for peer in _in_time(peers):
            try:
                uid = await self._storage.uid(peer, create=False)
                if await _takes_for_spam(self._dictionaries.at(uid), tokens, options):
                    return True
                answered = False
            except Failure as failure:
                log.get().warning("peer_not_asked", peer=peer, reason=str(failure))
        return answered

    async def inoculate(self, user: User, request: Request, lesson: Lesson, tokens: Tokens) -> None:
        """Teach a lesson that reports spam to the other members of the user's inoculation groups."""
        if not _concerns_others(lesson):
            return
        options = replace(user.score_options(request), mode=Mode.TEFT)
        for member in _in_time(user.membership.inoculated):
            try:
                uid = await self._storage.uid(member, create=True)
                dictionary = self._dictionaries.at(uid)
                if uid is None or await _takes_for_spam(dictionary, tokens, options):
                    continue
                scoring = await dictionary.score(tokens, options, _INOCULATION)
                await self._storage.apply(uid, change_of(scoring.learned, options))
            except Failure as failure:
                log.get().warning("not_inoculated", user=member, reason=str(failure))


def _concerns_others(lesson: Lesson) -> bool:
    """Whether a lesson is a report of spam, which inoculation groups share (engine.md 9.6)."""
    return not lesson.unlearn and lesson.label is Label.SPAM and lesson.source is not Source.CORPUS


async def _takes_for_spam(dictionary: Dictionary, tokens: Tokens, options: ScoreOptions) -> bool:
    """The verdict of another user: their counters, none of their settings (quirk Q-G6)."""
    plain = replace(options, whitelist=False, sedation=0, classify_only=True)
    return (await dictionary.score(tokens, plain)).result.spam


def _experienced(totals: Totals, mode: Mode) -> bool:
    """Whether a user's own verdicts are trusted beside those of global users."""
    spam = totals.spam_learned + totals.spam_corpusfed
    innocent = totals.innocent_learned + totals.innocent_corpusfed
    enough = spam >= _EXPERIENCE.spam_learned and innocent >= _EXPERIENCE.innocent_learned
    return enough and RULES[mode].learns


def _corrected(tokens: Tokens, snapshot: Snapshot, options: ScoreOptions, label: Label) -> Learned:
    """The lesson of a correction for the user's dictionary; nobody was wrong, so no error is counted."""
    run = scorer(options.algorithms).score(tokens, snapshot, options, Lesson(label, Source.ERROR))
    if run.patterns is not None:
        run.weigh(snapshot.hits)
    totals = run.learned.totals.joined(MISCLASSIFIED[label].negated())
    return run.learned._replace(totals=totals)


def _in_time(names: Iterable[str]) -> Iterator[str]:
    """The names, until patience is over."""
    until = time.monotonic() + PATIENCE_S
    for name in names:
        if time.monotonic() > until:
            log.get().warning("consultation_cut_short", before=name)
            return
        yield name
