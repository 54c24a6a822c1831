"""Small messages and dictionaries for the tests of the engine."""

from __future__ import annotations

from array import array
from collections.abc import Mapping

from dspamd.engine._kernel import Run
from dspamd.engine.model import Hits, Lesson, ScoreOptions, Snapshot, TokenOptions, Totals
from dspamd.engine.tokenizer import crc64, tokenize
from dspamd.mail.view import View

Known = Mapping[bytes, tuple[int, int]]


def hits(known: Known) -> Hits:
    """Hits (spam, innocent) of tokens given by name."""
    return Hits(
        array("Q", map(crc64, known)),
        array("Q", [spam for spam, _ in known.values()]),
        array("Q", [innocent for _, innocent in known.values()]),
    )


def body_run(
    body: bytes,
    known: Known,
    totals: Totals,
    options: ScoreOptions,
    lesson: Lesson | None = None,
    *,
    headers: bytes = b"",
    tokenizer: str = "word",
) -> Run:
    """The run of a message for a user whose dictionary has these tokens."""
    token_options = TokenOptions(tokenizer, whitelist=options.whitelist, noise=options.noise)
    tokens = tokenize(View(headers, body), token_options)
    return Run(tokens, Snapshot(totals, hits(known)), options, lesson)


def learned(run: Run, *names: bytes) -> list[tuple[int, int] | None]:
    """The changes of a run in the hits of tokens; None for tokens that it does not write."""
    changes = run.learned.tokens
    steps = dict(zip(changes.tokens, zip(changes.spam, changes.innocent, strict=True), strict=True))
    return [steps.get(crc64(name)) for name in names]
