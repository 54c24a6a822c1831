"""Copies and first lines of messages, kept for their users (reference/config.md 5.1)."""

from __future__ import annotations

from pathlib import Path

import pytest

from dspamd.engine.model import Label, Lesson, Source
from dspamd.filter.observers.copies import fragment
from dspamd.mail.message import Message
from dspamd.request.request import Request
from tests.golden.data import rows
from tests.support.pipeline import BOTH, CORPUS_SPAM, HAM, SPAM, open_pipeline, signature_of

CORPUS = 'Preference "makeCorpus=on"'
FRAGMENTS = 'Preference "storeFragments=on"'


def kept(home: Path) -> dict[str, bytes]:
    """The copies, by path below data."""
    return {
        str(file.relative_to(home / "data")): file.read_bytes()
        for file in (home / "data").rglob("*.*")
        if file.suffix in (".msg", ".frag") and file.is_file()
    }


async def test_a_message_is_kept_as_it_came(tmp_path: Path) -> None:
    async with open_pipeline(tmp_path, CORPUS) as b:
        seen = await b.process(HAM)
        await b.parts.background.close()
        expected = {f"bob/bob.corpus/nonspam/{signature_of(seen)}.msg": HAM.replace(b"\r\n", b"\n")}
        assert kept(tmp_path) == expected


async def test_a_correction_moves_it_and_the_opposite_one_back(tmp_path: Path) -> None:
    async with open_pipeline(tmp_path, CORPUS) as b:
        signature = signature_of(await b.process(SPAM))
        for label, folder in ((Label.SPAM, "spam"), (Label.SPAM, "spam"), (Label.INNOCENT, "nonspam")):
            lesson = Lesson(label, Source.ERROR)
            await b.process(b"\n\n", Request(lesson=lesson, signature=signature))
            await b.parts.background.close()
            assert list(kept(tmp_path)) == [f"bob/bob.corpus/{folder}/{signature}.msg"]


async def test_a_correction_of_what_was_never_kept_makes_nothing(tmp_path: Path) -> None:
    async with open_pipeline(tmp_path) as b:
        signature = signature_of(await b.process(SPAM))
    async with open_pipeline(tmp_path, CORPUS) as b:
        await b.process(b"\n\n", Request(lesson=Lesson(Label.SPAM, Source.ERROR), signature=signature))
        await b.parts.background.close()
        assert kept(tmp_path) == {}


async def test_first_lines(tmp_path: Path) -> None:
    async with open_pipeline(tmp_path, FRAGMENTS) as b:
        seen = await b.process(HAM)
        await b.parts.background.close()
        body = b"\n\nproject meeting minutes agenda review lunch\n\n"
        assert kept(tmp_path) == {f"bob/bob.frag/{signature_of(seen)}.frag": body}


@pytest.mark.parametrize("request_", [Request(classify=True), Request(lesson=CORPUS_SPAM)])
async def test_what_has_no_signature_is_not_kept(tmp_path: Path, request_: Request) -> None:
    async with open_pipeline(tmp_path, CORPUS, FRAGMENTS) as b:
        await b.process(SPAM, request_)
        await b.parts.background.close()
        assert kept(tmp_path) == {}


async def test_without_the_preferences_nothing_is_kept(tmp_path: Path) -> None:
    async with open_pipeline(tmp_path) as b:
        await b.process(SPAM, BOTH)
        await b.parts.background.close()
        assert kept(tmp_path) == {}


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"A: b\n\nbody\n", b"\n\nbody\n\n"),
        (b"A: b\r\n\r\nbody\r\n", b"\n\nbody\n\n"),
        (b"A: b\n\n" + b"x" * 2000, b"\n\n" + b"x" * 1021 + b"\n"),
        (b"A: b\n", b"\n"),
    ],
)
def test_fragment(content: bytes, text: bytes) -> None:
    assert fragment(Message(content)) == text


def test_recorded_fragments() -> None:
    """DSPAM 3.10.2 kept these beginnings of the messages that it kept."""
    (row,) = [row for row in rows("files.jsonl") if row["id"] == "fragments+corpus"]
    files = {Path(file["path"]).name: file["content"] for file in row["files"]}
    copies = {name: text for name, text in files.items() if name.endswith(".msg")}
    assert len(copies) == 2
    for name, text in copies.items():
        kept = fragment(Message(text.encode("latin-1"))).decode("latin-1")
        assert kept == files[name.replace(".msg", ".frag")]
