"""Header blocks as the original wrote them, for 1840 messages with factors.

The recorder took the tabs of folded lines and the white space at the end away.
"""

from __future__ import annotations

import re
from typing import Any

import pytest

from dspamd.engine.model import Factor, Result
from dspamd.filter.verdict import Verdict, header_lines
from tests.golden.data import rows
from tests.support.day import NOW

MESSAGES = [row for row in rows("classify/agent.jsonl") if "X-DSPAM-Factors" in row.get("headers", {})]
CONFIGS = sorted({row["config"] for row in MESSAGES})
CUT = {"agent-word-naive": 8, "agent-osb-chi": 2, "agent-osb-markov": 83}
"""Messages with more factors than a header holds."""


def unescaped(name: str) -> bytes:
    return re.sub(rb"%([0-9a-f]{2})", lambda match: bytes((int(match[1], 16),)), name.encode("latin-1"))


def factors_of(header: str) -> tuple[Factor, ...]:
    """The factors of a header; those after the cut are made up, the last one shown among them."""
    count, *shown = header.split(",\n")
    if len(shown) < int(count):
        shown[-1:] = ["made up, 0.99000"] * (int(count) - len(shown) + 1)
    pairs = [factor.rpartition(", ") for factor in shown]
    return tuple(Factor(unescaped(name), float(value)) for name, _, value in pairs)


def written(row: dict[str, Any]) -> dict[str, str]:
    told = row["headers"]
    name = told["X-DSPAM-Result"]
    verdict = Verdict(
        Result(name == "Spam", name, float(told["X-DSPAM-Probability"]), float(told["X-DSPAM-Confidence"])),
        processed=NOW,
        signature=told.get("X-DSPAM-Signature"),
        factors=factors_of(told["X-DSPAM-Factors"]),
    )
    block = b"\n".join(header_lines(verdict)).decode("latin-1")
    assert "\n\n" not in block
    fields = [field.partition(": ") for field in re.split(r"\n(?=X-)", block)]
    return {name: value.replace("\n\t", "\n") for name, _, value in fields}


@pytest.mark.parametrize("config", CONFIGS)
def test_blocks_of_headers(config: str) -> None:
    cut = 0
    for row in MESSAGES:
        if row["config"] != config:
            continue
        told, ours = row["headers"], written(row)
        assert list(ours) == ["X-DSPAM-Result", "X-DSPAM-Processed", *list(told)[1:]]
        theirs, factors = told["X-DSPAM-Factors"], ours.pop("X-DSPAM-Factors")
        count = int(theirs.partition(",")[0])
        if theirs.count(",\n") < count:
            cut += 1
            shown = theirs.rpartition(",\n")[0]
            assert factors.startswith(shown)
            # Cut at the same byte: header name, blank, and the tabs that were taken away.
            assert 10220 <= len(factors) + factors.count("\n") <= 10222
        else:
            assert factors == theirs
        assert ours.items() - {("X-DSPAM-Processed", "Fri Nov 20 09:16:09 2026")} <= told.items()
    assert cut == CUT.get(config, 0)


def test_nothing_recorded_is_left_out() -> None:
    assert len(MESSAGES) == 1840
