"""Teaching by signature, where the signature is text (engine.md 7.7 and 8.2)."""

from __future__ import annotations

from array import array
from typing import cast

from dspamd.engine.model import Hits, Label, Lesson, ScoreOptions, Snapshot, Source, TokenOptions, Totals
from dspamd.engine.tokenizer import crc64
from dspamd.filter.dictionary import Dictionary
from dspamd.filter.training import Trainer
from dspamd.storage.contract import Change, Storage, Stored, Uid

TEXT = b"Subject: cheap pills\n\x01buy cheap pills today\0"


class OneSignature:
    """A store that knows one signature and keeps the change it is given."""

    change: Change | None = None

    async def signature(self, uid: Uid, signature: str) -> Stored | None:
        return Stored(TEXT, None) if signature == "known" else None

    async def read(self, uid: Uid, tokens: array[int]) -> Snapshot:
        return Snapshot(Totals(2000, 2000), Hits.none())

    async def apply(self, uid: Uid, change: Change) -> None:
        self.change = change


async def test_noise_patterns_of_text_are_taught_too() -> None:
    store = OneSignature()
    lesson = Lesson(Label.SPAM, Source.ERROR)
    trainer, dictionary = Trainer(cast(Storage, store)), Dictionary(cast(Storage, store), 1)
    taught = await trainer.teach(
        dictionary, "known", lesson, TokenOptions("sbph", noise=True), ScoreOptions(noise=True)
    )
    assert taught is not None
    assert store.change is not None
    learned = store.change.learned.tokens
    assert {crc64(b"buy+cheap"), crc64(b"bnr.t|")} <= set(learned.tokens)
    assert set(learned.spam) == {1}
    assert set(learned.innocent) == {-1}
