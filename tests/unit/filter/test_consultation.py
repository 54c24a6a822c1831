"""Asking and teaching other users: the decision flow of reference/engine.md 9.4, and 9.6."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from dspamd.config.config import Config
from dspamd.engine.model import Label, Learned, Lesson, Snapshot, Source, TokenChange, Totals
from dspamd.engine.tokenizer import Tokens, crc64, tokenize
from dspamd.errors import TempFail
from dspamd.filter import consultation
from dspamd.filter.consultation import Consultation
from dspamd.filter.dictionary import Dictionaries, Dictionary, Scoring
from dspamd.mail.view import View
from dspamd.request.request import Request
from dspamd.storage.contract import Change, Storage, Uid
from dspamd.telemetry import log
from dspamd.users.groups import Asks, Membership
from dspamd.users.preferences import Defaults, User
from tests.support.memory_store import MemoryStore
from tests.support.pipeline import (
    BOTH,
    CORPUS_SPAM,
    ERROR_INNOCENT,
    ERROR_SPAM,
    SPAM,
    open_pipeline,
    signature_of,
)

VILE = [b"vile%d" % n for n in range(20)]
FINE = [b"fine%d" % n for n in range(20)]
PUZZLE = b" ".join(VILE[:5] + FINE[:14])
SEEN = Totals(spam_learned=100, innocent_learned=100)
EXPERIENCED = Totals(spam_learned=300, innocent_learned=1000)
ASKING_PEERS = Membership(asks=Asks.PEERS, peers=("ann", "ben"))
BELIEVING = Membership(asks=Asks.GLOBAL, peers=("ann", "ben"))


class Stores:
    """Dictionaries by owner; some of them cannot be reached."""

    def __init__(self) -> None:
        self.owners: dict[str, MemoryStore] = {}
        self.down: set[str] = set()
        self.asked: list[str] = []

    def know(self, owner: str, totals: Totals = SEEN, *, vile: int = 100, fine: int = 100) -> None:
        """Give an owner a dictionary: spam hits of the vile words, innocent hits of the fine ones."""
        store = self.owners[owner] = MemoryStore()
        store.totals = totals
        store.hits = {crc64(word): (vile, 0) for word in VILE} | {crc64(word): (0, fine) for word in FINE}

    async def uid(self, owner: str, *, create: bool) -> Uid | None:
        if owner in self.down:
            raise TempFail("Storage unavailable")
        if create and owner not in self.owners:
            self.owners[owner] = MemoryStore()
        return owner if owner in self.owners else None

    async def read(self, uid: Uid, tokens: array[int]) -> Snapshot:
        self.asked.append(str(uid))
        return self.owners[str(uid)].read(tokens)

    async def apply(self, uid: Uid, change: Change) -> None:
        self.owners[str(uid)].apply(change.learned)


class Me:
    """A user of a site whose dictionary knows both kinds of words."""

    def __init__(self, membership: Membership, *lines: str) -> None:
        config = Config.from_text("\n".join(("Home /x", "Tokenizer word", *lines)))
        self.stores = Stores()
        self.stores.know("me")
        self.user = User("me", {}, (), True, Defaults.of(config), membership)
        self.request = Request()

    @property
    def storage(self) -> Storage:
        return cast(Storage, self.stores)

    def tokens(self, body: bytes) -> Tokens:
        return tokenize(View(b"From: bob@example.org\n", body), self.user.token_options(self.request))

    async def own(self, body: bytes = PUZZLE) -> Scoring:
        """The scoring of the user's own dictionary."""
        options = self.user.score_options(self.request)
        return await Dictionary(self.storage, "me").score(self.tokens(body), options)

    async def ask(self, body: bytes = PUZZLE) -> Scoring:
        """The scoring after asking; the dictionaries of the others stay as they are."""
        before = {owner: (store.totals, store.rows()) for owner, store in self.stores.owners.items()}
        options = self.user.score_options(self.request)
        own = await Dictionary(self.storage, "me").score(self.tokens(body), options)
        self.stores.asked.clear()
        asked = await Consultation(Dictionaries(self.storage)).ask(self.user, self.request, own)
        assert before == {owner: (store.totals, store.rows()) for owner, store in self.stores.owners.items()}
        return asked

    async def inoculate(self, body: bytes) -> None:
        lesson = Lesson(Label.SPAM, Source.ERROR)
        await Consultation(Dictionaries(self.storage)).inoculate(
            self.user, self.request, lesson, self.tokens(body)
        )


def steps(change: TokenChange) -> set[tuple[int, int]]:
    return set(zip(change.spam, change.innocent, strict=True))


@pytest.fixture
def logged(capfd: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    """The log since the last call."""
    log.configure()
    yield lambda: capfd.readouterr().err
    log.configure()


# --- whom to believe -----------------------------------------------------------------------


async def test_a_peer_who_says_spam_is_believed() -> None:
    me = Me(ASKING_PEERS)
    me.stores.know("ann", vile=0)
    me.stores.know("ben", fine=0)
    own, asked = await me.own(), await me.ask()
    assert (own.result.name, own.result.confidence < 0.65) == ("Innocent", True)
    assert asked.result == own.result._replace(spam=True, name="Spam")
    assert me.stores.asked == ["ann", "ben"]


async def test_nobody_else_is_asked_once_one_says_spam() -> None:
    me = Me(ASKING_PEERS)
    me.stores.know("ann", fine=0)
    me.stores.know("ben")
    assert (await me.ask()).result.spam
    assert me.stores.asked == ["ann"]


async def test_peers_who_find_nothing_change_nothing() -> None:
    me = Me(ASKING_PEERS)
    me.stores.know("ann", vile=0)  # the dictionary of ben is empty
    assert await me.ask() == await me.own()


@pytest.mark.parametrize("body", [b" ".join(VILE), b" ".join(FINE)])
async def test_who_is_sure_asks_nobody(body: bytes) -> None:
    me = Me(ASKING_PEERS)
    me.stores.know("ann", fine=0)
    asked = await me.ask(body)
    assert me.stores.asked == []
    assert asked == await me.own(body)


async def test_a_whitelisted_sender_needs_no_advice() -> None:
    me = Me(BELIEVING, "Feature whitelist")
    me.stores.know("ann", fine=0)
    me.stores.owners["me"].hits[crc64(b"From*bob@example.org")] = (0, 50)
    assert (await me.ask()).result.name == "Whitelisted"
    assert me.stores.asked == []


# --- whose own verdict is trusted ----------------------------------------------------------


async def test_a_newcomer_does_not_trust_his_own_verdict_beside_a_global_user() -> None:
    me = Me(BELIEVING)
    me.stores.know("ann", vile=0)
    body = b" ".join(VILE)
    own, asked = await me.own(body), await me.ask(body)
    assert own.result.spam
    assert asked.result == own.result._replace(spam=False, name="Innocent", confidence=0.60)
    assert asked.learned.totals == Totals(innocent_learned=1)
    assert steps(asked.learned.tokens) == {(0, 1)}


@pytest.mark.parametrize(
    ("totals", "trusted"),
    [
        (EXPERIENCED, True),
        (EXPERIENCED._replace(spam_learned=150, spam_corpusfed=100), True),
        (EXPERIENCED._replace(innocent_learned=999), False),
        (EXPERIENCED._replace(spam_learned=200), False),
    ],
)
async def test_experience_makes_him_trust_himself(totals: Totals, trusted: bool) -> None:
    me = Me(BELIEVING)
    me.stores.know("me", totals)
    me.stores.know("ann", vile=0)
    body = b" ".join(VILE)
    assert (await me.ask(body)).result.spam is trusted
    assert (me.stores.asked == []) is trusted


async def test_a_global_user_may_confirm() -> None:
    me = Me(BELIEVING)
    me.stores.know("ann", fine=0)
    body = b" ".join(VILE)
    own, asked = await me.own(body), await me.ask(body)
    assert asked.result == own.result._replace(confidence=0.60)
    assert asked.learned == own.learned


# --- its lesson ----------------------------------------------------------------------------


async def test_the_verdict_of_others_is_learned_as_if_it_had_been_his_own() -> None:
    me = Me(ASKING_PEERS)
    me.stores.know("ann", fine=0)
    own, asked = await me.own(), await me.ask()
    assert own.learned.totals == Totals(innocent_learned=1)
    assert asked.learned.totals == Totals(spam_learned=1)
    assert steps(asked.learned.tokens) == {(1, 0)}
    assert sorted(asked.learned.tokens.tokens) == sorted(own.learned.tokens.tokens)


async def test_toe_past_its_start_adds_what_it_was_told() -> None:
    me = Me(ASKING_PEERS, "TrainingMode toe", "Feature whitelist")
    me.stores.know("me", Totals(spam_learned=200, innocent_learned=200), vile=200, fine=200)
    me.stores.know("ann", fine=0)
    asked = await me.ask()
    assert asked.learned.totals == Totals(spam_learned=1, innocent_classified=1)
    assert steps(asked.learned.tokens) == {(1, 0), (1, 1)}  # the sender counts in any case


@pytest.mark.parametrize("margin", [0.0, 1.0])
async def test_tone_learns_what_it_was_told_and_only_that(margin: float) -> None:
    """Whether it had learned its own verdict, or been sure of it."""
    me = Me(ASKING_PEERS, "TrainingMode tone", "Feature whitelist")
    me.user._score_options[me.request] = replace(me.user.score_options(me.request), margin=margin)
    me.stores.know("ben", vile=0)
    own, agreed = await me.own(), await me.ask()
    assert (agreed.learned, agreed.provisional) == (own.learned, margin > 0)
    me.stores.know("ann", fine=0)
    asked = await me.ask()
    assert asked.result.spam
    assert asked.provisional
    assert asked.learned.totals == Totals(spam_learned=1)
    assert steps(asked.learned.tokens) == {(1, 0)}
    assert set(asked.learned.tokens.tokens) == set(me.tokens(PUZZLE).values)


async def test_notrain_believes_and_learns_nothing() -> None:
    me = Me(BELIEVING, "TrainingMode notrain", "StrictCompatibility on")
    me.stores.know("me", EXPERIENCED)
    me.stores.know("ann", fine=0)
    asked = await me.ask()
    assert asked.result.spam
    assert asked.learned == Learned.nothing()


async def test_a_signature_of_text_is_read_as_text() -> None:
    me = Me(BELIEVING, "Tokenizer sbph")
    me.stores.know("ann")
    me.stores.owners["ann"].hits = dict.fromkeys(me.tokens(PUZZLE).values, (100, 0))
    assert (await me.ask()).result.spam


# --- when something fails ------------------------------------------------------------------


async def test_a_peer_who_fails_is_passed_over(logged: Callable[[], str]) -> None:
    me = Me(ASKING_PEERS)
    me.stores.down.add("ann")
    me.stores.know("ben", fine=0)
    assert (await me.ask()).result.spam
    assert "event=peer_not_asked peer=ann" in logged()


async def test_his_own_verdict_stays_if_nobody_can_be_asked() -> None:
    me = Me(BELIEVING)
    me.stores.down |= {"ann", "ben"}
    body = b" ".join(VILE)
    assert await me.ask(body) == await me.own(body)


async def test_patience_ends(monkeypatch: pytest.MonkeyPatch, logged: Callable[[], str]) -> None:
    monkeypatch.setattr(consultation, "PATIENCE_S", -1.0)
    me = Me(BELIEVING)
    me.stores.know("ann", fine=0)
    asked = await me.ask()
    assert me.stores.asked == []
    assert asked == await me.own()
    assert "consultation_cut_short" in logged()


# --- inoculation ---------------------------------------------------------------------------


async def test_others_are_inoculated_unless_they_know(logged: Callable[[], str]) -> None:
    me = Me(Membership(inoculated=("ann", "down", "ben", "new")), "TrainingMode notrain")
    me.stores.know("ann")
    me.stores.know("ben", fine=0, vile=0)
    me.stores.down.add("down")
    await me.inoculate(b" ".join(VILE))
    assert me.stores.owners["ann"].totals == SEEN
    ben, new = me.stores.owners["ben"], me.stores.owners["new"]
    assert ben.totals == SEEN.plus(Totals(spam_learned=1, spam_corpusfed=1))
    assert new.totals == Totals(spam_learned=1, spam_corpusfed=1)
    assert {ben.hits[crc64(word)] for word in VILE} == {new.hits[crc64(word)] for word in VILE} == {(5, 0)}
    assert me.stores.owners["me"].totals == SEEN
    assert "event=not_inoculated" in logged()


# --- as part of the way of a message -------------------------------------------------------


async def test_what_others_say_is_learned_after_the_hand_over_and_not_before(tmp_path: Path) -> None:
    (tmp_path / "group").write_text("wise:classification:*ann\n")
    async with open_pipeline(tmp_path) as site:
        await site.feed("ann")
        known = await site.totals("ann"), await site.dump("ann")
        site.outlet.failure = TempFail("Deferred")
        with pytest.raises(TempFail):
            await site.process(SPAM, BOTH, "me")
        assert (await site.totals("me"), await site.dump("me")) == (Totals(), {})
        site.outlet.failure = None
        outcome = await site.process(SPAM, BOTH, "me")
        assert outcome.verdict is not None
        assert outcome.verdict.result.spam
        assert await site.totals("me") == Totals(spam_learned=1)
        assert set((await site.dump("me")).values()) == {(1, 0)}
        assert (await site.totals("ann"), await site.dump("ann")) == known
        taken_back = Request(lesson=ERROR_INNOCENT, signature=signature_of(outcome))
        await site.process(SPAM, taken_back, "me")
        assert await site.totals("me") == Totals(innocent_learned=1, innocent_misclassified=1)


async def test_requests_to_classify_know_no_groups(tmp_path: Path) -> None:
    (tmp_path / "group").write_text("wise:classification:*ann\n")
    async with open_pipeline(tmp_path) as site:
        await site.feed("ann")
        outcome = await site.process(SPAM, Request(classify=True), "me")
        assert outcome.verdict is not None
        assert not outcome.verdict.result.spam


async def test_a_report_is_passed_on_once(tmp_path: Path) -> None:
    (tmp_path / "group").write_text("team:inoculation:me,ann\n")
    async with open_pipeline(tmp_path) as site:
        outcome = await site.process(SPAM, BOTH, "me")
        await site.process(SPAM, BOTH, "ann")
        report = Request(lesson=ERROR_SPAM, signature=signature_of(outcome))
        for _ in range(2):  # the second report says nothing new
            await site.process(SPAM, report, "me")
            assert await site.totals("ann") == Totals(innocent_learned=1, spam_learned=1, spam_corpusfed=1)


async def test_what_is_fed_from_a_corpus_concerns_nobody_else(tmp_path: Path) -> None:
    (tmp_path / "group").write_text("team:inoculation:me,ann\n")
    async with open_pipeline(tmp_path) as site:
        await site.process(SPAM, Request(lesson=CORPUS_SPAM), "me")
        await site.process(SPAM, Request(lesson=Lesson(Label.SPAM, Source.CORPUS, unlearn=True)), "me")
        assert await site.totals("ann") == Totals()
