"""Runs measurements: each configuration in each order is a task, and each task has a process to itself.

The digits do not depend on how many processes there are, nor on how often they were stopped: a task
depends on its own arguments alone, and keeps its state in a file of its own now and then.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from multiprocessing.sharedctypes import SynchronizedArray
from pathlib import Path

from dspamd.config.config import Config
from dspamd.errors import TempFail
from dspamd.evaluation.corpus import Item, UnusableCorpus
from dspamd.evaluation.feedback import Feedback, shuffled
from dspamd.evaluation.replay import Replay
from dspamd.evaluation.saved import Observed, load, save
from dspamd.file_errors import explained

GIVEN = "given"
"""The name of the order in which a corpus comes; all others are random orders."""

_SAVING_SHARE = 0.05  # of the time of a task may go into keeping its state
_SHOWN_S = 0.2  # seconds between two looks at the progress


@dataclass(frozen=True, slots=True)
class Task:
    """One configuration in one order."""

    name: str
    config: Config
    order: str
    feedback: Feedback
    stored: bool  # the messages are signatures
    state: Path


Told = Callable[[int], None]
"""Called with the number of messages that a task has done."""


def perform(task: Task, items: Sequence[Item], told: Told = lambda _: None) -> Observed:
    """Carry out a task, from where it was stopped.  Raises `UnusableCorpus`, OSError for its state."""
    state = load(task.state)
    if isinstance(state, Observed):
        told(len(items))
        return state
    replay = state or Replay(task.config, task.order, task.feedback, stored=task.stored)
    ordered = list(items) if task.order == GIVEN else shuffled(items, task.order)
    asyncio.run(_replay(replay, ordered, task.state, told))
    observed = Observed(replay.record, replay.storage.written, replay.storage.size())
    save(task.state, observed)
    return observed


async def _replay(replay: Replay, items: Sequence[Item], state: Path, told: Told) -> None:
    """Process the rest of the messages, and keep the state now and then."""
    kept, cost = time.monotonic(), 0.1
    for done in range(len(replay.record), len(items)):
        told(done)
        item = items[done]
        try:
            await replay.process(item)
        except OSError as error:
            raise UnusableCorpus(explained(error, item.message.path)) from error
        if time.monotonic() - kept > cost / _SAVING_SHARE:
            started = time.monotonic()
            save(state, replay)
            kept = time.monotonic()
            cost = kept - started
    told(len(items))


def run(
    tasks: Sequence[Task], items: Sequence[Item], jobs: int, progress: Callable[[float], None]
) -> list[Observed]:
    """Carry out tasks in up to `jobs` processes; calls `progress` with the share that is done, 0 to 1.

    Raises `UnusableCorpus`, OSError for the state of a task, `TempFail` if a process was killed.
    """
    if jobs > 1 and len(tasks) > 1:
        return _parallel(tasks, items, jobs, progress)
    total, before = len(tasks) * len(items), 0
    observed = []
    for task in tasks:
        observed.append(perform(task, items, partial(_tell, progress, before, total)))
        before += len(items)
    return observed


def _tell(progress: Callable[[float], None], before: int, total: int, done: int) -> None:
    progress((before + done) / total)


def _parallel(
    tasks: Sequence[Task], items: Sequence[Item], jobs: int, progress: Callable[[float], None]
) -> list[Observed]:
    context = multiprocessing.get_context("spawn")  # a fork would copy threads that are not there then
    board = context.Array("q", len(tasks) + 1)
    try:
        with ProcessPoolExecutor(min(jobs, len(tasks)), context, _begin, (items, board)) as pool:
            futures = [pool.submit(_work, number, task) for number, task in enumerate(tasks)]
            try:
                while True:
                    finished, waiting = wait(futures, _SHOWN_S, FIRST_EXCEPTION)
                    for future in finished:
                        future.result()
                    progress(sum(board[:-1]) / (len(tasks) * len(items)))
                    if not waiting:
                        return [future.result() for future in futures]
            except BaseException:
                board[-1] = 1
                pool.shutdown(cancel_futures=True)
                raise
    except BrokenProcessPool as error:
        detail = "is there enough memory? Fewer --jobs need less"
        raise TempFail("a process was killed", detail=detail) from error


_items: Sequence[Item] = ()
_board: SynchronizedArray[int] | None = None  # the messages that each task has done; at the end 1: stop
_parent = 0


def _begin(items: Sequence[Item], board: SynchronizedArray[int]) -> None:
    """The beginning of a process.  It leaves signals of the terminal to its parent."""
    global _items, _board, _parent
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _items, _board, _parent = items, board, os.getppid()


def _work(number: int, task: Task) -> Observed:
    def told(count: int) -> None:
        assert _board is not None
        _board[number] = count
        if _board[-1] or os.getppid() != _parent:
            os._exit(os.EX_TEMPFAIL)  # whoever wanted to know is gone; another run may have begun

    return perform(task, _items, told)
