"""The rules of a purge where the recordings of the original do not reach."""

from __future__ import annotations

import pytest

from dspamd.engine.model import Mode, ScoreOptions, Totals
from dspamd.engine.token_probabilities import probabilities
from dspamd.maintenance.purge import Ages, Unused, stale
from dspamd.storage.contract import TokenRow

DAY = 20_000
TAUGHT = Totals(100, 100)


def gone(rows: list[TokenRow], ages: Ages, options: ScoreOptions) -> list[int]:
    return list(stale(rows, DAY, ages, TAUGHT, options))


@pytest.mark.parametrize(
    ("mode", "wanted"),
    [(Mode.TEFT, [1, 2]), (Mode.TUM, [1]), (Mode.TOE, []), (Mode.TONE, []), (Mode.NOTRAIN, [])],
)
def test_unused_tokens_by_training_mode(mode: Mode, wanted: list[int]) -> None:
    """TUM leaves tokens with 50 hits alone, so their date says nothing (storage.md 5)."""
    rows = [TokenRow(1, 40, 9, DAY - 91), TokenRow(2, 40, 10, DAY - 91), TokenRow(3, 40, 9, DAY - 90)]
    assert gone(rows, Ages(unused=Unused()), ScoreOptions(mode=mode)) == wanted


@pytest.mark.parametrize("off", range(4))
def test_each_rule_may_be_off(off: int) -> None:
    rows = [
        TokenRow(1, 9, 9, DAY - 91),
        TokenRow(2, 2, 0, DAY - 31),
        TokenRow(3, 1, 0, DAY - 16),
        TokenRow(4, 0, 1, DAY - 16),
    ]
    ages = [90, 30, 15, 15]
    assert gone(rows, Ages(unused=Unused(*ages)), ScoreOptions()) == [1, 2, 3, 4]
    left = Unused(*(None if rule == off else age for rule, age in enumerate(ages)))
    assert gone(rows, Ages(unused=left), ScoreOptions()) == [n for n in (1, 2, 3, 4) if n != off + 1]


def test_a_token_goes_once() -> None:
    rows = [TokenRow(1, 1, 0, DAY - 91), TokenRow(2, 30, 30, DAY - 50)]
    assert gone(rows, Ages(neutral=40, unused=Unused()), ScoreOptions()) == [1, 2]


@pytest.mark.parametrize("pvalue", ["bcr", "robinson", "markov"])
def test_what_decides_is_not_neutral(pvalue: str) -> None:
    """The probability of markov needs the name of a token; without it all would be neutral."""
    rows = [TokenRow(1, 90, 1, DAY - 99), TokenRow(2, 1, 90, DAY - 99), TokenRow(3, 50, 50, DAY - 99)]
    assert gone(rows, Ages(neutral=0), ScoreOptions(pvalue=pvalue)) == [3]


def test_a_token_is_neutral_for_every_algorithm_or_for_none() -> None:
    """Algorithm confidence hears few tokens; a site that changes the algorithm must find the others."""
    rows = [TokenRow(1, 60, 20, DAY - 99), TokenRow(2, 2, 6, DAY - 99), TokenRow(3, 50, 50, DAY - 99)]
    confidence = ScoreOptions(frozenset({"confidence"}))
    assert gone(rows, Ages(neutral=0), confidence) == gone(rows, Ages(neutral=0), ScoreOptions()) == [3]
    heard = probabilities([(60, 20), (90, 0)], TAUGHT, confidence)
    assert heard[60, 20] == pytest.approx(0.5, abs=0.01)
    assert heard[90, 0] > 0.9


def test_probabilities_of_nothing() -> None:
    assert probabilities([], TAUGHT, ScoreOptions()) == {}
    assert probabilities([(9, 1), (9, 1)], TAUGHT, ScoreOptions()) == {(9, 1): pytest.approx(0.9)}


def test_nothing_goes_when_all_is_off() -> None:
    rows = [TokenRow(1, 0, 1, 0)]
    assert not Ages()
    assert gone(rows, Ages(), ScoreOptions()) == []
