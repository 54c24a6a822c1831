"""The path of a message with a scorer that has weights: it learns, and corrections take back exactly that."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

from dspamd.engine._weights import Evidence, Table
from dspamd.engine.joint import JOINT
from dspamd.engine.model import Hits, ScoreOptions, Snapshot, TokenOptions, Totals
from dspamd.engine.reasons import POINTS, probability
from dspamd.engine.scorers import SCORERS
from dspamd.engine.tokenizer import tokenize
from dspamd.filter.blocks import Blocks
from dspamd.filter.training import UnknownSignature
from dspamd.mail import view_modern
from dspamd.request.request import Request
from tests.support.pipeline import (
    BASE,
    BOTH,
    CORPUS_INNOCENT,
    CORPUS_SPAM,
    ERROR_INNOCENT,
    ERROR_SPAM,
    HAM,
    SPAM,
    PipelineFixture,
    open_pipeline,
    signature_of,
)

JOINT_BASE = BASE.replace("Algorithm graham burton", "Algorithm joint")
MODES = ("tone", "teft", "toe", "tum", "notrain")


def base(mode: str) -> str:
    return JOINT_BASE.replace("TrainingMode teft", f"TrainingMode {mode}")


async def table(pipeline: PipelineFixture, user: str = "bob") -> Table:
    """The store's knowledge of a user, read again."""
    storage = pipeline.parts.storage
    uid = await storage.uid(user, create=True)
    assert uid is not None
    weights = await Blocks(memory=0).weights(storage, uid, "joint", JOINT)
    assert isinstance(weights, Table)
    return weights


async def known(pipeline: PipelineFixture) -> tuple[bytes, object, object]:
    """Everything that a lesson changes."""
    return (await table(pipeline)).write(), await pipeline.totals(), await pipeline.dump()


async def correct(pipeline: PipelineFixture, signature: str, lesson: object) -> None:
    await pipeline.process(b"\r\n", Request(lesson=lesson, signature=signature))  # type: ignore[arg-type]


async def test_it_learns_to_tell_spam_from_ham(tmp_path: Path) -> None:
    async with open_pipeline(tmp_path, base=base("tone")) as pipeline:
        await pipeline.feed()
        spam, ham = await pipeline.process(SPAM), await pipeline.process(HAM)
        assert spam.verdict is not None
        assert ham.verdict is not None
        assert (spam.verdict.result.name, ham.verdict.result.name) == ("Spam", "Innocent")
        assert spam.verdict.result.probability > 0.9 > 0.1 > ham.verdict.result.probability
        assert 0.1 < spam.verdict.result.confidence < 0.5  # two lessons were enough, so little is known
        assert len(await table(pipeline)) > 30


async def test_somebody_of_whom_nothing_is_known_gets_mail_without_confidence(tmp_path: Path) -> None:
    async with open_pipeline(tmp_path, base=base("tone")) as pipeline:
        first = await pipeline.process(SPAM)
        assert first.verdict is not None
        assert (first.verdict.result.name, first.verdict.result.confidence) == ("Innocent", 0.0)


@pytest.mark.parametrize("algorithm", [name for name, each in SCORERS.items() if each.block is not None])
async def test_a_user_who_reported_one_spam_loses_no_ham(tmp_path: Path, algorithm: str) -> None:
    """What all mail has was in that spam, too; and nothing is learned as spam from such a verdict."""
    texts = (b"lunch at noon", b"the minutes of our meeting", b"cheap flights to Oslo", b"free on Monday?")
    async with open_pipeline(tmp_path, base=base("tone").replace("joint", algorithm)) as pipeline:
        await pipeline.process(SPAM, Request(lesson=CORPUS_SPAM))
        first = await pipeline.process(SPAM, Request(classify=True))
        assert first.verdict is not None
        assert (first.verdict.result.name, first.verdict.result.probability) == ("Innocent", 0.5)
        for k, text in enumerate(texts * 5):
            mail = HAM.replace(b"minutes", text, 1).replace(b"review", b"item %d" % k)
            outcome = await pipeline.process(mail)
            assert outcome.verdict is not None
            assert outcome.verdict.result.name == "Innocent"
        assert (await pipeline.totals()).spam_learned == 1


@pytest.mark.parametrize("mode", MODES)
async def test_a_correction_and_its_withdrawal_leave_what_was_before(tmp_path: Path, mode: str) -> None:
    async with open_pipeline(tmp_path, base=base(mode)) as pipeline:
        await pipeline.feed()
        outcome = await pipeline.process(SPAM)
        if mode == "notrain":
            assert outcome.verdict is not None
            assert outcome.verdict.signature is None
            return
        signature, verdict = signature_of(outcome), await known(pipeline)
        await correct(pipeline, signature, ERROR_INNOCENT)
        corrected = await known(pipeline)
        assert corrected != verdict
        await pipeline.process(HAM)  # mail in between does not matter
        between = await table(pipeline)
        await correct(pipeline, signature, ERROR_INNOCENT)
        assert (await table(pipeline)).write() == between.write()
        await correct(pipeline, signature, ERROR_SPAM)
        await correct(pipeline, signature, ERROR_INNOCENT)
        assert (await table(pipeline)).write() == between.write()


async def test_what_was_learned_by_mistake_is_gone_after_the_correction(tmp_path: Path) -> None:
    """In the end the user is as if we had been right at once."""
    async with open_pipeline(tmp_path, base=base("tone")) as pipeline:
        for lesson, mail in ((CORPUS_INNOCENT, HAM), (CORPUS_SPAM, SPAM)):
            await pipeline.process(mail, Request(lesson=lesson))
        before = await table(pipeline)
        unsure = SPAM.replace(b"cheap pills", b"project meeting agenda")
        outcome = await pipeline.process(unsure)
        assert outcome.verdict is not None
        provisional = await known(pipeline)
        assert provisional[0] != before.write()
        label = ERROR_INNOCENT if outcome.verdict.result.spam else ERROR_SPAM
        await correct(pipeline, signature_of(outcome), label)
        learned = await table(pipeline)
        storage, signature = pipeline.parts.storage, signature_of(outcome)
        uid = await storage.uid("bob", create=False)
        assert uid is not None
        stored = await storage.signature(uid, signature)
        assert stored is not None
        evidence = Evidence(JOINT.recall(stored.data, TokenOptions()).values, (before,))
        at_once = before.copy()
        at_once.add(evidence.lesson(label is ERROR_SPAM))
        assert learned.write() == at_once.write()
        back = ERROR_SPAM if label is ERROR_INNOCENT else ERROR_INNOCENT
        await correct(pipeline, signature_of(outcome), back)
        assert await known(pipeline) == provisional


async def test_a_sure_verdict_teaches_nothing_and_counts(tmp_path: Path) -> None:
    async with open_pipeline(tmp_path, base=base("tone")) as pipeline:
        for _ in range(30):
            await pipeline.feed()
        before, totals = await table(pipeline), await pipeline.totals()
        await pipeline.process(SPAM)
        after = await pipeline.totals()
        assert (await table(pipeline)).write() == before.write()
        assert after.spam_classified == totals.spam_classified + 1


async def test_a_known_sender_passes(tmp_path: Path) -> None:
    lines = ("Feature whitelist", 'Preference "whitelistThreshold=5"')
    async with open_pipeline(tmp_path, *lines, base=base("tone")) as pipeline:
        await pipeline.feed()
        for _ in range(8):
            await pipeline.process(HAM)
        friendly = SPAM.replace(b"x@spam.example", b"friend@ham.example")
        outcome = await pipeline.process(friendly)
        assert outcome.verdict is not None
        assert outcome.verdict.result.name == "Whitelisted"


async def test_the_header_tells_the_sum_and_the_reasons_in_words(tmp_path: Path) -> None:
    lines = ('Preference "showFactors=on"',)
    async with open_pipeline(tmp_path, *lines, base=base("tone")) as pipeline:
        await pipeline.feed()
        outcome = await pipeline.process(SPAM, BOTH)
        assert outcome.verdict is not None
        assert outcome.verdict.factors is not None
        total, learned, *reasons = outcome.verdict.factors
        assert re.fullmatch(
            rb"sum \+\d+\.\d points is \+\d+\.\d for spam and [-+]\d+\.\d for ham; spam is above \d+\.\d",
            total.name,
        )
        assert total.value == outcome.verdict.result.probability
        assert learned.name == b"learned from 1 spam and 2 ham"  # these made it sure of the others
        assert any(b"pills" in name or b"casino" in name for name, _ in reasons), reasons
        assert all((name[:1] == b"+") == (value > 0.5) for name, value in reasons)
        points = [abs(float(name.split()[0])) for name, _ in reasons]
        assert points == sorted(points, reverse=True)


@pytest.mark.parametrize(
    "content", [SPAM, HAM, b"Subject: pills\r\n\r\nmeeting\r\n", b"Subject: x\r\n\r\ny\r\n"]
)
async def test_spam_is_what_exceeds_the_threshold_that_is_told(tmp_path: Path, content: bytes) -> None:
    async with open_pipeline(tmp_path, base=base("tone")) as pipeline:
        await pipeline.feed()
        known = await table(pipeline)
    tokens = tokenize(view_modern.view(content.replace(b"\r\n", b"\n")), TokenOptions(view="modern"))
    run = JOINT.score(tokens, Snapshot(Totals(), Hits.none(), (known,)), ScoreOptions(frozenset({"joint"})))
    balance = run.balance
    assert balance is not None
    assert run.result.spam == (balance.sum > balance.threshold)
    whole, told = probability(balance.sum / POINTS), run.result.probability
    assert (whole > 0.5) == (told > 0.5)
    known_well = content in (SPAM, HAM)
    assert (told == pytest.approx(whole)) == known_well  # what is not known makes it less sure
    assert abs(told - 0.5) < abs(whole - 0.5) + 1e-9
    assert balance.threshold > 0  # doubtful mail is ham


async def test_what_a_seed_adds_is_told(tmp_path: Path) -> None:
    async with open_pipeline(tmp_path, base=base("tone")) as pipeline:
        await pipeline.feed()
        seed = await table(pipeline)
    tokens = tokenize(view_modern.view(SPAM.replace(b"\r\n", b"\n")), TokenOptions(view="modern"))
    alone, beside = (
        JOINT.score(
            tokens, Snapshot(Totals(), Hits.none(), weights), ScoreOptions(frozenset({"joint"}))
        ).balance
        for weights in ((seed,), (Table(), seed))
    )
    assert alone is not None
    assert beside is not None
    assert (alone.added, alone.lessons) == (0, (1, 2))
    assert beside.added == pytest.approx(beside.sum)
    assert beside.lessons == (0, 0)
    assert beside.sum == pytest.approx(math.fsum(points for _, points in beside.areas))
    assert dict(beside.areas)["words"] > 0


@pytest.mark.parametrize(("first", "then"), [("joint", "graham burton"), ("graham burton", "joint")])
async def test_a_signature_of_another_scorer_teaches_no_nonsense(
    tmp_path: Path, first: str, then: str
) -> None:
    """A site switches, in either direction, while mail waits to be corrected."""
    toe = BASE.replace("TrainingMode teft", "TrainingMode toe")
    async with open_pipeline(tmp_path, base=toe.replace("graham burton", first)) as pipeline:
        await pipeline.feed()
        signature = signature_of(await pipeline.process(SPAM))
        weights, tokens = (await table(pipeline)).write(), await pipeline.dump()
    async with open_pipeline(tmp_path, base=toe.replace("graham burton", then)) as pipeline:
        await correct(pipeline, signature, ERROR_INNOCENT)
        assert (await table(pipeline)).write() == weights
        if first == "joint":
            assert await pipeline.dump() == tokens


async def test_another_users_signature_or_none_is_refused(tmp_path: Path) -> None:
    async with open_pipeline(tmp_path, base=base("tone")) as pipeline:
        await pipeline.feed()
        await pipeline.feed("ann")
        signature = signature_of(await pipeline.process(SPAM))
        before = await known(pipeline)
        with pytest.raises(UnknownSignature):
            await pipeline.process(b"\r\n", Request(lesson=ERROR_SPAM, signature=signature), "ann")
        assert await known(pipeline) == before
