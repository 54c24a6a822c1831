"""Groups as the original had them: every recorded scenario, message by message, on a store of ours.

Scenarios recorded on hash files are replayed on hash files, those of the SQL stores on
SQLite, all under `StrictCompatibility on`.  In all of them bob learned eight spam and
eight innocent messages before there was a file of groups.  The tables below list our
differences, with reasons.
"""

from __future__ import annotations

import asyncio
import re
from array import array
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from dspamd import app
from dspamd.config.config import Config
from dspamd.engine.tokenizer import crc64
from dspamd.errors import PermFail
from dspamd.filter.transaction import InboundMessage
from dspamd.home.history import counters
from dspamd.request.envelope import Envelope
from dspamd.request.recipients import deliveries, requested
from tests.golden.data import rows

RECORDED = rows("groups.jsonl")
# The original refused these: "Driver does not support merged groups".  All our drivers do.
ROWS = [row for row in RECORDED if row["scenario"] != "merged-hash"]
IDS = [f"{row['scenario']}-{row['driver']}" for row in ROWS]
USERS = ("alice", "bob", "carol", "dave", "grp")
WORDS = ("uniqueword+casino", "inocword+casino", "corpusword+casino", "click+now")

# Runs of a user without a dictionary.
UNKNOWN = 'X-DSPAM-Result: {}; result="Innocent"; class="Innocent"; probability=0.0023; confidence=1.00'
TAUGHT = 'X-DSPAM-Result: alice; result="Spam"; class="Spam"; probability=1.0000; confidence={}'

# Verdicts that differ, by scenario and driver.
VERDICTS: dict[tuple[str, str], dict[str, list[str]]] = {
    # A user without a dictionary has an empty one.
    **{
        (scenario, "mysql"): {f"classify-spam-{user}": [UNKNOWN.format(user)] for user in users}
        for scenario, users in {
            "shared": ["alice"],
            "shared-star": ["alice", "carol", "dave"],
            "shared-managed": ["alice"],
            "two-groups": ["alice"],
            "merged+shared": ["carol", "dave"],
        }.items()
    },
    # The reporter of an inoculation gets an answer, too.
    **{
        ("inoculation", driver): {"inoculation-alice": [TAUGHT.format("1.00")]}
        for driver in ("hash", "mysql")
    },
    # We trust what users say about their own mail.
    **{
        ("classification-global", driver): {
            "error-spam-alice": [TAUGHT.format("0.00")],
            "inoculation-alice": [TAUGHT.format("1.00")],
            "corpus-alice": [TAUGHT.format("1.00")],
        }
        for driver in ("hash", "mysql")
    },
}

# A token that only the group knows begins with what the message teaches, not with one hit of each
# class that the group has: words of both classes are a little less innocent here.
LESS_INNOCENT = {"process-spam-alice-for-error": ["X-DSPAM-Result: Spam", "X-DSPAM-Confidence: 0.9898"]}
for _scenario, _driver in (
    ("merged", "mysql"),
    ("merged-star", "mysql"),
    ("merged-pgsql", "pgsql"),
    ("merged+shared", "mysql"),
):
    VERDICTS.setdefault((_scenario, _driver), {}).update(LESS_INNOCENT)

# The line of alice's inoculation, which the original left out where there were others to inoculate.
INOCULATION = ["N", "Cheap pills", "alice", "", ""]
INOCULATION_BYTES = {"system.log": 58, "data/alice/alice.log": 44}


class Replay(NamedTuple):
    """Our results: the output after each step, and the files at the end."""

    recorded: dict[str, Any]
    home: Path
    shown: dict[str, list[str]]
    hits: dict[str, list[tuple[int, int]]]
    counters: Mapping[str, tuple[int, ...]]


def configuration(row: dict[str, Any], home: Path) -> Config:
    driver = "hash_drv" if row["driver"] == "hash" else "sqlite3_drv"
    preferences = {"signatureLocation": "headers", **(row["prefs"] or {})}
    return Config.from_text(
        f"Home {home}\nStorageDriver {driver}\nTrainingMode teft\nTokenizer chain\n"
        "Algorithm graham burton\nPValue bcr\nProcessorBias on\nStrictCompatibility on\nHashRecMax 10007\n"
        "SystemLog on\nUserLog on\nWebStats on\n"
        + "".join(f'Preference "{name}={value}"\n' for name, value in preferences.items())
    )


async def step(parts: app.Parts, words: list[str], stdin: str) -> list[str]:
    """What `dspam` shows of its verdict, given these words and a message; nothing if it refuses."""
    request = requested(parts.config, words)
    mail = InboundMessage(Envelope(b"", (), stdin.replace("\n", "\r\n").encode("latin-1")))
    try:
        outcomes = [
            await parts.pipeline.process(mail, delivery) for delivery in deliveries(parts.config, request, ())
        ]
    except PermFail:
        return []
    return verdict_lines(b"".join(outcome.summary + outcome.printed for outcome in outcomes))


def verdict_lines(output: bytes) -> list[str]:
    lines = output.decode("latin-1").splitlines()
    return [line.partition("; signature=")[0] for line in lines if re.match("X-DSPAM-(?!Pro|Sig)", line)]


async def replay(row: dict[str, Any], home: Path) -> Replay:
    config = configuration(row, home)
    spam, innocent = (
        next(each["stdin"] for each in row["transcript"] if each["id"] == name)
        for name in ("process-spam-alice", "process-ham-alice")
    )
    async with app.Parts(config) as parts:
        for _ in range(8):
            for text, label in ((spam, "spam"), (innocent, "innocent")):
                await step(parts, ["--user", "bob", f"--class={label}", "--source=corpus"], text)
    (home / "group").write_text(row["group_file"])
    given: list[str] = []
    async with app.Parts(config, new_signature=lambda _: given[-1]) as parts:
        shown = {}
        for n, each in enumerate(row["transcript"]):
            if each["argv"][0] == "dspam":
                told = re.search(r"[Ss]ignature[=:] ?(\w{15,})", each["stdout"])
                given.append(told[1] if told else f"6b0011ff{n}")
                shown[each["id"]] = await step(parts, each["argv"][1:], each["stdin"])
        hits, totals = {}, {}
        for user in USERS:
            uid = await parts.storage.uid(user, create=True)
            assert uid is not None
            found = await parts.storage.read(uid, array("Q", [crc64(word.encode()) for word in WORDS]))
            known = dict(zip(found.hits.tokens, zip(*found.hits[1:], strict=True), strict=True))
            hits[user] = [known.get(crc64(word.encode()), (0, 0)) for word in WORDS]
            totals[user] = counters(found.totals)
    return Replay(row, home, shown, hits, totals)


@pytest.fixture(scope="module", params=ROWS, ids=IDS)
def replayed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replay]:
    yield asyncio.run(replay(request.param, tmp_path_factory.mktemp("home")))


def name(row: dict[str, Any]) -> tuple[str, str]:
    return row["scenario"], row["driver"]


def expected_verdicts(row: dict[str, Any]) -> dict[str, list[str]]:
    recorded = {
        each["id"]: verdict_lines(each["stdout"].encode("latin-1"))
        for each in row["transcript"]
        if each["argv"][0] == "dspam"
    }
    return recorded | VERDICTS.get(name(row), {})


def test_verdicts(replayed: Replay) -> None:
    assert replayed.shown == expected_verdicts(replayed.recorded)


def test_merged_groups_work_with_hash_files_too(tmp_path: Path) -> None:
    (row,) = (row for row in ROWS if row["scenario"] == "merged")
    replayed = asyncio.run(replay({**row, "driver": "hash"}, tmp_path))
    assert replayed.shown == expected_verdicts(row)


def test_hits(replayed: Replay) -> None:
    expected = {
        user: [tuple(map(int, re.findall(r"[SI]: (\d+)", dump[word]) or (0, 0))) for word in WORDS]
        for user, dump in replayed.recorded["token_dump"].items()
    }
    assert replayed.hits == expected


def test_counters(replayed: Replay) -> None:
    (text,) = (each["stdout"] for each in replayed.recorded["transcript"] if each["id"] == "stats")
    found = re.findall(r"(\w+)\n +TP: +(\d+) TN: +(\d+) FP: +(\d+) FN: +(\d+) SC: +(\d+) NC: +(\d+)", text)
    expected = {user: tuple(map(int, (tp, tn, fn, fp, sc, nc))) for user, tp, tn, fp, fn, sc, nc in found}
    assert {user: replayed.counters[user] for user in expected} == expected


def test_system_log(replayed: Replay) -> None:
    def told(text: str) -> list[list[str]]:
        fields = [line.split("\t") for line in text.splitlines()]
        return [[each[1], each[4], *each[6:]] for each in fields]

    expected = told(replayed.recorded["system_log"])
    if replayed.recorded["scenario"] == "inoculation":
        expected.insert(-1, INOCULATION)
    assert told((replayed.home / "system.log").read_text()) == expected


def test_files(replayed: Replay) -> None:
    """The group writes where the original wrote for the group; and as much of it."""
    row = replayed.recorded
    expected = {
        file["path"]: file["size"] for file in row["files"] if file["path"].endswith((".log", ".stats"))
    }
    if row["scenario"] == "inoculation":
        for path, size in INOCULATION_BYTES.items():
            expected[path] += size
    ours = {
        str(path.relative_to(replayed.home)): path.stat().st_size
        for ending in ("log", "stats")
        for path in replayed.home.rglob(f"*.{ending}")
    }
    # A request to classify writes nothing; the original wrote the statistics of a user without their
    # group, in their own file or in place of those with the merged group.
    for path in {f"data/{user}/{user}.stats" for user in ("alice", "carol", "dave")} & expected.keys():
        if ours.get(path) != expected[path]:
            assert expected.pop(path) == len("0,0,0,0,0,0\n")
            assert ours.pop(path, None) in (None, len("0,0,0,0,0,0\nbob\n"))
    assert ours == expected
