"""A scorer in the shadow: it learns all mail, decides nothing, and is counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from dspamd.engine._weights import Table
from dspamd.engine.joint import JOINT
from dspamd.engine.model import Lesson
from dspamd.filter.blocks import Blocks
from dspamd.request.request import Request
from dspamd.storage.contract import Storage
from tests.support.logged import Logged
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

SHADOW = "ShadowAlgorithm joint"


async def table(storage: Storage) -> Table:
    uid = await storage.uid("bob", create=True)
    assert uid is not None
    weights = await Blocks(memory=0).weights(storage, uid, "joint", JOINT)
    assert isinstance(weights, Table)
    return weights


async def work(pipeline: PipelineFixture) -> list[tuple[str, float]]:
    """Some mail, and corrections of it; the verdicts."""
    await pipeline.feed()
    outcomes = [await pipeline.process(mail, BOTH) for mail in (SPAM, HAM, SPAM)]
    for lesson in (ERROR_INNOCENT, ERROR_SPAM, ERROR_INNOCENT):
        await correct(pipeline, signature_of(outcomes[0]), lesson)
    results = [outcome.verdict.result for outcome in outcomes if outcome.verdict is not None]
    return [(result.name, result.probability) for result in results]


async def correct(pipeline: PipelineFixture, signature: str, lesson: Lesson) -> None:
    await pipeline.process(b"\r\n", Request(lesson=lesson, signature=signature))


def counted(pipeline: PipelineFixture, name: str) -> dict[tuple[str, ...], float]:
    """The numbers of a metric that are not 0, by labels."""
    metric = getattr(pipeline.parts.metrics, name)
    return {reading.labels: reading.numbers[0] for reading in metric.readings() if reading.numbers[0]}


async def test_the_shadow_changes_neither_verdicts_nor_counters(tmp_path: Path) -> None:
    seen = []
    for name, base in (("without", BASE), ("with", f"{BASE}{SHADOW}\n")):
        home = tmp_path / name
        home.mkdir()
        async with open_pipeline(home, base=base) as pipeline:
            verdicts = await work(pipeline)
            seen.append((verdicts, await pipeline.totals(), await pipeline.dump()))
    assert seen[0] == seen[1]


async def test_it_learns_and_is_corrected_as_if_it_were_the_algorithm(tmp_path: Path) -> None:
    tables = []
    algorithm = BASE.replace("graham burton", "joint").replace("teft", "tone")
    for name, base in (("shadow", f"{BASE}{SHADOW}\n"), ("algorithm", algorithm)):
        home = tmp_path / name
        home.mkdir()
        async with open_pipeline(home, base=base) as pipeline:
            await work(pipeline)
            tables.append(await table(pipeline.parts.storage))
    assert tables[0].write() == tables[1].write()
    assert len(tables[0]) > 30


async def test_mail_that_nobody_corrects_is_what_the_algorithm_said(tmp_path: Path) -> None:
    """Users correct our verdicts; a shadow that learned its own would believe itself."""
    async with open_pipeline(tmp_path, SHADOW) as pipeline:
        for _ in range(2):
            await pipeline.process(HAM, Request(lesson=CORPUS_INNOCENT))
        await pipeline.process(SPAM, Request(lesson=CORPUS_SPAM))
        before = await table(pipeline.parts.storage)
        outcome = await pipeline.process(SPAM)  # graham has seen too little; the shadow has not
        assert counted(pipeline, "shadow_verdicts") == {("innocent", "spam"): 1}
        after = await table(pipeline.parts.storage)
        assert (after.spam, after.innocent) == (before.spam, before.innocent + 1)
        await correct(pipeline, signature_of(outcome), ERROR_SPAM)
        corrected = await table(pipeline.parts.storage)
        assert corrected.innocent == before.innocent
        for lesson in (ERROR_SPAM, ERROR_INNOCENT, ERROR_SPAM):
            await correct(pipeline, signature_of(outcome), lesson)
        # On arrival it was right, whatever it has learned since then.
        assert counted(pipeline, "shadow_corrections") == {("right",): 1}


async def test_differences_and_corrections_are_counted(tmp_path: Path) -> None:
    async with open_pipeline(tmp_path, SHADOW) as pipeline:
        await work(pipeline)
        verdicts = counted(pipeline, "shadow_verdicts")
        assert sum(verdicts.values()) == 3
        assert verdicts["spam", "spam"] >= 1
        assert sum(counted(pipeline, "shadow_corrections").values()) == 1


async def test_only_mistakes_of_ours_are_counted(tmp_path: Path) -> None:
    async with open_pipeline(tmp_path, SHADOW) as pipeline:
        await pipeline.feed()
        mistaken, agreed = [signature_of(await pipeline.process(HAM)) for _ in range(2)]
        await correct(pipeline, agreed, ERROR_INNOCENT)
        for lesson in (ERROR_INNOCENT, ERROR_SPAM, ERROR_INNOCENT, ERROR_SPAM):
            await correct(pipeline, mistaken, lesson)
        assert counted(pipeline, "shadow_corrections") == {("wrong",): 1}


async def test_mail_from_before_the_shadow_can_be_corrected(tmp_path: Path) -> None:
    async with open_pipeline(tmp_path) as pipeline:
        await pipeline.feed()
        signature = signature_of(await pipeline.process(SPAM))
    async with open_pipeline(tmp_path, SHADOW) as pipeline:
        await correct(pipeline, signature, ERROR_INNOCENT)
        assert len(await table(pipeline.parts.storage)) == 0
        assert counted(pipeline, "shadow_corrections") == {}


async def test_a_shadow_that_fails_stops_no_mail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logged: Logged
) -> None:
    def fails(*_: object) -> Table:
        raise OSError("the disk is on fire")

    async with open_pipeline(tmp_path, SHADOW) as pipeline:
        monkeypatch.setattr(JOINT, "weights", fails)
        monkeypatch.setattr(JOINT, "score", fails)
        await pipeline.process(SPAM, Request(lesson=CORPUS_SPAM))
        for _ in range(3):
            outcome = await pipeline.process(HAM)
            assert outcome.reply.code == 250
        assert (await pipeline.totals()).spam_corpusfed == 1
    assert logged.take().count("shadow_failed") == 1
