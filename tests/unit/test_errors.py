"""Replies: how they are written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dspamd.errors import Reply
from dspamd.server.dialogue import written

SOURCES = sorted((Path(__file__).parents[2] / "dspamd").rglob("*.py"))


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (Reply(250, "2.0.0", "queued"), "250 2.0.0 queued"),
        (Reply(50, "", "what is this"), "050 what is this"),
        (Reply(5, "", ""), "005"),
        (Reply(250, "", ""), "250"),
    ],
)
def test_three_digits(reply: Reply, text: str) -> None:
    assert str(reply) == text
    assert written(reply) == text.encode() + b"\r\n"


def test_no_code_is_shown_without_its_zeros() -> None:
    """A code is a number without leading zeros: a caller that shows one must format it."""
    shown = re.compile(r"\.code\}|str\(\w*(?:\.\w+)*\.code\)")
    assert [path for path in SOURCES if shown.search(path.read_text())] == []
