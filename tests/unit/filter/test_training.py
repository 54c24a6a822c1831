"""Teaching by signature, where the signature is text (engine.md 7.7 and 8.2)."""

from __future__ import annotations

from array import array
from typing import cast

import pytest

from dspamd.engine.model import Hits, Label, Lesson, ScoreOptions, Snapshot, Source, TokenOptions, Totals
from dspamd.engine.tokenizer import crc64
from dspamd.errors import TempFail
from dspamd.filter.dictionary import Dictionary
from dspamd.filter.training import recall, teach
from dspamd.storage.contract import Change, Stale, Storage, Stored, Uid

TEXT = b"Subject: cheap pills\n\x01buy cheap pills today\0"


class OneSignature:
    """A store that knows one signature and keeps the change it is given."""

    change: Change | None = None

    def __init__(self, meetings: int = 0) -> None:
        self.meetings, self.looked_up = meetings, 0  # collisions with corrections of another client

    async def signature(self, uid: Uid, signature: str) -> Stored | None:
        self.looked_up += 1
        return Stored(TEXT, None) if signature == "known" else None

    async def read(self, uid: Uid, tokens: array[int]) -> Snapshot:
        return Snapshot(Totals(2000, 2000), Hits.none())

    async def apply(self, uid: Uid, change: Change) -> None:
        if self.meetings:
            self.meetings -= 1
            raise Stale
        self.change = change


async def test_noise_patterns_of_text_are_taught_too() -> None:
    store = OneSignature()
    lesson = Lesson(Label.SPAM, Source.ERROR)
    recalled = await recall(Dictionary(cast(Storage, store), 1), "known")
    taught = await teach(recalled, lesson, TokenOptions("sbph", noise=True), ScoreOptions(noise=True))
    assert taught is not None
    assert store.change is not None
    learned = store.change.learned.tokens
    assert {crc64(b"buy+cheap"), crc64(b"bnr.t|")} <= set(learned.tokens)
    assert set(learned.spam) == {1}
    assert set(learned.innocent) == {-1}


@pytest.mark.parametrize("meetings", [0, 1, 4])
async def test_a_signature_is_looked_up_again_only_if_somebody_else_corrected_it(meetings: int) -> None:
    store = OneSignature(meetings)
    recalled = await recall(Dictionary(cast(Storage, store), 1), "known")
    lesson = Lesson(Label.SPAM, Source.ERROR)
    assert await teach(recalled, lesson, TokenOptions("word"), ScoreOptions()) is not None
    assert store.looked_up == 1 + meetings


async def test_corrections_that_do_not_end_are_put_off() -> None:
    recalled = await recall(Dictionary(cast(Storage, OneSignature(1000)), 1), "known")
    with pytest.raises(TempFail, match="corrected elsewhere"):
        await teach(recalled, Lesson(Label.SPAM, Source.ERROR), TokenOptions("word"), ScoreOptions())
