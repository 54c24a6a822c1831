"""The commands of the administrator answer the recorded command lines as the original did.

The recording goes on where that of dspam ended: the user bob with some counters, and a
user alice.  Each command is replayed in order on a SQLite store.  Whatever differs stands
beside the test of its command, with its reason.
"""

from __future__ import annotations

import os
import re
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from dspamd.commands import (
    dspam_admin,
    dspam_crc,
    dspam_dump,
    dspam_logrotate,
    dspam_merge,
    dspam_stats,
    dspam_train,
)
from dspamd.engine.model import Totals
from tests.golden.data import messages, rows
from tests.support.site import Site

ROWS = rows("cli_tools.jsonl")
MAIN = {
    "dspam_admin": dspam_admin.main,
    "dspam_crc": dspam_crc.main,
    "dspam_dump": dspam_dump.main,
    "dspam_logrotate": dspam_logrotate.main,
    "dspam_merge": dspam_merge.main,
    "dspam_stats": dspam_stats.main,
    "dspam_train": dspam_train.main,
}
BOB = Totals(17, 12, 6, 4, 14, 14)
THEIR_PROGRAMS = "/usr/local/dspam/bin/"


class Ended(NamedTuple):
    stdout: str
    stderr: str
    status: int


def of(program: str) -> list[dict[str, Any]]:
    return [row for row in ROWS if row.get("argv", [""])[0] == program]


def recorded(row: dict[str, Any]) -> Ended:
    stdout, stderr = (row[stream].replace(THEIR_PROGRAMS, "") for stream in ("stdout", "stderr"))
    return Ended(stdout, stderr, row["exit"])


class Runner:
    """Runs recorded command lines."""

    def __init__(self, capsys: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch) -> None:
        self._capsys, self._patch = capsys, patch

    def __call__(self, row: dict[str, Any]) -> Ended:
        with self._patch.context() as patch:
            patch.setattr(sys, "argv", row["argv"])
            if "as_user" in row:
                for function in ("getuid", "geteuid"):
                    patch.setattr(os, function, lambda: int(row["as_user"]))
            status = MAIN[row["argv"][0]]()
        return Ended(*self._capsys.readouterr(), status=status)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Runner:
    return Runner(capsys, monkeypatch)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    site = Site(tmp_path, monkeypatch)
    site.teach("bob", BOB)
    site.teach("alice", Totals())
    return site


def blocks(text: str) -> list[str]:
    """The users of dspam_stats: a name, and the lines below it, in no order."""
    return sorted(re.findall(r"(?m)^\S.*\n(?:\s.*\n)*", text))


ZEROS = "bob\n    TP:     0 TN:     0 FP:     0 FN:     0 SC:     0 NC:     0\n"
# We accept combined flags; the original took them for users, made these, and forgot the user's snapshot.
COMBINED = {
    "dspam_stats -rs bob": ZEROS,
    "dspam_stats -sS bob": ZEROS + "    SHR:  100.00%       HSR:    0.00%       OCA:  100.00%\n",
}


def test_stats(site: Site, run: Runner) -> None:
    for row in of("dspam_stats")[:23]:
        ours, theirs = run(row), recorded(row)
        if row["id"] in COMBINED:
            theirs = Ended(COMBINED[row["id"]], "", 0)
        if row["argv"][1:] == ["-h"]:  # asking for help is no error
            theirs = theirs._replace(status=0)
        users = [block for block in blocks(theirs.stdout) if not block.startswith("-rs")]
        assert blocks(ours.stdout) == users, row["id"]
        assert ours[1:] == theirs[1:], row["id"]
    assert (site.folder / "data/bob/bob.rstats").read_text() == "0,0,6,4,14,14\n"
    assert not (site.folder / "data/nouser").exists()


def test_crc(run: Runner) -> None:
    for row in of("dspam_crc"):
        assert run(row) == recorded(row)


def test_dump(today: date, site: Site, run: Runner) -> None:
    """The recorded tokens with their probabilities; the original says `now` for the last hit."""
    (whole,) = (row for row in of("dspam_dump") if row["id"] == "dspam_dump bob")
    lines = [line for line in whole["stdout"].split("\n") if " LH: " in line]
    hits = {int(line.split()[0]): (int(line.split()[2]), int(line.split()[4])) for line in lines}
    site.teach("bob", Totals(), hits)
    shown = run(whole).stdout.splitlines()
    assert len(lines) > 15
    assert {line.partition(" LH: ")[0] for line in shown} == {line.partition(" LH: ")[0] for line in lines}
    assert {line.partition(" LH: ")[2] for line in shown} == {today.strftime("%a %b %e 00:00:00 %Y")}


def test_dump_of_nothing(site: Site, run: Runner) -> None:
    for row in of("dspam_dump")[:7]:
        theirs = recorded(row)
        if row["argv"][1:] == ["-h"]:  # the original took it for a user
            theirs = theirs._replace(stdout=dspam_dump.USAGE)
        ours = run(row)
        assert ours._replace(stderr=ours.stderr.rstrip()) == theirs._replace(stderr=theirs.stderr.rstrip())


def test_merge(site: Site, run: Runner) -> None:
    """Without a destination the original crashed; it crashed on -h, too.  We say which user is unknown."""
    site.teach("bob", Totals(), dict.fromkeys(range(1, 20_048), (1, 0)))
    for row in of("dspam_merge"):
        ours, theirs = run(row), recorded(row)
        if theirs.status == -11:
            status = 0 if "-h" in row["argv"] else 1
            assert ours == Ended(dspam_merge.USAGE, "", status)
        else:
            said = ours.stderr.replace("nouser: there is no such user in the store\n", "")
            assert ours._replace(stderr=said) == theirs
    (merged,) = (row for row in of("dspam_stats") if row["id"] == "dspam_stats merged")
    assert run(merged) == recorded(merged)
    assert site.known("merged") == site.known("bob")


ADMIN = """\
AllowOverride trainingMode spamAction spamSubject
Preference "trainingMode=TEFT"
Preference "spamAction=deliver"
Preference "spamSubject=[SPAM]"
Preference "statisticalSedation=0"
Preference "enableBNR=off"
Preference "enableWhitelist=on"
Preference "signatureLocation=headers"
Preference "tagSpam=off"
Preference "tagNonspam=off"
Preference "showFactors=off"
Preference "optIn=off"
Preference "optOut=off"
Preference "whitelistThreshold=10"
Preference "makeCorpus=off"
Preference "storeFragments=off"
Preference "processorBias=on"
Preference "fallbackDomain=off"
Preference "trainPristine=off"
"""
OUR_FUNCTIONS = dspam_admin.USAGE.partition("aggregate preference [user]\n")[2]
OUR_WARNING = re.compile("^warning: .*\n", re.MULTILINE)  # the original did not warn


def test_admin(site: Site, run: Runner) -> None:
    site.configure(ADMIN)
    for row in of("dspam_admin"):
        ours, theirs = run(row), recorded(row)
        said = OUR_WARNING.sub("", ours.stderr.replace(OUR_FUNCTIONS, ""))
        assert ours._replace(stderr=said) == theirs, row["id"]
    (files,) = (row for row in ROWS if row["id"] == "prefs-files")
    for name, content in files["content"].items():
        assert (site.folder / name).read_text() == content


def test_logrotate(tmp_path: Path, run: Runner) -> None:
    """Ages of lines are in whole days; ours are an hour younger, for the time the test takes."""
    now, ages = int(time.time()) + 3600, [100, 40, 31, 30, 29, 5, 0]
    log = tmp_path / "system.log"
    log.write_text("".join(f"{now - 86_400 * age}\tI\t{age}\n" for age in ages))
    for row in of("dspam_logrotate"):
        row = {**row, "argv": [word.replace("/opt/lr", str(tmp_path)) for word in row["argv"]]}
        ours, theirs = run(row), recorded(row)
        assert ours == theirs._replace(stdout=theirs.stdout.replace("/opt/lr", str(tmp_path))), row["id"]
        assert [int(line.split("\t")[2]) for line in log.read_text().splitlines()] == row[
            "file_after_age_days"
        ]


@pytest.fixture
def corpora(tmp_path: Path) -> Path:
    """The folders s and h with numbered messages, and the index of others."""
    (files,) = (row for row in ROWS if row["id"] == "train-files")
    folder = tmp_path / "train"
    for name, label in (("s", "spam"), ("h", "ham")):
        (folder / name).mkdir(parents=True)
        for number, message in enumerate(files[label]):
            content = messages("corpus_messages.tar.gz")[message]
            (folder / name / f"{number:02}").write_bytes(content)
    indexed = next(row for row in ROWS if "index" in row)
    index = tmp_path / "train2" / "index"
    index.parent.mkdir()
    index.write_text(indexed["index"].replace("/opt/train2", str(index.parent)))
    for number, message in enumerate(indexed["messages"]):
        (index.parent / f"m{number:02}").write_bytes(messages("corpus_messages.tar.gz")[message])
    return tmp_path


TRAINING = """\
Tokenizer osb
Algorithm graham burton
PValue bcr
Feature whitelist
ProcessorURLContext on
ProcessorBias on
"""
COMPLETE = [row for row in of("dspam_train") if "TRAINING COMPLETE" in row["stdout"]]


@pytest.mark.parametrize("row", COMPLETE, ids=[row["argv"][1] for row in COMPLETE])
def test_train(row: dict[str, Any], site: Site, run: Runner, corpora: Path) -> None:
    """Messages take the same turns with the same verdicts; the original listed files in no order."""
    site.configure(TRAINING)
    ours = run({**row, "argv": [word.replace("/opt", str(corpora)) for word in row["argv"]]})
    assert _without_names(ours.stdout.replace(str(corpora), "/opt")) == _without_names(row["stdout"])
    assert ours[1:] == recorded(row)[1:]


def _without_names(text: str) -> str:
    return re.sub(r"\] \S+ +result", "] result", text)


def test_train_options_come_in_any_order(site: Site, run: Runner, corpora: Path) -> None:
    """The original took `-i` for the user."""
    site.configure(TRAINING)
    _, by_index = COMPLETE
    (early,) = (row for row in of("dspam_train") if row["argv"][1] == "-i")
    ours = run({**early, "argv": [word.replace("/opt", str(corpora)) for word in early["argv"]]})
    theirs = by_index["stdout"].replace("\nt1\n", "\nt2\n")
    assert _without_names(ours.stdout.replace(str(corpora), "/opt")) == _without_names(theirs)


def test_train_without_corpus(site: Site, run: Runner) -> None:
    """Words that make no sense are refused before anything is done; the original began, and exited 2."""
    nonsense = [row for row in of("dspam_train") if row["exit"] == 2]
    missing = nonsense.pop(2)
    assert run(missing) == recorded(missing)
    assert len(nonsense) == 3
    for row in nonsense:
        assert run(row) == Ended("", dspam_train.USAGE, 1), row["id"]
