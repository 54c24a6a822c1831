"""No message keeps the event loop waiting: not even one that is nothing but new words.

A text of 20 MB has up to 7.5 million tokens.  Whatever does something with all of them in a single step of
Python stops its worker for seconds, and the supervisor takes it for dead.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from dspamd.filter.verdict import Outcome
from dspamd.request.request import Request
from tests.support.pipeline import (
    BASE,
    BOTH,
    ERROR_INNOCENT,
    ERROR_SPAM,
    HAM,
    open_pipeline,
    signature_of,
)
from tests.support.stall import watched

WORDS = 150_000  # of which each makes two tokens
LONGEST_S = 0.15
"""More than one piece takes on any machine, less than all of the tokens at once on most."""

STORES = {"sqlite": "sqlite3_drv", "hash": "hash_drv", "postgres": "pgsql_drv", "mysql": "mysql_drv"}
SETTINGS = """
Tokenizer chain
Algorithm graham burton chi-square naive
Preference "showFactors=on"
StorageTimeout 600
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
    """A mail of words that nobody has seen before."""
    lines = (b" ".join(map(word, range(n, n + 10))) for n in range(0, count, 10))
    return b"From: x@example.org\r\nSubject: words\r\n\r\n" + b"\r\n".join(lines) + b"\r\n"


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
    async with open_pipeline(
        tmp_path, SETTINGS, base="\n".join([f"StorageDriver {STORES[name]}", *lines])
    ) as b:
        for user in ("bob", "carol"):
            await b.process(HAM, user=user)

        async def quickly(what: str, content: bytes, request: Request) -> Outcome:
            async with watched() as stall:
                outcome = await b.process(content, request)
            assert stall.longest_s < LONGEST_S, f"{what}: the event loop waited {stall.longest_s:.2f} s"
            return outcome

        await quickly("a question", mail, Request(classify=True))
        signature = signature_of(await quickly("new mail", mail, BOTH))
        assert (await b.totals()).innocent_learned == 2
        for lesson in (ERROR_SPAM, ERROR_INNOCENT):
            await quickly(f"a correction: {lesson}", about, replace(BOTH, lesson=lesson, signature=signature))
        assert (await b.totals()).innocent_learned == 2
