"""Some kills on each store (`make chaos`: hundreds), and faults that the audit finds."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from array import array
from collections.abc import Callable
from pathlib import Path

import pytest

from dspamd.engine._weights import Evidence, Table
from dspamd.maintenance.conformance.steps import learning
from dspamd.storage.contract import BlockChange, Change, Signature
from tests.chaos import kills, tone_kills
from tests.chaos.kills import Broken, Ledger, correct, learn, opened, settle

LESSON = Evidence(array("Q", [7]), (Table(),)).lesson(True, 1e9)
KILLS = {"kills": 8, "tone_kills": 3}


@pytest.mark.parametrize("module", KILLS)
@pytest.mark.timeout(300)  # for a busy machine
def test_kills_leave_whole_messages(
    name: str, module: str, tmp_path: Path, furnish: Callable[[str, Path], None]
) -> None:
    furnish(name, tmp_path)
    command = (sys.executable, "-m", f"tests.chaos.{module}", str(KILLS[module]), "7", name, str(tmp_path))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{KILLS[module]} kills, " in done.stdout


async def _books(folder: Path, *, spoil: Change | None = None, confirmed: int = 2) -> None:
    async with opened("sqlite", folder) as (storage, dictionary):
        for message in (1, 2):
            await learn(storage, dictionary, message)
        assert await correct(storage, dictionary, 1)
        if spoil is not None:
            assert dictionary.uid is not None
            await storage.apply(dictionary.uid, spoil)
    await settle("sqlite", folder, Ledger(1, confirmed, 1), 0, settled_s=0)  # files need no server to settle


def test_whole_messages_are_accepted(tmp_path: Path) -> None:
    asyncio.run(_books(tmp_path))
    asyncio.run(kills.replay("sqlite", tmp_path, Ledger(1, 2, 1, {1: True, 2: False})))


@pytest.mark.parametrize(
    "spoil",
    [
        Change(learning([1], 1, 0)),
        Change(learning([kills.tokens_of(1)[-1]], 0, -1)),
        Change(learning([kills.tokens_of(3)[-1]], 1, 0)),
        Change(learning([], 0, 0, spam_learned=1)),
        Change(learning([], 0, 0, innocent_misclassified=-1)),
        Change(learning([], 0, 0), block=BlockChange("kills", bytes(8))),
    ],
)
def test_a_single_hit_too_many_or_too_few_is_found(spoil: Change, tmp_path: Path) -> None:
    with pytest.raises(Broken):
        asyncio.run(_books(tmp_path, spoil=spoil))


@pytest.mark.parametrize("confirmed", [0, 3])
def test_a_message_lost_or_made_up_is_found(confirmed: int, tmp_path: Path) -> None:
    """One kill can leave one message unconfirmed."""
    with pytest.raises(Broken, match="confirmed"):
        asyncio.run(_books(tmp_path, confirmed=confirmed))


def test_a_correction_that_is_lost_is_found(tmp_path: Path) -> None:
    asyncio.run(_books(tmp_path))
    with pytest.raises(Broken, match="corrected in vain"):
        asyncio.run(kills.replay("sqlite", tmp_path, Ledger(1, 2, 1, {1: False, 2: False})))
    with pytest.raises(Broken, match="corrected twice"):
        asyncio.run(kills.replay("sqlite", tmp_path, Ledger(1, 2, 1, {1: True, 2: True})))


async def _lesson(folder: Path, ledger: tone_kills.Ledger, spoil: Change | None = None) -> tone_kills.Ledger:
    """A message that is learned, corrected, and entered."""
    async with opened("sqlite", folder, tone_kills.OWNER) as (storage, dictionary):
        await tone_kills.learn(dictionary, 2)
        assert await tone_kills.correct(dictionary, 2, tone_kills.answer(2))
        if spoil is not None:
            assert dictionary.uid is not None
            await storage.apply(dictionary.uid, spoil)
    return await tone_kills.settle("sqlite", folder, ledger, 0, settled_s=0)


def test_a_whole_lesson_is_accepted(tmp_path: Path) -> None:
    ledger = asyncio.run(_lesson(tmp_path, tone_kills.Ledger(1, 1, 1)))
    asyncio.run(tone_kills.replay("sqlite", tmp_path, ledger))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (Change(learning([1], 1, 0)), "hits"),
        (Change(learning([], 0, 0, spam_learned=1)), "totals"),
        (Change(learning([], 0, 0), block=BlockChange("joint", LESSON)), "weights"),
        (Change(learning([], 0, 0), Signature(kills.id_of(2), b"")), "stored"),
    ],
)
def test_knowledge_that_no_lesson_gave_is_found(spoil: Change, said: str, tmp_path: Path) -> None:
    with pytest.raises(Broken, match=said):
        asyncio.run(_lesson(tmp_path, tone_kills.Ledger(1, 1, 1), spoil))
