"""Who reports what: shares, and chance that depends on names alone."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from dspamd.engine.model import Label
from dspamd.evaluation.feedback import Feedback, shuffled

NAMES = [f"ham/{n}" for n in range(2000)]


def _reports(feedback: Feedback, verdict: Label, order: str = "given") -> list[str]:
    """The messages that are reported, of ham with these verdicts."""
    return [name for name in NAMES if feedback.report(order, name, Label.INNOCENT, verdict) is not None]


def test_errors_are_reported_and_nothing_else() -> None:
    assert _reports(Feedback(), Label.SPAM) == NAMES
    assert _reports(Feedback(), Label.INNOCENT) == []
    assert Feedback().report("given", "x", Label.SPAM, Label.INNOCENT) is Label.SPAM


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_a_share_is_never_reported(share: float) -> None:
    kept = _reports(Feedback(unreported=share), Label.SPAM)
    assert len(kept) == pytest.approx((1 - share) * len(NAMES), abs=80)
    assert _reports(Feedback(unreported=1), Label.SPAM) == []


def test_a_share_of_labels_is_wrong() -> None:
    """Users report right verdicts as wrong, and do not report wrong ones."""
    noisy = Feedback(noise=0.1)
    mistaken = _reports(noisy, Label.INNOCENT)
    assert len(mistaken) == pytest.approx(200, abs=50)
    assert {*mistaken} | {*_reports(noisy, Label.SPAM)} == {*NAMES}
    assert {*mistaken}.isdisjoint(_reports(noisy, Label.SPAM))
    assert noisy.report("given", mistaken[0], Label.INNOCENT, Label.INNOCENT) is Label.SPAM


def test_chance_depends_on_names_alone() -> None:
    """Also in another process, whose hashes of texts have another seed."""
    code = (
        "from dspamd.evaluation.feedback import _chance, shuffled;"
        "print(_chance('noise', 'given', 'ham/1'), shuffled(range(12), 'order 1'))"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert told == {"0.8598633150300721 [10, 3, 8, 5, 7, 11, 6, 0, 4, 1, 2, 9]\n"}
    assert shuffled(NAMES, "order 1") != shuffled(NAMES, "order 2")
    assert sorted(shuffled(NAMES, "order 1")) == sorted(NAMES)
