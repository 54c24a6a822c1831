"""The engine against all recorded runs of the original, message by message.

Each run starts with an empty hash store and classifies one message after the
other; whenever the verdict is wrong, the message is corrected by its signature.
After every message class, probability, confidence, factors, size of the
signature and totals must be those recorded, and at the end every token.

The original is reproduced with its faults here (`strict`), so that every row
counts; what the faults are is tested in tests/unit/engine.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import itertools
import json
from typing import Any, NamedTuple

import pytest

from dspamd.engine._kernel import Run
from dspamd.engine.model import Label, Mode, ScoreOptions, TokenOptions, Totals
from dspamd.mail import view_classic
from dspamd.mail.view import View
from tests.golden.data import FOLDER, TOTALS, messages, rows
from tests.golden.replay import LABELS, Replay, corpus_index
from tests.support.hash_store import HashStore

MAIN = (
    *("main-chain-notrain", "main-chain-teft", "main-chain-teft-noise", "main-chain-toe", "main-chain-tum"),
    *("main-osb-notrain", "main-osb-teft", "main-osb-teft-nobias", "main-osb-teft-noise", "main-osb-toe"),
    *("main-osb-tum", "main-sbph-teft", "main-word-teft"),
)
FILES = (*MAIN, "matrix", "var", "bnr")
DUMPED = {"main-osb-teft": 2, "main-chain-toe": 0}  # the recording has tokens with at least so many hits
RECORD = 16  # bytes of a token in a signature; the recorder divided the text of sbph likewise


class Recording(NamedTuple):
    """One run of the original: its settings, its rows by message number, its results."""

    head: dict[str, Any]
    rows: dict[int, dict[str, Any]]
    summary: dict[str, Any]

    @property
    def config(self) -> dict[str, Any]:
        config: dict[str, Any] = self.head["config"]
        return config


def configurations(file: str) -> list[dict[str, Any]]:
    """Those of the runs in a file, found without reading all of its rows."""
    with gzip.open(FOLDER / f"classify/{file}.jsonl.gz") as lines:
        return [json.loads(line)["config"] for line in lines if line.startswith(b'{"config"')]


@functools.lru_cache(maxsize=1)
def recordings(file: str) -> dict[str, Recording]:
    found: dict[str, Recording] = {}
    name = ""
    for row in rows(f"classify/{file}.jsonl"):
        name = row.get("config_name", name)
        if "config" in row:
            name = row["config"]["name"]
            found[name] = Recording(row, {}, {})
        elif "summary" in row:
            found[name].summary.update(row["summary"])
        else:
            found[name].rows[row["i"]] = row
    return found


@functools.cache
def corpus() -> list[tuple[Label, View]]:
    texts = messages("corpus_messages.tar.gz")
    return [(label, view_classic.view(texts[name])) for label, name in corpus_index()]


@functools.cache
def noisy_corpus() -> list[tuple[Label, View]]:
    return [
        (LABELS[row["label"]], view_classic.view(row["message"].encode("latin-1")))
        for row in rows("classify/bnr_messages.jsonl")
    ]


def token_options(config: dict[str, Any]) -> TokenOptions:
    return TokenOptions(
        tokenizer=config["tokenizer"],
        url_context=config.get("url_context", "on") == "on",
        whitelist="whitelist" in config["flags"],
        noise="noise" in config["flags"],
    )


def score_options(config: dict[str, Any]) -> ScoreOptions:
    return ScoreOptions(
        algorithms=frozenset(config["algorithm"].split()),
        pvalue=config["pvalue"],
        mode=Mode(config["mode"]),
        bias="bias" in config["flags"],
        noise="noise" in config["flags"],
        whitelist="whitelist" in config["flags"],
        whitelist_threshold=config.get("whitelist_threshold", 10),
        sedation=config.get("tb", 0),
        occurrence=config.get("word_frequency") == "occurrence",
        strict=True,
    )


def replay_of(config: dict[str, Any]) -> Replay:
    return Replay(token_options(config), score_options(config), HashStore(limited=True))


class Feeding(NamedTuple):
    """The settings that decide the dictionary after feeding: in teft mode no algorithm matters."""

    tokenizer: str
    flags: str
    url_context: str
    word_frequency: str | None
    corpusfirst: int

    @classmethod
    def of(cls, config: dict[str, Any]) -> Feeding:
        found: dict[str, Any] = {name: config.get(name) for name in cls._fields}
        return cls(**found)


@functools.lru_cache(maxsize=1)
def fed(feeding: Feeding) -> HashStore:
    """The store after feeding, where nothing was recorded meanwhile."""
    replay = replay_of({**feeding._asdict(), "algorithm": "graham", "pvalue": "bcr", "mode": "teft"})
    for label, view in corpus()[: feeding.corpusfirst]:
        replay.feed(view, label)
    return replay.store


def assert_totals(totals: Totals, recorded: dict[str, int]) -> None:
    assert {short: getattr(totals, name) for short, name in TOTALS.items()} == recorded


def assert_row(run: Run, store: HashStore, row: dict[str, Any]) -> None:
    assert run.result.name == row["class"]
    assert run.result.spam is (row["result"] == 1)
    assert run.result.probability == pytest.approx(row["probability"], abs=1e-6)
    assert run.result.confidence == pytest.approx(row["confidence"], abs=1e-6)
    recorded = row.get("factors", [])
    factors = run.factors[: 15 if "matrix-" in row.get("config_name", "") else 27]  # no more were recorded
    assert [factor.name.decode("latin-1") for factor in factors] == [name for name, _ in recorded]
    assert [factor.value for factor in factors] == pytest.approx([value for _, value in recorded], abs=1e-6)
    assert_totals(store.totals, row["totals"])


def assert_correction(run: Run, replay: Replay, label: Label, row: dict[str, Any]) -> None:
    """A wrong verdict was corrected, by the signature."""
    signature = run.signature
    if row["sig_tokens"] is not None:
        assert len(signature) // RECORD == row["sig_tokens"]
    wrong = run.result.spam is not (label is Label.SPAM)
    assert wrong is ("retrain" in row)
    if wrong:
        assert replay.correct(signature, label).result.spam is (row["retrain"]["result"] == 1)
        assert_totals(replay.store.totals, row["retrain"]["totals"])


def replay_recording(recording: Recording) -> HashStore:
    config, replay = recording.config, replay_of(recording.config)
    # The recorder fed readers that do not train as if they did.
    feeder = replay_of({**config, "mode": "teft"}) if config["mode"] == "notrain" else replay
    feeder.store = replay.store
    noisy = config["name"].startswith("bnr-")
    start = 0
    if config["mode"] == "teft" and not noisy:
        start = config["corpusfirst"]
        replay.store = fed(Feeding.of(config)).copy()
    mail = noisy_corpus() if noisy else corpus()
    for i, (label, view) in itertools.islice(enumerate(mail), start, max(recording.rows) + 1):
        row = recording.rows.get(i)
        if i < config["corpusfirst"]:
            run = feeder.feed(view, label)
            if row is not None:
                assert_row(run, replay.store, row)
        else:
            run = replay.process(view)
            assert_row(run, replay.store, recording.rows[i])
            assert_correction(run, replay, label, recording.rows[i])
    return replay.store


# Thousands of messages take the way of the first one: to count its lines costs half of their time.
pytestmark = pytest.mark.no_cover

RUNS = [(file, Feeding.of(config), config["name"]) for file in FILES for config in configurations(file)]


@pytest.mark.parametrize(
    ("file", "feeding", "name"),
    RUNS,
    ids=["-".join((file, name)) for file, _, name in RUNS],
    scope="module",  # in any order of the tests those of a file, and those fed alike, follow each other
)
def test_every_message_of_a_recorded_run(file: str, feeding: Feeding, name: str) -> None:
    recording = recordings(file)[name]
    assert Feeding.of(recording.config) == feeding
    store = replay_recording(recording)
    assert_totals(store.totals, recording.summary["totals"])
    if file in DUMPED:
        assert_every_token(store, file)
    if "token_dump_sha256" in recording.head:
        table = store.rows()
        dump = "".join(f"{token} {spam} {innocent}\n" for token, spam, innocent in table)
        assert len(table) == recording.head["token_records"]
        assert hashlib.sha256(dump.encode()).hexdigest() == recording.head["token_dump_sha256"]


def assert_every_token(store: HashStore, file: str) -> None:
    """The token table row for row, and the digest of all of it."""
    folder = FOLDER / "classify"
    about = json.loads(gzip.decompress((folder / f"{file}.tokens.json.gz").read_bytes()))
    recorded = gzip.decompress((folder / f"{file}.tokens.csv.gz").read_bytes()).decode()
    table = store.rows()
    lines = [f"{token},{spam},{innocent}\n" for token, spam, innocent in table]
    kept = [line for line, row in zip(lines, table, strict=True) if row[1] + row[2] >= DUMPED[file]]
    assert kept == recorded.splitlines(keepends=True)
    assert len(lines) == about["all_records"]
    assert hashlib.sha256("".join(lines).encode()).hexdigest() == about["sha256_of_all_records_csv"]
