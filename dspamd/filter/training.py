"""Lessons by signature: the user names the class of a message.

A signature holds the tokens of the message as it was scored, so a correction needs no mail.  A signature
belongs to its owner: an unknown one, or that of another user, changes nothing (`UnknownSignature`).

The last word of the user holds: after any number of corrections the dictionary knows what it would know
after the last one alone, and FN and FP count one mistake if it contradicts our verdict, else none.  The
store keeps the label in force with the signature, and the exact effect of the correction that brought it
there; the signature itself says what was learned on arrival (`engine.arrival`).  So

* a correction that agrees with what is learned changes nothing;
* the first one of a message that was learned takes back our lesson and teaches the user's, and the
  opposite one takes back exactly what the last one did;
* the first one of a message that was not learned only teaches.  It is provisional, like what mode tone
  learns by itself: the opposite one takes it back, and then teaches.

In strict compatibility every correction counts, as in DSPAM 3.10.2 (reference/engine.md 7.7, quirk Q-T2).
Of a signature that does not say what was learned, the first correction teaches whatever was.
"""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from dspamd.engine.arrival import Arrival, arrival_of, marked
from dspamd.engine.model import Label, Learned, Lesson, Result, ScoreOptions, Source, TokenOptions
from dspamd.engine.modes import MISCLASSIFIED, RULES, only_teaching
from dspamd.engine.scorers import scorer
from dspamd.engine.tokenizer import Tokens
from dspamd.errors import PermFail, TempFail
from dspamd.filter.dictionary import Dictionary, change_of
from dspamd.offload.threads import aside
from dspamd.storage.contract import Change, Correct, Correction, Signature, Stale, Stored, Uid

_ATTEMPTS = 5  # two clients that move one mail collide once; five collisions are a fault


class UnknownSignature(PermFail):
    """The user has no such signature; nothing was changed."""

    enhanced = "5.6.0"
    exit_status = os.EX_DATAERR


class Recalled(NamedTuple):
    """A stored message, as its owner's store keeps it."""

    dictionary: Dictionary
    uid: Uid
    signature: str
    stored: Stored


async def recall(dictionary: Dictionary, signature: str) -> Recalled:
    """The message that is stored under an id.

    Raises `UnknownSignature` if the owner of the dictionary has no such signature,
    `TempFail` if the store is in trouble.
    """
    if dictionary.uid is None:
        raise UnknownSignature("Unable to find a valid signature", detail="the user is unknown")
    stored = await dictionary.storage.signature(dictionary.uid, signature)
    if stored is None:
        detail = f"signature {signature!r}" if signature else "the message has none"
        raise UnknownSignature("Unable to find a valid signature", detail=detail)
    return Recalled(dictionary, dictionary.uid, signature, stored)


async def teach(
    recalled: Recalled,
    lesson: Lesson,
    token_options: TokenOptions,
    score_options: ScoreOptions,
    *,
    block_only: bool = False,
) -> Tokens | None:
    """Teach a stored message; returns its tokens, None if they teach nothing new.

    `block_only`: counters stay as they are, because another scorer moves them.

    Another client may have corrected the message since it was recalled: then it is recalled again.
    Raises what `recall` raises, and `TempFail` if the corrections do not end.
    """
    recall_tokens = scorer(score_options.algorithms).recall
    for _ in range(_ATTEMPTS):
        if _changes_nothing(recalled.stored, lesson, score_options):
            return None
        data = recalled.stored.data
        tokens = await aside(len(data), partial(recall_tokens, data, token_options))
        change = await _change(recalled, tokens, lesson, score_options)
        if block_only:
            change = replace(change, learned=change.learned.block_only)
        try:
            await recalled.dictionary.storage.apply(recalled.uid, change)
        except Stale:
            recalled = await recall(recalled.dictionary, recalled.signature)
        else:
            return tokens
    raise TempFail("Signature is being corrected elsewhere", detail=f"signature {recalled.signature}")


async def _change(recalled: Recalled, tokens: Tokens, lesson: Lesson, score_options: ScoreOptions) -> Change:
    """The change that the lesson makes."""
    last = recalled.stored.correction
    if not _corrects(lesson, score_options):
        learned = (await recalled.dictionary.score(tokens, score_options, lesson)).learned
        return change_of(learned, score_options)
    if lesson.unlearn:
        return await _unlearned(recalled, tokens, lesson, score_options)
    if last is None:
        return await _first(recalled, tokens, lesson, score_options)
    learned = await _taken_back(last, score_options)
    if last.provisional:
        taught = await _taught(recalled, tokens, lesson, score_options, before=learned.block)
        learned = await aside(
            8 * len(tokens), partial(scorer(score_options.algorithms).join, learned, taught)
        )
    return change_of(learned, score_options, correct=Correct(recalled.signature, last.label, lesson.label))


async def _first(recalled: Recalled, tokens: Tokens, lesson: Lesson, score_options: ScoreOptions) -> Change:
    """The first correction of a message."""
    arrival = _arrival(recalled.stored, score_options)
    fresh = arrival is not None and not arrival.learned
    if fresh:
        learned = await _taught(recalled, tokens, lesson, score_options)
    else:
        learned = (await recalled.dictionary.score(tokens, score_options, lesson)).learned
    if not RULES[score_options.mode].learns:  # nothing is in force, and a later one has all to do
        return change_of(learned, score_options)
    correct = Correct(recalled.signature, None, lesson.label, provisional=fresh)
    return change_of(learned, score_options, correct=correct)


async def _taught(
    recalled: Recalled, tokens: Tokens, lesson: Lesson, score_options: ScoreOptions, *, before: bytes = b""
) -> Learned:
    """What a correction teaches that takes nothing back; only one that contradicts us counts a mistake."""
    scoring = await recalled.dictionary.score(tokens, only_teaching(score_options), lesson, before=before)
    arrival, learned = _arrival(recalled.stored, score_options), scoring.learned
    if arrival is None or arrival.label is not lesson.label or not RULES[score_options.mode].learns:
        return learned
    return learned._replace(totals=learned.totals.joined(MISCLASSIFIED[lesson.label].negated()))


async def _unlearned(
    recalled: Recalled, tokens: Tokens, lesson: Lesson, score_options: ScoreOptions
) -> Change:
    """Take back what was learned of a message, which is one that was not learned from then on."""
    id_, last, arrival = (
        recalled.signature,
        recalled.stored.correction,
        _arrival(recalled.stored, score_options),
    )
    if last is not None and last.provisional and last.label is lesson.label:
        withdrawn = Correct(id_, last.label, None)
        return change_of(await _taken_back(last, score_options), score_options, correct=withdrawn)
    learned = (await recalled.dictionary.score(tokens, score_options, lesson)).learned
    if arrival is None:
        return change_of(learned, score_options)
    data = recalled.stored.data
    data = await aside(len(data), lambda: marked(data, arrival._replace(learned=False)))
    return change_of(learned, score_options, Signature(id_, data), Correct(id_, None, None))


async def _taken_back(last: Correction, score_options: ScoreOptions) -> Learned:
    """What undoes a correction."""
    applied = last.applied if last.block is None else last.applied._replace(block=last.block.data)
    take_back = scorer(score_options.algorithms).take_back
    return await aside(8 * len(applied.tokens.tokens), lambda: take_back(applied))


def _corrects(lesson: Lesson, score_options: ScoreOptions) -> bool:
    """Whether a lesson counts once, and is taken back exactly."""
    return lesson.source is Source.ERROR and not score_options.strict


def _arrival(stored: Stored, score_options: ScoreOptions) -> Arrival | None:
    """What became of the message on arrival; None: that is not known, or counts for nothing.

    Where the store keeps no corrections it says little: what was learned since then is not known.
    """
    return None if score_options.strict or not stored.corrections else arrival_of(stored.data)


def _in_force(stored: Stored, score_options: ScoreOptions) -> Label | None:
    """The label with which the message is learned; None: with none, or it is not known."""
    if stored.correction is not None:
        return stored.correction.label
    arrival = _arrival(stored, score_options)
    return arrival.label if arrival is not None and arrival.learned else None


def _changes_nothing(stored: Stored, lesson: Lesson, score_options: ScoreOptions) -> bool:
    """Whether the message is learned like that already, or was never learned like that."""
    if not _corrects(lesson, score_options):
        return False
    as_said = _in_force(stored, score_options) is lesson.label
    if lesson.unlearn:
        return not as_said and _arrival(stored, score_options) is not None
    return as_said


def result_of(label: Label) -> Result:
    """The result for a message whose class the user names."""
    spam = label is Label.SPAM
    return Result(spam, "Spam" if spam else "Innocent", 1.0 if spam else 0.0, 0.0)
