"""Teaching by signature: the user says what a message really is.

The signature holds the tokens of the message as it was classified, so a
correction needs no mail.  A signature belongs to its owner; one that is unknown,
or somebody else's, changes nothing for anybody (`UnknownSignature`).

A correction counts once.  With each corrected signature the store keeps the label
in force and what the correction changed in effect: saying the same again changes
nothing, saying the opposite takes back exactly what the last correction did.  In
strict compatibility every correction counts, as in DSPAM 3.10.2
(reference/engine.md 7.7, quirk Q-T2).
"""

from __future__ import annotations

import os

from dspamd.engine.model import Label, Lesson, Result, ScoreOptions, Source, TokenOptions
from dspamd.engine.tokenizer import Tokens, tokens_from_signature
from dspamd.errors import PermFail, TempFail
from dspamd.filter.dictionary import Dictionary
from dspamd.storage.contract import Change, Correct, Stale, Storage, Stored, Uid

_ATTEMPTS = 5  # two clients moving one mail meet once; five meetings are a fault


class UnknownSignature(PermFail):
    """There is no such signature for this user: nothing was changed."""

    enhanced = "5.6.0"
    exit_status = os.EX_DATAERR


class Trainer:
    """Applies lessons by signature to the dictionary of their owner."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def look_up(self, dictionary: Dictionary, signature: str) -> tuple[Uid, Stored]:
        """What is kept under an id, and for whom.

        Raises `UnknownSignature` if the owner of the dictionary has no such signature,
        `TempFail` if the store is in trouble.
        """
        if dictionary.uid is None:
            raise UnknownSignature("Unable to find a valid signature", detail="the user is unknown")
        stored = await self._storage.signature(dictionary.uid, signature)
        if stored is None:
            detail = f"signature {signature!r}" if signature else "the message has none"
            raise UnknownSignature("Unable to find a valid signature", detail=detail)
        return dictionary.uid, stored

    async def teach(
        self,
        dictionary: Dictionary,
        signature: str,
        lesson: Lesson,
        token_options: TokenOptions,
        score: ScoreOptions,
    ) -> Tokens | None:
        """Teach a stored message; returns its tokens, None if the user has said the same before.

        Raises what `look_up` raises.
        """
        for _ in range(_ATTEMPTS):
            uid, stored = await self.look_up(dictionary, signature)
            if _in_force(stored, lesson, score):
                return None
            tokens = tokens_from_signature(stored.data, token_options)
            change = await self._change(dictionary, signature, stored, tokens, lesson, score)
            try:
                await self._storage.apply(uid, change)
            except Stale:
                continue
            return tokens
        raise TempFail("Signature is being corrected elsewhere", detail=f"signature {signature}")

    async def _change(
        self,
        dictionary: Dictionary,
        signature: str,
        stored: Stored,
        tokens: Tokens,
        lesson: Lesson,
        score: ScoreOptions,
    ) -> Change:
        """What the lesson changes."""
        guarded, last = _guarded(lesson, score), stored.correction
        if guarded and last is not None:
            return Change(last.applied.negated(), correct=Correct(signature, last.label, lesson.label))
        run = (await dictionary.judge(tokens, score, lesson)).run
        return Change(run.learned, correct=Correct(signature, None, lesson.label) if guarded else None)


def _guarded(lesson: Lesson, score: ScoreOptions) -> bool:
    """Whether a lesson counts once: a correction, outside of strict compatibility."""
    return lesson.source is Source.ERROR and not lesson.unlearn and not score.strict


def _in_force(stored: Stored, lesson: Lesson, score: ScoreOptions) -> bool:
    """Whether the user has said the same of this message before."""
    last = stored.correction
    return _guarded(lesson, score) and last is not None and last.label is lesson.label


def told(label: Label) -> Result:
    """The verdict on a message of which the user says what it is."""
    spam = label is Label.SPAM
    return Result(spam, "Spam" if spam else "Innocent", 1.0 if spam else 0.0, 0.0)
