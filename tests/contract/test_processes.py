"""Several processes at work on one store, and some of them killed."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from dspamd.maintenance.conformance.steps import counts, new, totals
from dspamd.storage.contract import Storage
from tests.support.learner import TOKENS, joined


async def _learner(name: str, folder: Path, count: int) -> asyncio.subprocess.Process:
    words = ("-m", "tests.support.learner", name, str(folder), "shared", str(count))
    return await asyncio.create_subprocess_exec(sys.executable, *words, stdout=asyncio.subprocess.PIPE)


async def test_processes_learn_together(name: str, storage: Storage, tmp_path: Path) -> None:
    learners = [await _learner(name, tmp_path, 20) for _ in range(3)]
    for learner in learners:
        await learner.communicate()
        assert learner.returncode == 0
    uid = await new(storage, "shared")
    assert (await totals(storage, uid)).spam_learned == 60
    assert await counts(storage, uid, TOKENS) == dict.fromkeys(TOKENS, (60, 0))
    assert (await joined(storage, uid))[1] == b"x" * 60


@pytest.mark.parametrize("messages", [1, 2, 5, 9])
async def test_a_killed_process_leaves_whole_messages(
    name: str, storage: Storage, tmp_path: Path, messages: int
) -> None:
    learner = await _learner(name, tmp_path, 1_000_000)
    assert learner.stdout is not None
    for _ in range(messages):
        assert await learner.stdout.readline() == b"\n"
    learner.kill()  # in the middle of the next message
    confirmed = messages + len((await learner.communicate())[0])
    uid = await new(storage, "shared")
    learned = (await totals(storage, uid)).spam_learned
    assert learned in (confirmed, confirmed + 1)
    assert await counts(storage, uid, TOKENS) == dict.fromkeys(TOKENS, (learned, 0))
    assert (await joined(storage, uid))[1] == b"x" * learned
