"""The result of a measurement: a value, the value to compare it with from the same run, and the budget.

Only ratios count.  Machines differ, and so does the load on one of them from minute to
minute; two values measured in turns in one run can be compared.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

REPORT = Path("build/bench.json")


@dataclass(frozen=True)
class Figure:
    """One line of the report.

    `value` and `baseline` are in `unit`; `budget` is the limit of value / baseline:
    an upper one, or a lower one if `more` is better; without one, the figure is for information.
    """

    name: str
    value: float
    unit: str
    baseline: float
    budget: float | None = None
    more: bool = False

    @property
    def ratio(self) -> float:
        return self.value / self.baseline

    @property
    def ok(self) -> bool:
        if self.budget is None:
            return True
        return self.ratio >= self.budget if self.more else self.ratio <= self.budget

    def row(self) -> dict[str, object]:
        """The figure as build/bench.json holds it."""
        return {
            "name": self.name,
            "value": self.value,
            "unit": self.unit,
            "baseline": self.baseline,
            "ratio": self.ratio,
            "budget": self.budget,
            "ok": self.ok,
        }


def report(figures: list[Figure]) -> None:
    """Print a table and write build/bench.json."""
    print(f"\n  {'':<52}{'value':>11} {'baseline':>11} {'unit':<7}{'ratio':>7}  budget")
    for figure in figures:
        limit = "" if figure.budget is None else f"{'≥' if figure.more else '≤'} {figure.budget:g}"
        print(
            f"{' ' if figure.ok else '✗'} {figure.name:<52}{figure.value:>11.3f} {figure.baseline:>11.3f} "
            f"{figure.unit:<7}{figure.ratio:>7.2f}  {limit}"
        )
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(json.dumps([figure.row() for figure in figures], indent=1) + "\n")
