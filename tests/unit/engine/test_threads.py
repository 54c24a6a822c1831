"""Other threads go on while the kernel works on a message of 20 MB."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import cache

import pytest

from dspamd.engine._kernel import Run
from dspamd.engine.model import Hits, ScoreOptions, Snapshot, TokenOptions, Totals
from dspamd.engine.tokenizer import Tokens, tokenize
from dspamd.mail.view import View

SIZE = 20_000_000
SLOT_S = 0.01


@cache
def view() -> View:
    return View(b"", b" ".join(b"%x" % (n * 0x9E3779B1) for n in range(SIZE // 16)))


@cache
def tokens() -> Tokens:
    return tokenize(view(), TokenOptions("osb", noise=True))


@cache
def run() -> Run:
    return Run(tokens(), Snapshot(Totals(5000, 5000), Hits.none()), ScoreOptions(noise=True))


@pytest.mark.parametrize(
    ("prepare", "work"),
    [
        (view, lambda: tokenize(view(), TokenOptions("osb"))),
        (tokens, lambda: Run(tokens(), Snapshot(Totals(5000, 5000), Hits.none()), ScoreOptions())),
        (run, lambda: run().weigh(Hits.none())),
    ],
    ids=["tokenize", "judge", "weigh"],
)
def test_other_threads_go_on(prepare: Callable[[], object], work: Callable[[], object]) -> None:
    prepare()
    first, last, busy = progress(work)
    assert last - first > 4, "too quick to say anything"
    assert busy >= (last - first) // 4


def progress(work: Callable[[], object]) -> tuple[int, int, int]:
    """The slots of time in which some work began and ended, and the number of those in which we ran."""
    ends: list[int] = []

    def timed() -> None:
        work()
        ends.append(slot())

    worker = threading.Thread(target=timed)
    first = slot()
    worker.start()
    ours = set()
    while not ends:
        ours.add(slot())
    worker.join()
    return first, ends[0], len(ours - {first, ends[0]})


def slot() -> int:
    return int(time.perf_counter() / SLOT_S)
