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

from dspamd.engine import Run, tokens_from_signature
from dspamd.engine.model import Label, Lesson, Result, ScoreOptions, Source, TokenOptions
from dspamd.errors import PermFail, TempFail
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

    async def teach(
        self, uid: Uid | None, signature: str, lesson: Lesson, tokens: TokenOptions, score: ScoreOptions
    ) -> Result:
        """Teach a stored message; `Result` has probability 1 or 0 and confidence 0.

        Raises `UnknownSignature` if `uid` has no such signature, `TempFail` if the
        store is in trouble.
        """
        if uid is None:
            raise UnknownSignature("Unable to find a valid signature", detail="the user is unknown")
        for _ in range(_ATTEMPTS):
            stored = await self._storage.signature(uid, signature)
            if stored is None:
                raise UnknownSignature("Unable to find a valid signature", detail=f"signature {signature!r}")
            change = await self._change(uid, signature, stored, lesson, tokens, score)
            try:
                if change is not None:
                    await self._storage.apply(uid, change)
            except Stale:
                continue
            return _taught(lesson.label)
        raise TempFail("Signature is being corrected elsewhere", detail=f"signature {signature}")

    async def _change(
        self,
        uid: Uid,
        signature: str,
        stored: Stored,
        lesson: Lesson,
        token_options: TokenOptions,
        score: ScoreOptions,
    ) -> Change | None:
        """What the lesson changes; None if the correction is in force already."""
        last = stored.correction
        guarded = lesson.source is Source.ERROR and not lesson.unlearn and not score.strict
        if guarded and last is not None:
            if last.label is lesson.label:
                return None
            return Change(last.applied.negated(), correct=Correct(signature, last.label, lesson.label))
        tokens = tokens_from_signature(stored.data, token_options)
        snapshot = await self._storage.read(uid, tokens.values)
        run = Run(tokens, snapshot, score, lesson)
        if run.patterns is not None:  # the signature is text (sbph): its noise patterns are found anew
            run.weigh((await self._storage.read(uid, run.patterns)).hits)
        return Change(run.learned, correct=Correct(signature, None, lesson.label) if guarded else None)


def _taught(label: Label) -> Result:
    spam = label is Label.SPAM
    return Result(spam, "Spam" if spam else "Innocent", 1.0 if spam else 0.0, 0.0)
