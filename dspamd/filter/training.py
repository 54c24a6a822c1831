"""Lessons by signature: the user names the class of a message.

A signature holds the tokens of the message as it was scored, so a correction needs no mail.  A signature
belongs to its owner: an unknown one, or that of another user, changes nothing (`UnknownSignature`).

A correction counts once.  With each corrected signature the store keeps the label in force and the
exact effect of the correction.  The same correction again changes nothing; the opposite one takes
back exactly what the last one did.  In strict compatibility every correction counts, as in
DSPAM 3.10.2 (reference/engine.md 7.7, quirk Q-T2).

In mode tone our own verdict is such a correction too, if we learned from it: a provisional one.  Users
who confirm it change nothing.  Those who contradict it take back what it taught, and teach their own.
"""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from dspamd.engine.model import Label, Learned, Lesson, Result, ScoreOptions, Source, TokenOptions
from dspamd.engine.modes import only_teaching
from dspamd.engine.scorers import scorer
from dspamd.engine.tokenizer import Tokens
from dspamd.errors import PermFail, TempFail
from dspamd.filter.dictionary import Dictionary, change_of
from dspamd.offload.threads import aside
from dspamd.storage.contract import Change, Correct, Correction, Stale, Stored, Uid

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
    """Teach a stored message; returns its tokens, None if the user has said the same before.

    `block_only`: counters stay as they are, because another scorer moves them.

    Another client may have corrected the message since it was recalled: then it is recalled again.
    Raises what `recall` raises, and `TempFail` if the corrections do not end.
    """
    recall_tokens = scorer(score_options.algorithms).recall
    for _ in range(_ATTEMPTS):
        if _in_force(recalled.stored, lesson, score_options):
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
    guarded, last = _guarded(lesson, score_options), recalled.stored.correction
    if last is not None and _withdraws(lesson, last, score_options):
        withdrawn = Correct(recalled.signature, last.label, None)
        return change_of(await _taken_back(last, score_options), score_options, correct=withdrawn)
    if last is None or not guarded:
        learned = (await recalled.dictionary.score(tokens, score_options, lesson)).learned
        correct = Correct(recalled.signature, None, lesson.label) if guarded else None
        return change_of(learned, score_options, correct=correct)
    learned = await _taken_back(last, score_options)
    if last.provisional:
        teaching = only_teaching(score_options)
        scoring = await recalled.dictionary.score(tokens, teaching, lesson, before=learned.block)
        taught = scoring.learned
        learned = await aside(
            8 * len(tokens), partial(scorer(score_options.algorithms).join, learned, taught)
        )
    return change_of(learned, score_options, correct=Correct(recalled.signature, last.label, lesson.label))


async def _taken_back(last: Correction, score_options: ScoreOptions) -> Learned:
    """What undoes a correction."""
    applied = last.applied if last.block is None else last.applied._replace(block=last.block.data)
    take_back = scorer(score_options.algorithms).take_back
    return await aside(8 * len(applied.tokens.tokens), lambda: take_back(applied))


def _withdraws(lesson: Lesson, last: Correction, score_options: ScoreOptions) -> bool:
    """Whether a user asks to unlearn what we learned provisionally."""
    same = last.provisional and last.label is lesson.label
    return lesson.unlearn and same and not score_options.strict


def _guarded(lesson: Lesson, score_options: ScoreOptions) -> bool:
    """Whether a lesson counts once: a correction, outside of strict compatibility."""
    return lesson.source is Source.ERROR and not lesson.unlearn and not score_options.strict


def _in_force(stored: Stored, lesson: Lesson, score_options: ScoreOptions) -> bool:
    """Whether the user has said the same of this message before."""
    last = stored.correction
    return _guarded(lesson, score_options) and last is not None and last.label is lesson.label


def result_of(label: Label) -> Result:
    """The result for a message whose class the user names."""
    spam = label is Label.SPAM
    return Result(spam, "Spam" if spam else "Innocent", 1.0 if spam else 0.0, 0.0)
