"""dspam answers the recorded command lines as the original did, one after the other on one store.

They are replayed twice: under `StrictCompatibility on`, where counters and exit
statuses must be those of the original, and as we are by default.  Whatever
differs from the recording stands in the tables below, with its reason.

Counters are kept in hash files, as the original kept them: under StrictCompatibility a
store in SQL teaches some lessons with other numbers (Q-T9).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from dspamd.commands import dspam
from dspamd.engine.model import Totals
from tests.golden.data import rows
from tests.golden.recorded_site import Ended, RecordedSite

ROWS = rows("cli_dspam.jsonl")
RUNS = [
    row
    for row in ROWS
    if row.get("argv", [""])[0] == "dspam" and not {"--help", "--version"} & {*row["argv"]}
]
STATISTICS = [row for row in ROWS if row.get("argv", [""])[0] == "dspam_stats"]
NEW_STORE = "corpus-ham-0"  # the original started again with this one

Edits = list[tuple[bytes, bytes]]  # regular expressions and their replacements

NOT_STORED: Edits = [(rb"signature=\w+", b"signature=N/A")]

OUTPUT: dict[str, Edits] = {
    # No signature is stored without training, so none is shown.
    "mode-notrain": NOT_STORED,
    # Unlearning without a class takes nothing away, and is no training.
    "mode-unlearn": NOT_STORED,
    # Lines without a colon are not made into headers, and no empty line is added after them.
    "body-only-stdin": [(rb"(?m): $", b""), (rb"\n\n", b"\n")],
    # Our lines end as those of the message do, and a CR is no part of an address.
    "crlf-stdin": [(rb"\r?\n", b"\r\n"), (rb"Result: Innocent", b"Result: Whitelisted")],
    # The headers of the first pass, which anybody could have forged, are taken out.
    "error-by-header-stdout": [(rb"X-DSPAM-(Result|Processed|Confidence|Probability|Signature): .*\n", b"")],
    # A name that is a path has no dictionary, so there is no verdict.
    "user-slash": [(rb"(?s).*", b"")],
    # The recorded home could not be written by this user, ours can.
    "untrusted-self": [
        (
            rb"^$",
            b'X-DSPAM-Result: nobody; result="Innocent"; class="Innocent"; '
            b"probability=0.0807; confidence=1.00; signature=NEW\n",
        )
    ],
}
OUTPUT["untrusted-no-user"] = OUTPUT["untrusted-self"]

# Exit statuses that differ: under StrictCompatibility, and by default.
STATUS = {
    # The caller must try mail again that the delivery agent did not take.
    "lda-exit-75": (255, 75),
    "lda-exit-1": (255, 75),
    # A correction that fails is a failure.
    "error-no-signature": (0, 1),
    "error-bad-signature": (0, 1),
    "error-bad-signature-summary": (0, 1),
    "error-empty-stdin-bad-signature": (0, 1),
    "other-user-signature": (0, 1),
}

# By default the same correction counts once, and the opposite one takes it back exactly.
STATISTICS_BY_DEFAULT = {
    "stats-before-error": Totals(15, 15, 0, 0, 14, 14),
    "stats-after-error": Totals(16, 14, 1, 0, 14, 14),
    "stats-after-error-again": Totals(16, 14, 1, 0, 14, 14),
    "stats-after-reverse": Totals(15, 15, 0, 0, 14, 14),
}


class Replay(NamedTuple):
    """Our results on all rows, by their ids."""

    strict: bool
    ended: dict[str, Ended]
    totals: dict[str, Totals]


@pytest.fixture(scope="module", params=[True, False], ids=["strict", "default"])
def replay(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replay]:
    done = Replay(request.param, {}, {})
    folder = tmp_path_factory.mktemp("cli")
    with pytest.MonkeyPatch.context() as patch:
        site = RecordedSite(folder / "first", patch, strict=done.strict)
        for row in ROWS:
            if row["id"] == NEW_STORE:
                site = RecordedSite(folder / "second", patch, strict=done.strict)
            if row in RUNS:
                done.ended[row["id"]] = site.run(row)
            elif row in STATISTICS:
                done.totals[row["id"]] = site.totals("bob")
        yield done


def undated(text: bytes) -> bytes:
    text = re.sub(rb"(?<=X-DSPAM-Processed: ).*\d", b"DATE", text)
    return re.sub(rb"6b000cff\d+", b"NEW", text)


@pytest.mark.parametrize("row", RUNS, ids=[row["id"] for row in RUNS])
def test_row(row: dict[str, Any], replay: Replay) -> None:
    ended = replay.ended[row["id"]]
    expected = undated(row["stdout"].encode("latin-1"))
    for old, new in OUTPUT.get(row["id"], []):
        expected = re.sub(old, new, expected, count=1 if old.startswith(b"(?s)") else 0)
    assert undated(ended.stdout) == expected
    assert undated(ended.agent) == undated(row.get("delivery_agent", "").encode("latin-1"))
    strict, default = STATUS.get(row["id"], (row["exit"], row["exit"]))
    assert ended.status == (strict if replay.strict else default)


@pytest.mark.parametrize("row", RUNS, ids=[row["id"] for row in RUNS])
def test_failures_are_told_and_nothing_else(row: dict[str, Any], replay: Replay) -> None:
    ended = replay.ended[row["id"]]
    assert ended.stderr.count("\n") == (ended.status != 0)
    if row["exit"] == 1:
        logged = row["syslog"][0].partition("]: ")[2]
        assert ended.stderr == f"dspam: {logged}\n"


@pytest.mark.parametrize("row", STATISTICS, ids=[row["id"] for row in STATISTICS])
def test_statistics(row: dict[str, Any], replay: Replay) -> None:
    ours = replay.totals[row["id"]]
    if replay.strict:
        theirs = dict(re.findall(r"\t(TP|TN|FP|FN|SC|NC|TL) .*?(\d+)\n", row["stdout"]))
        assert shown(ours) == {name: int(value) for name, value in theirs.items()}
    elif row["id"] in STATISTICS_BY_DEFAULT:
        assert ours == STATISTICS_BY_DEFAULT[row["id"]]
    else:
        # Each later pair of corrections cancelled out.
        assert ours.spam_misclassified + ours.innocent_misclassified <= 1


def shown(totals: Totals) -> dict[str, int]:
    """The figures of dspam_stats -H (reference/cli.md 8)."""
    sl, il, sm, im, sc, ic, scl, icl = totals
    return {
        "TP": max(0, sl + scl - sm - sc),
        "TN": max(0, il + icl - im - ic),
        "FP": im,
        "FN": sm,
        "SC": sc,
        "NC": ic,
        "TL": max(0, 2500 - il - icl),
    }


def told(flag: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, user: int) -> tuple[str, str]:
    with pytest.MonkeyPatch.context() as patch:
        RecordedSite(tmp_path / "site", patch, strict=False)
        for function in ("getuid", "geteuid"):
            patch.setattr(os, function, lambda: user)
        assert dspam.main([flag]) == 0
    out, err = capsys.readouterr()
    return out, err


def recorded(name: str) -> dict[str, Any]:
    return next(row for row in ROWS if row["id"] == name)


def test_help(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    row = recorded("help")
    assert told("--help", capsys, tmp_path, 0) == (row["stdout"], row["stderr"])


@pytest.mark.parametrize(("name", "user"), [("version", 0), ("untrusted-version", 65534)])
def test_version(name: str, user: int, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out, _ = told("--version", capsys, tmp_path, user)
    theirs = recorded(name)["stdout"]
    read_by_scripts = ["DSPAM Anti-Spam Suite ", "Configuration parameters:  '"]
    assert [text in out for text in read_by_scripts] == [text in theirs for text in read_by_scripts]
    assert [f"'--with-dspam-home={tmp_path}/site'" in out] == ["'--with-dspam-home=" in theirs]
