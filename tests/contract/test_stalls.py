"""No message keeps the event loop waiting: not even one that is nothing but new words.

A text of 20 MB has up to 7.5 million tokens.  Whatever does something with all of them in a single step of
Python stops its worker for seconds, and the supervisor takes it for dead.
"""

from __future__ import annotations

import base64
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from dspamd.engine._weights import Table
from dspamd.engine.joint import JOINT
from dspamd.filter.blocks import Blocks
from dspamd.filter.verdict import Outcome
from dspamd.request.request import Request
from tests.support.pipeline import (
    BASE,
    BOTH,
    ERROR_INNOCENT,
    ERROR_SPAM,
    HAM,
    PipelineFixture,
    open_pipeline,
    signature_of,
)
from tests.support.stall import watched

WORDS = 150_000  # each makes two tokens
LONGEST_S = 0.15
"""More than one piece takes on any machine, less than all of the tokens at once on most."""

STORES = {"sqlite": "sqlite3_drv", "hash": "hash_drv", "postgres": "pgsql_drv", "mysql": "mysql_drv"}
SETTINGS = """
Tokenizer chain
Algorithm graham burton chi-square naive
Preference "showFactors=on"
StorageTimeout 600
"""
WEIGHTS = """
Algorithm joint
TrainingMode tone
Preference "signatureLocation=headers"
Preference "showFactors=on"
"""
GROUPS = "asked:classification:*carol\n"


def word(number: int) -> bytes:
    """A word of letters; different numbers, different words."""
    letters = bytearray()
    for _ in range(6):
        number, letter = divmod(number, 26)
        letters.append(ord("a") + letter)
    return bytes(letters)


def new_words(count: int) -> bytes:
    """A mail of new words."""
    lines = (b" ".join(map(word, range(n, n + 10))) for n in range(0, count, 10))
    return b"From: x@example.org\r\nSubject: words\r\n\r\n" + b"\r\n".join(lines) + b"\r\n"


def storage_line(name: str) -> str:
    return f"StorageDriver {STORES[name]}"


async def quickly(b: PipelineFixture, what: str, content: bytes, request: Request) -> Outcome:
    """Process a message; the event loop must not wait for it."""
    async with watched() as stall:
        outcome = await b.process(content, request)
    assert stall.longest_s < LONGEST_S, f"{what}: the event loop waited {stall.longest_s:.2f} s"
    return outcome


@pytest.mark.timeout(600)
async def test_no_step_takes_the_length_of_a_message(
    name: str, tmp_path: Path, furnish: Callable[[str, Path], None]
) -> None:
    furnish(name, tmp_path)
    (tmp_path / "group").write_text(GROUPS)
    lines = [
        line
        for line in BASE.splitlines()
        if line.split(" ")[0] not in ("StorageDriver", "Tokenizer", "Algorithm")
    ]
    mail, about = new_words(WORDS), b"Subject: a report\r\n\r\nx\r\n"
    async with open_pipeline(tmp_path, SETTINGS, base="\n".join([storage_line(name), *lines])) as b:
        for user in ("bob", "carol"):
            await b.process(HAM, user=user)

        await quickly(b, "a question", mail, Request(classify=True))
        signature = signature_of(await quickly(b, "new mail", mail, BOTH))
        assert (await b.totals()).innocent_learned == 2
        for lesson in (ERROR_SPAM, ERROR_INNOCENT):
            request = replace(BOTH, lesson=lesson, signature=signature)
            await quickly(b, f"a correction: {lesson}", about, request)
        assert (await b.totals()).innocent_learned == 2


async def test_a_mail_of_20_mb_is_learned_by_weights_and_corrected(
    name: str, tmp_path: Path, furnish: Callable[[str, Path], None]
) -> None:
    furnish(name, tmp_path)
    text = base64.encodebytes(random.Random(1).randbytes(15 << 20)).replace(b"\n", b"\r\n")
    mail = b"From: x@example.org\r\nSubject: a long list\r\n\r\n" + text
    assert len(mail) > 20 << 20
    base = f"{storage_line(name)}\n{WEIGHTS}"
    async with open_pipeline(tmp_path, base=base) as b:
        await quickly(b, "a question", mail, Request(classify=True))
        signature = signature_of(await quickly(b, "new mail", mail, BOTH))
        assert (await b.totals()).innocent_learned == 1
        assert await known_to_weights(b) == (0, 1)
        for lesson, known in ((ERROR_SPAM, (1, 0)), (ERROR_INNOCENT, (0, 1))):
            await b.process(
                b"Subject: a report\r\n\r\nx\r\n", replace(BOTH, lesson=lesson, signature=signature)
            )
            totals = await b.totals()
            assert (totals.spam_learned, totals.innocent_learned) == known
            assert await known_to_weights(b) == known


async def known_to_weights(b: PipelineFixture) -> tuple[int, int]:
    """The spam and innocent messages that bob's weights have learned."""
    storage = b.parts.storage
    uid = await storage.uid("bob", create=False)
    assert uid is not None
    weights = await Blocks().weights(storage, uid, "joint", JOINT)
    assert isinstance(weights, Table)
    return weights.spam, weights.innocent
