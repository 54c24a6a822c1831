"""Whatever fails, no mail is lost, cut short or changed: each fault once, briefly (`make chaos`: in full)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.experiment import BRIEFLY, experiment
from tests.chaos.faults import faults
from tests.chaos.fixture import JOINT
from tests.support.daemon import SCORING

SEED = 20261120
_ELSEWHERE = {
    "mariadb": {"tree killed", "next hop stopped", "next hop frozen", "clients vanish", "clock set"},
    "hash": {"worker killed", "supervisor killed", "clamd stopped", "clamd frozen", "open files exhausted"},
}
"""The faults that are tried with the other store alone."""

_SCORING = {"mariadb": SCORING, "hash": JOINT}


@pytest.mark.timeout(300)  # for a busy machine
@pytest.mark.parametrize("store", _ELSEWHERE)
def test_faults_cost_no_mail(store: str, tmp_path: Path) -> None:
    kinds = [fault for fault in faults(store) if fault.name not in _ELSEWHERE[store]]
    account = experiment(store, tmp_path, SEED, kinds, pace=BRIEFLY, scoring=_SCORING[store])
    assert not account.problems, str(account)
    assert not account.left_out, account.left_out
