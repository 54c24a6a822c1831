"""The engine, against the parser of the standard library, and how it grows.

One side does everything that arriving mail needs: it splits, decodes, tokenizes (OSB),
looks up the hits, scores, and makes signature and lesson, with counters in memory.
The other parses and decodes the same message with the email package.  Both take
turns on each message, and the best of a few runs counts.
"""

from __future__ import annotations

import email
import time
from array import array
from collections.abc import Callable
from typing import ParamSpec

from bench.figures import Figure
from bench.sample import messages, of_size
from dspamd.app import MEMORY_KEPT
from dspamd.engine._kernel import Run
from dspamd.engine.model import Hits, ScoreOptions, Snapshot, TokenOptions, Totals
from dspamd.engine.tokenizer import tokenize
from dspamd.mail._view import keep_memory
from dspamd.mail.message import Message
from dspamd.mail.view import View
from dspamd.mail.view_classic import view

P = ParamSpec("P")

RUNS = 5
TOTALS = Totals(spam_learned=1000, innocent_learned=1000)
TOKENIZERS = {"osb": 50.0, "word": 50.0, "chain": 50.0, "sbph": 10.0}  # MB/s; the budget is that of osb
SIZES = {  # and what a byte may cost there, against one of 100 kB
    "1 kB": (1_000, 3.0),
    "10 kB": (10_000, 1.5),
    "100 kB": (100_000, 1.0),
    "1 MB": (1_000_000, 1.5),
    "5 MB": (5_000_000, 2.5),
    "20 MB": (20_000_000, 2.5),
}


def measure() -> list[Figure]:
    keep_memory(MEMORY_KEPT)  # as the daemon does
    return [against_email(), *tokenizers(), *growth()]


def best(work: Callable[P, object], *arguments: P.args, **options: P.kwargs) -> float:
    """Seconds of the quickest of a few calls."""
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        work(*arguments, **options)
        times.append(time.perf_counter() - start)
    return min(times)


def against_email() -> Figure:
    ours = theirs = 0.0
    sample = messages()
    for raw in sample:
        snapshot = known(view(raw))
        ours += best(judge, raw, snapshot)
        theirs += best(parse, raw)
    share = 1000 / len(sample)
    return Figure("engine, one message, against email", ours * share, "ms", theirs * share, 1.0)


def judge(raw: bytes, snapshot: Snapshot) -> object:
    tokens = tokenize(view(Message(raw).lf), TokenOptions("osb"))
    run = Run(tokens, snapshot, ScoreOptions(), None)
    return run.result, run.signature, run.learned


def parse(raw: bytes) -> None:
    for part in email.message_from_bytes(raw).walk():
        if not part.is_multipart():
            part.get_payload(decode=True)


def known(seen: View) -> Snapshot:
    """Counters in which every token of a view was seen in a few messages."""
    values = tokenize(seen, TokenOptions("osb")).values
    count = len(values)
    spam, innocent = array("Q", (n % 7 for n in range(count))), array("Q", (n % 11 for n in range(count)))
    return Snapshot(TOTALS, Hits(values, spam, innocent))


def tokenizers() -> list[Figure]:
    views = [view(raw) for raw in messages()]
    megabytes = sum(len(seen.headers) + len(seen.body) for seen in views) / 1e6
    figures = []
    for name, budget in TOKENIZERS.items():
        options = TokenOptions(name)
        seconds = sum(best(tokenize, seen, options) for seen in views)
        figures.append(Figure(f"tokenizer {name}", megabytes / seconds, "MB/s", budget, 1.0, more=True))
    return figures


def growth() -> list[Figure]:
    """Time for each byte, against that of a message of 100 kB: work is linear in the size."""
    cost = {}
    for name, (size, _) in SIZES.items():
        (raw,) = of_size(size, 1)
        snapshot = known(view(Message(raw).lf))
        cost[name] = best(judge, raw, snapshot) / size * 1e9
    return [
        Figure(f"engine, time per byte, {name}", cost[name], "ns", cost["100 kB"], budget)
        for name, (_, budget) in SIZES.items()
    ]
