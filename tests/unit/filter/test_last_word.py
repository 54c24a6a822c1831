"""The last word of the user holds, whatever was said of a message before."""

from __future__ import annotations

import asyncio
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from functools import cache
from itertools import product
from pathlib import Path

import pytest

from dspamd.config.config import Config
from dspamd.engine.arrival import Arrival, arrival_of, marked, unmarked
from dspamd.engine.joint import JOINT
from dspamd.engine.model import Label, Lesson, Source, TokenOptions, Totals
from dspamd.engine.tokenizer import tokens_from_signature
from dspamd.filter.blocks import Blocks
from dspamd.filter.decision import Decisions
from dspamd.filter.dictionary import Dictionaries
from dspamd.filter.passage import Passage
from dspamd.filter.training import recall, teach
from dspamd.filter.transaction import InboundMessage
from dspamd.home.home import Home
from dspamd.request.envelope import Envelope
from dspamd.request.recipients import Delivery, recipient_of
from dspamd.request.request import Request
from dspamd.storage.contract import Change, Stored, Uid
from dspamd.storage.memory import MemoryStorage
from dspamd.users.users import Users
from tests.support.pipeline import BASE, CORPUS_INNOCENT, CORPUS_SPAM, HAM, SPAM

BOB, ID = "bob@example.net", "id"
MAILS = {  # by verdict: some whose words are all known, and some with news, which mode tone learns
    "sure": {Label.SPAM: SPAM, Label.INNOCENT: HAM},
    "news": {
        Label.SPAM: SPAM.replace(b"casino", b"minutes agenda lunch"),
        Label.INNOCENT: HAM.replace(b"lunch", b"pills offer casino"),
    },
}
KINDS = [
    "joint tone",
    "joint teft",
    "joint toe",
    "confidence tone",
    *(f"graham {m}" for m in ("teft", "toe", "tum")),
]
MARGINS = {"sure": 1, "news": 50}
REPORTS = [words for n in (1, 2, 3) for words in product(Label, repeat=n)]
Knowledge = tuple[Totals, list[tuple[int, int, int]], bytes]


class Site:
    """A user's dictionary in memory, and the path of their mail."""

    def __init__(self, kind: str, *lines: str) -> None:
        algorithm, mode = kind.split()
        text = BASE.replace("graham burton", algorithm).replace("teft", mode)
        self.config = Config.from_text("\n".join(["Home /nonexistent", text, *lines]))
        self.storage = MemoryStorage()

    async def arrive(self, mail: bytes, lesson: Lesson | None = None) -> Label:
        """Judge a message, and learn it; the verdict."""
        users = Users(self.config, self.storage, Home(Path("/nonexistent")))
        decisions = Decisions(self.config, Dictionaries.of_site(self.config, self.storage), lambda _: ID)
        delivery = Delivery(BOB, recipient_of(BOB), Request(lesson=lesson))
        message, user = InboundMessage(Envelope(b"", (), mail)), await users.resolve(BOB)
        decision = await decisions.decide(Passage(message, delivery, user, time=datetime(2000, 1, 1)), None)
        assert decision is not None
        assert decision.uid is not None
        assert decision.change is not None
        await self.storage.apply(decision.uid, decision.change)
        return Label.SPAM if decision.verdict.result.spam else Label.INNOCENT

    async def after(self, *words: Label | Lesson) -> Knowledge:
        """What the dictionary knows after these reports, made on a copy of it."""
        storage: MemoryStorage = pickle.loads(pickle.dumps(self.storage))
        user = await Users(self.config, storage, Home(Path("/nonexistent"))).resolve(BOB)
        dictionary = Dictionaries.of_site(self.config, storage).at(BOB)
        for word in words:
            request = Request(lesson=word if isinstance(word, Lesson) else Lesson(word, Source.ERROR))
            assert request.lesson is not None
            recalled = await recall(dictionary, ID)
            await teach(recalled, request.lesson, user.token_options(request), user.score_options(request))
        hits = [row[:3] for row in [r async for rows in storage.tokens(BOB) for r in rows] if any(row[1:3])]
        weights = await Blocks().weights(storage, BOB, "joint", JOINT)
        return (await dictionary.totals()), hits, weights.write()

    async def stored(self) -> Stored:
        stored = await self.storage.signature(BOB, ID)
        assert stored is not None
        return stored


@cache
def learned(kind: str) -> bytes:
    """The store of a user who has learned much."""

    async def learn() -> bytes:
        made = Site(kind)
        for k in range(101):  # mode toe learns all mail until then
            # Tone learns the verdicts of spam of a user whose first ham was various.
            various = kind == "joint tone" and k < 20
            first = b"Subject: note%d\r\n\r\nitem%d part%d cheap pills offer casino\r\n" % (k, k, k)
            await made.arrive(first if various else HAM, CORPUS_INNOCENT)
            await made.arrive(SPAM, CORPUS_SPAM)
        return pickle.dumps(made.storage)

    with ThreadPoolExecutor(1) as other:  # a loop of its own
        return other.submit(asyncio.run, learn()).result()


async def site(kind: str, verdict: Label, mails: str, *lines: str) -> Site:
    """One that has judged a message like that."""
    made = Site(kind, *lines, f"TrainingMargin {MARGINS[mails]}")
    made.storage = pickle.loads(learned(kind))
    assert await made.arrive(MAILS[mails][verdict]) is verdict
    return made


@pytest.mark.parametrize("mails", MAILS)
@pytest.mark.parametrize("verdict", Label)
@pytest.mark.parametrize("kind", KINDS)
async def test_any_reports_leave_what_the_last_one_alone_does(kind: str, verdict: Label, mails: str) -> None:
    """They count as one mistake if the last one contradicts us, else as none."""
    seen = await site(kind, verdict, mails)
    if "tone" in kind:
        assert ((await seen.stored()).correction is not None) is (mails == "news")
    assert (await seen.after())[0][2:4] == (0, 0)
    alone = {label: await seen.after(label) for label in Label}
    assert alone[Label.SPAM] != alone[Label.INNOCENT]
    for label, (totals, *_) in alone.items():
        assert totals[:2] == (101 + (label is Label.SPAM), 101 + (label is Label.INNOCENT))
        mistaken = label is not verdict
        assert totals[2:4] == (mistaken and label is Label.SPAM, mistaken and label is Label.INNOCENT)
    for words in REPORTS:
        assert await seen.after(*words) == alone[words[-1]], words


@pytest.mark.parametrize("kind", KINDS)
async def test_so_they_do_where_nothing_was_known(kind: str) -> None:
    """Counters that stop at zero are no exception."""
    seen = Site(kind)
    await seen.arrive(SPAM)
    for words in REPORTS:
        assert await seen.after(*words) == await seen.after(words[-1]), words


@pytest.mark.parametrize("verdict", Label)
@pytest.mark.parametrize("kind", KINDS)
async def test_a_report_that_agrees_teaches_what_was_not_learned_yet(kind: str, verdict: Label) -> None:
    seen = await site(kind, verdict, "sure")
    arrival = arrival_of((await seen.stored()).data)
    assert arrival is not None
    assert arrival.label is verdict
    learned = arrival.learned or (await seen.stored()).correction is not None
    assert learned is (kind.split()[1] in ("teft", "tum"))
    assert (await seen.after(verdict) == await seen.after()) is learned


@pytest.mark.parametrize("verdict", Label)
@pytest.mark.parametrize("kind", ["confidence tone", "graham teft", "graham toe"])
async def test_what_is_unlearned_has_not_been_learned(kind: str, verdict: Label) -> None:
    """Whatever the user says after that is the first word."""
    seen = await site(kind, verdict, "sure")
    for words in REPORTS[:6]:
        unlearn = Lesson(words[-1], Source.ERROR, unlearn=True)
        nothing = await seen.after(*words, unlearn)
        assert await seen.after(*words, unlearn, unlearn) == nothing, words
        assert nothing[0][:2] == (101, 101), words
        for word in Label:
            again, alone = await seen.after(*words, unlearn, word), await seen.after(word)
            assert (again[0][:2], again[1]) == (alone[0][:2], alone[1]), (words, word)


@pytest.mark.parametrize("verdict", Label)
async def test_a_signature_without_a_mark_is_corrected_as_ever(verdict: Label) -> None:
    """The first correction of it is taken back by the second one, and no more."""
    seen = await site("graham toe", verdict, "sure", "StrictCompatibility on")
    data = (await seen.stored()).data
    assert (len(data) % 16, arrival_of(data)) == (0, None)
    once = await seen.after(verdict)
    assert await seen.after(verdict, verdict) != once
    before, seen.config = await seen.after(), Site("graham toe").config
    assert await seen.after(verdict, verdict.opposite) == before


class Forgetful(MemoryStorage):
    """A store without a place for corrections."""

    async def apply(self, uid: Uid, change: Change) -> None:
        await super().apply(uid, replace(change, correct=None))

    async def signature(self, uid: Uid, signature: str) -> Stored | None:
        stored = await super().signature(uid, signature)
        return stored and stored._replace(corrections=False)


@pytest.mark.parametrize("verdict", Label)
async def test_where_corrections_are_not_kept_none_is_ignored(verdict: Label) -> None:
    """The mark knows nothing of those before."""
    seen = Site("graham teft")
    seen.storage = Forgetful()
    seen.storage.__setstate__(pickle.loads(learned("graham teft")).__getstate__())
    assert await seen.arrive(MAILS["sure"][verdict]) is verdict
    before = await seen.after()
    assert (await seen.after(verdict.opposite, verdict))[1] == before[1]
    assert (await seen.after(verdict.opposite, verdict))[0][:2] == before[0][:2]


@pytest.mark.parametrize(
    "arrival", [Arrival(label, learned) for label in (*Label, None) for learned in (False, True)]
)
def test_a_mark_is_eight_bytes_that_nobody_else_sees(arrival: Arrival) -> None:
    for data in (b"", b"r" * 32, b"Subject: x\x01text\0"):
        kept = marked(data, arrival)
        assert (arrival_of(data), arrival_of(kept), unmarked(kept), len(kept)) == (
            None,
            arrival,
            data,
            len(data) + 8,
        )
        assert marked(kept, arrival) == kept
        options = TokenOptions()
        assert list(tokens_from_signature(kept, options).values) == list(
            tokens_from_signature(data, options).values
        )
