"""Whatever fails, no mail is lost, cut short or changed: each fault once (`make chaos`: often)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.chaos.faults import OF_DISKS, Fault, faults
from tests.chaos.storm import storm

SEED = 20261120


@pytest.mark.parametrize(("store", "kinds"), [("postgresql", faults("postgresql")), ("hash", OF_DISKS)])
def test_faults_cost_no_mail(store: str, kinds: Sequence[Fault], tmp_path: Path) -> None:
    account = storm(store, tmp_path, SEED, kinds)
    assert not account.problems, account
