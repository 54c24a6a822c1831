"""A replay does with each message what the pipeline does on a store of a site."""

from __future__ import annotations

import pickle
from array import array
from pathlib import Path

import pytest

from dspamd.config.config import Config
from dspamd.engine.model import Label, Lesson, Source, Totals
from dspamd.evaluation.configurations import configurations
from dspamd.evaluation.corpus import Item, Users, from_index
from dspamd.evaluation.feedback import Feedback
from dspamd.evaluation.replay import NOT_JUDGED, Replay
from dspamd.request.request import Request
from tests.support.labelled_mail import unpacked
from tests.support.pipeline import BOTH, open_pipeline, signature_of

MODES = ("teft", "toe", "tum", "tone", "notrain")


def _replay(feedback: Feedback = Feedback(), *lines: str) -> Replay:  # noqa: B008  a value that never changes
    ((_, config),) = configurations(["a:" + ",".join(lines)], None)
    return Replay(config, "given", feedback)


@pytest.fixture
def items(tmp_path: Path) -> list[Item]:
    return Users().of(from_index(unpacked(tmp_path / "corpus", 24)))


async def _rows(replay: Replay) -> dict[int, tuple[int, int]]:
    rows = [row async for batch in replay.storage.tokens("user") for row in batch]
    return {row.token: (row.spam, row.innocent) for row in rows if row.spam or row.innocent}


async def _totals(replay: Replay) -> Totals:
    return (await replay.storage.read("user", array("Q"))).totals


@pytest.mark.parametrize("feature", ["", "Feature whitelist noise"])
@pytest.mark.parametrize("mode", MODES)
async def test_it_is_what_the_pipeline_does(
    mode: str, feature: str, items: list[Item], tmp_path: Path
) -> None:
    """The same verdicts, the same totals, the same hits of each token."""
    lines = [f"TrainingMode {mode}", *filter(None, [feature])]
    replay = _replay(Feedback(), "Tokenizer=osb", *(line.replace(" ", "=", 1) for line in lines))
    verdicts = []
    base = "StorageDriver sqlite3_drv\nTokenizer osb\nDeliveryHost 127.0.0.1\nDeliveryProto SMTP"
    async with open_pipeline(tmp_path, *lines, base=base) as site:
        for item in items:
            await replay.process(item)
            outcome = await site.process(item.read(), BOTH, "user")
            assert outcome.verdict is not None
            result = outcome.verdict.result
            verdicts.append((result.spam, 0.0 if result.name == "Whitelisted" else result.probability))
            if result.spam != (item.label is Label.SPAM) and outcome.verdict.signature:
                lesson = Lesson(item.label, Source.ERROR)
                await site.process(b"", Request(lesson=lesson, signature=signature_of(outcome)), "user")
        record = replay.record
        assert list(zip(map(bool, record.verdicts), record.scores, strict=True)) == verdicts
        assert await _totals(replay) == await site.totals("user")
        assert await _rows(replay) == await site.dump("user")
    assert record.corrections == (
        0 if mode == "notrain" else sum(map(int.__ne__, record.labels, record.verdicts))
    )


async def test_it_goes_on_after_a_pickle(items: list[Item]) -> None:
    feedback = Feedback(delay=3)
    whole, half = _replay(feedback), _replay(feedback)
    for item in items:
        await whole.process(item)
    for item in items[:11]:
        await half.process(item)
    again = pickle.loads(pickle.dumps(half))
    for item in items[11:]:
        await again.process(item)
    for name in ("labels", "verdicts", "scores", "judged", "trained", "corrections"):
        assert getattr(again.record, name) == getattr(whole.record, name)
    assert await _rows(again) == await _rows(whole)
    assert again.storage.written == whole.storage.written


async def test_corrections_that_come_late(items: list[Item]) -> None:
    """Each is made when so many other messages have come; the last ones never."""
    spam = next(item for item in items if item.label is Label.SPAM)
    replay = _replay(Feedback(delay=2))
    for number, corrected in enumerate((0, 0, 0, 1, 2)):
        await replay.process(spam._replace(name=str(number)))
        assert replay.record.corrections == corrected
    assert list(replay.record.verdicts)[:3] == [0, 0, 0]


async def test_nobody_reports(items: list[Item]) -> None:
    replay = _replay(Feedback(unreported=1), "TrainingMode=toe")
    for item in items:
        await replay.process(item)
    assert replay.record.corrections == 0
    assert await replay.storage.signatures("user") == []  # a replay does not need them


async def test_users_have_dictionaries_of_their_own(items: list[Item]) -> None:
    replay = _replay()
    for item in items[:4]:
        await replay.process(item._replace(user="bob"))
    assert await replay.storage.owners() == ["bob"]
    await replay.process(items[4]._replace(user="ann"))
    assert (await replay.storage.read("ann", array("Q"))).totals.innocent_learned == 1


async def test_what_is_too_large_passes_unjudged(items: list[Item]) -> None:
    replay = _replay(Feedback(), "MaxMessageSize=10")
    await replay.process(items[1])
    assert (replay.record.judged[0], replay.record.verdicts[0], replay.record.scores[0]) == (0, 0, NOT_JUDGED)
    assert replay.storage.written.rows == 0


async def test_what_was_written_is_counted(items: list[Item]) -> None:
    """TEFT writes a row for each token, one for the totals, one for the signature; a correction again."""
    replay = _replay()
    await replay.process(items[0])
    tokens = len(await _rows(replay))
    assert items[0].label is Label.INNOCENT
    assert (replay.storage.written.rows, replay.storage.written.bytes) == (tokens + 2, 32 * tokens + 72)
    assert list(replay.record.trained) == [1]
    assert replay.storage.size().rows == tokens


def test_defaults_are_those_of_the_daemon() -> None:
    ((_, ours),) = configurations(["a:"], None)
    theirs = Config.from_text("Home /x")
    assert (ours.TrainingMode, ours.Algorithm, ours.Tokenizer) == (
        theirs.TrainingMode,
        theirs.Algorithm,
        theirs.Tokenizer,
    )
