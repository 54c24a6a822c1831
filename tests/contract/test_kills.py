"""Some kills on each store (`make chaos`: hundreds), and faults that the audit finds."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dspamd.maintenance.conformance.steps import learning
from dspamd.storage.contract import BlockChange, Change
from tests.chaos import kills
from tests.chaos.kills import Broken, Ledger, correct, learn, opened, settle

KILLS = 8


@pytest.mark.timeout(300)  # on a machine that is busy with other things
def test_kills_leave_whole_messages(name: str, tmp_path: Path, furnish: Callable[[str, Path], None]) -> None:
    furnish(name, tmp_path)
    command = (sys.executable, "-m", "tests.chaos.kills", str(KILLS), "7", name, str(tmp_path))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{name}: {KILLS} kills, " in done.stdout


async def _books(folder: Path, *, spoil: Change | None = None, confirmed: int = 2) -> None:
    async with opened("sqlite", folder) as (storage, dictionary):
        for message in (1, 2):
            await learn(storage, dictionary, message)
        assert await correct(storage, dictionary, 1)
        if spoil is not None:
            assert dictionary.uid is not None
            await storage.apply(dictionary.uid, spoil)
    await settle("sqlite", folder, Ledger(1, confirmed, 1), 0, settled_s=0)  # no server is behind a file


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
