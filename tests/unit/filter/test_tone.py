"""Mode tone along the path of a message: provisional lessons, and the corrections that follow."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dspamd.engine.model import Label, Lesson, Mode, Source, Totals
from dspamd.request.request import Request
from dspamd.storage.contract import Correction
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

TONE = BASE.replace("TrainingMode teft", "TrainingMode tone")
PUZZLE = b"Subject: lunch\r\n\r\nproject meeting minutes cheap pills offer\r\n"
CLASSIFY = Request(classify=True)
UNLEARN_INNOCENT = Lesson(Label.INNOCENT, Source.ERROR, unlearn=True)
UNSURE = SPAM.replace(b"casino", b"minutes agenda lunch")
NOTHING_NEW = b"From: friend@ham.example\r\nSubject: minutes\r\n\r\nproject meeting minutes\r\n"
State = tuple[Totals, dict[int, tuple[int, int]]]


async def state(b: PipelineFixture, user: str = "bob") -> State:
    return await b.totals(user), await b.dump(user)


async def correction(b: PipelineFixture, signature: str, user: str = "bob") -> Correction | None:
    uid = await b.parts.storage.uid(user, create=False)
    assert uid is not None
    stored = await b.parts.storage.signature(uid, signature)
    assert stored is not None
    return stored.correction


def about(signature: str, lesson: Lesson) -> Request:
    return Request(lesson=lesson, signature=signature)


@pytest.mark.parametrize("mode", list(Mode))
async def test_the_users_correction_takes_back_exactly_and_teaches(tmp_path: Path, mode: Mode) -> None:
    """Whatever mode they have by then; notrain takes back, and teaches nothing."""
    async with open_pipeline(tmp_path, base=TONE) as b:
        await b.feed()
        before = await state(b)
        seen = signature_of(await b.process(UNSURE))
        learned = await state(b)
        assert learned != before
        ours = await correction(b, seen)
        assert ours is not None
        assert (ours.provisional, ours.applied.totals) == (
            True,
            Totals(spam_learned=1) if ours.label is Label.SPAM else Totals(innocent_learned=1),
        )
        users = ours.label.opposite
        confirm, contradict = (
            replace(about(seen, Lesson(label, Source.ERROR)), mode=mode) for label in (ours.label, users)
        )
        await b.process(b"\n\n", confirm)
        assert await state(b) == learned
        await b.process(b"\n\n", contradict)
        corrected = await state(b)
        spam = int(users is Label.SPAM)
        tokens = set(ours.applied.tokens.tokens)
        if mode is Mode.NOTRAIN:
            assert corrected == before
        else:
            change = Totals(spam, 1 - spam, spam, 1 - spam)
            assert corrected[0] == before[0].plus(change)
            assert corrected[1] == before[1] | {
                token: (s + spam, i + 1 - spam)
                for token, (s, i) in {token: before[1].get(token, (0, 0)) for token in tokens}.items()
            }
        await b.process(b"\n\n", contradict)
        assert await state(b) == corrected
        await b.process(b"\n\n", confirm)
        assert await state(b) == learned
        await b.process(b"\n\n", contradict)
        assert await state(b) == corrected


async def test_what_was_not_learned_is_only_taught(tmp_path: Path) -> None:
    async with open_pipeline(tmp_path, base=TONE) as b:
        await b.feed()
        before = await state(b)
        outcome = await b.process(NOTHING_NEW)
        assert outcome.verdict is not None
        assert outcome.verdict.result.confidence > 0.9
        seen = signature_of(outcome)
        sure = await state(b)
        assert sure == (before[0].plus(Totals(innocent_classified=1)), before[1])
        assert await correction(b, seen) is None
        await b.process(b"\n\n", about(seen, ERROR_SPAM))
        totals, hits = await state(b)
        assert totals == sure[0].plus(Totals(spam_learned=1, spam_misclassified=1))
        assert sum(s for s, _ in hits.values()) > sum(s for s, _ in sure[1].values())
        assert {token: i for token, (_, i) in hits.items() if i} == {
            token: i for token, (_, i) in sure[1].items() if i
        }
        await b.process(b"\n\n", about(seen, ERROR_INNOCENT))
        assert (await b.totals()) == sure[0].plus(Totals(innocent_learned=1))
        await b.process(b"\n\n", about(seen, ERROR_SPAM))
        assert await state(b) == (totals, hits)
        await b.process(b"\n\n", about(seen, Lesson(Label.SPAM, Source.ERROR, unlearn=True)))
        assert (await b.totals()).plus(Totals(spam_misclassified=-1)) == sure[0]
        assert (await b.dump()) == sure[1]


async def test_a_sure_verdict_that_the_user_confirms_teaches(tmp_path: Path) -> None:
    async with open_pipeline(tmp_path, base=TONE) as b:
        await b.feed()
        seen = signature_of(await b.process(NOTHING_NEW))
        sure = await b.totals()
        await b.process(b"\n\n", about(seen, ERROR_INNOCENT))
        assert await b.totals() == sure.plus(Totals(innocent_learned=1))


async def test_what_is_unlearned_is_as_if_it_had_not_come(tmp_path: Path) -> None:
    async with open_pipeline(tmp_path, base=TONE) as b:
        seen = signature_of(await b.process(HAM))
        assert (await state(b))[0] == Totals(innocent_learned=1)
        await b.process(b"\n\n", about(seen, UNLEARN_INNOCENT))
        assert await state(b) == (Totals(), {})
        assert await correction(b, seen) is None
        await b.process(b"\n\n", about(seen, ERROR_SPAM))
        totals, hits = await state(b)
        assert totals == Totals(spam_learned=1, spam_misclassified=1)
        assert set(hits.values()) == {(1, 0)}


async def test_corpus_and_questions_leave_nothing_to_take_back(tmp_path: Path) -> None:
    async with open_pipeline(tmp_path, base=TONE) as b:
        await b.process(HAM, Request(lesson=CORPUS_INNOCENT))
        await b.process(SPAM, Request(lesson=CORPUS_SPAM))
        fed = await state(b)
        assert fed[0] == Totals(1, 1, 0, 0, 1, 1)
        await b.process(HAM, Request(classify=True))
        assert await state(b) == fed
        uid = await b.parts.storage.uid("bob", create=False)
        assert uid is not None
        assert await b.parts.storage.signatures(uid) == []


async def test_in_strict_compatibility_nothing_is_kept_with_the_signature(tmp_path: Path) -> None:
    async with open_pipeline(tmp_path, "StrictCompatibility on", base=TONE) as b:
        seen = signature_of(await b.process(HAM))
        assert await correction(b, seen) is None
        await b.process(b"\n\n", about(seen, ERROR_SPAM))
        assert await b.totals() == Totals(1, 1, 1)


@pytest.mark.parametrize("bias", ["on", "off"])
async def test_a_site_switches_in_one_line_and_back(tmp_path: Path, bias: str) -> None:
    """Counters that teft filled serve confidence and tone, and nothing stays that would harm teft."""
    base = BASE.replace("ProcessorBias on", f"ProcessorBias {bias}")
    confident = base.replace(
        "Algorithm graham burton\nTrainingMode teft", "Algorithm confidence\nTrainingMode tone"
    )
    async with open_pipeline(tmp_path, base=base) as b:
        for _ in range(30):
            await b.process(HAM, Request(lesson=CORPUS_INNOCENT))
            await b.process(SPAM, Request(lesson=CORPUS_SPAM))
        filled = await state(b)
        verdicts = [(await b.process(mail, CLASSIFY)).verdict for mail in (HAM, SPAM, PUZZLE)]
    async with open_pipeline(tmp_path, base=confident) as b:
        for mail, spam in ((HAM, False), (SPAM, True)):
            verdict = (await b.process(mail, CLASSIFY)).verdict
            assert verdict is not None
            assert (verdict.result.spam, verdict.result.confidence > 0.8) == (spam, True)
        assert await state(b) == filled
        seen = signature_of(await b.process(PUZZLE))
        learned, ours = await state(b), await correction(b, seen)
        assert ours is not None
        assert learned != filled
        await b.process(b"\n\n", about(seen, Lesson(ours.label.opposite, Source.ERROR)))
        assert await state(b) != learned
    async with open_pipeline(tmp_path, base=base) as b:
        await b.process(b"\n\n", about(seen, Lesson(ours.label, Source.ERROR)))
        assert await state(b) == learned
        await b.process(b"\n\n", about(seen, Lesson(ours.label, Source.ERROR, unlearn=True)))
        assert await state(b) == filled
        again = [(await b.process(mail, CLASSIFY)).verdict for mail in (HAM, SPAM, PUZZLE)]
        assert [v and v.result for v in again] == [v and v.result for v in verdicts]


async def test_members_of_a_shared_group_correct_what_it_learned(tmp_path: Path) -> None:
    (tmp_path / "group").write_text("team:shared:ann,ben\n")
    async with open_pipeline(tmp_path, base=TONE) as b:
        seen = signature_of(await b.process(HAM, user="ann"))
        assert (await b.totals("team"))[:2] == (0, 1)
        await b.process(b"\n\n", about(seen, ERROR_SPAM), user="ben")
        totals, hits = await state(b, "team")
        assert totals == Totals(spam_learned=1, spam_misclassified=1)
        assert set(hits.values()) == {(1, 0)}


async def test_a_merged_group_is_not_touched_by_what_its_members_take_back(tmp_path: Path) -> None:
    async with open_pipeline(tmp_path, base=TONE) as b:
        await b.feed("site")
        group = await state(b, "site")
    (tmp_path / "group").write_text("site:merged:*\n")
    async with open_pipeline(tmp_path, base=TONE) as b:
        seen = signature_of(await b.process(UNSURE))
        ours = await correction(b, seen)
        assert ours is not None
        await b.process(b"\n\n", about(seen, Lesson(ours.label.opposite, Source.ERROR)))
        totals, hits = await state(b)
        spam = ours.label is Label.INNOCENT
        assert totals == (Totals(1, 0, 1) if spam else Totals(0, 1, 0, 1))
        assert set(hits.values()) == {(1, 0) if spam else (0, 1)}
        assert await state(b, "site") == group


async def test_who_trains_pristine_mail_has_nothing_taken_back(tmp_path: Path) -> None:
    """There is no signature to keep a lesson with."""
    async with open_pipeline(tmp_path, "TrainPristine on", base=TONE) as b:
        await b.process(HAM)
        assert await b.totals() == Totals(innocent_learned=1)
        await b.process(HAM, replace(BOTH, lesson=ERROR_SPAM))
        assert await b.totals() == Totals(1, 1, 1)
