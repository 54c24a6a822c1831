"""The plain reference, too, answers for itself: recorded views, tokens and verdicts.

It is what the kernel is compared with on mail that nobody recorded.  It is slow, so
three recorded runs must do: without and with noise reduction, with each kind of stream.
"""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from dspamd.engine.model import Label, Lesson, Mode, ScoreOptions, Source
from tests.golden.data import messages, rows
from tests.golden.replay import LABELS, corpus_index
from tests.model import classic
from tests.model.combination import chi2q
from tests.model.run import Reference
from tests.model.tokens import Table, Tokenizer, from_signature
from tests.support.memory_store import MemoryStore

pytestmark = pytest.mark.no_cover  # it is about the reference, not about the program

HANDMADE = {row["message"]: bytes.fromhex(row["hex"]) for row in rows("handmade_messages.jsonl")}
NUL = "nul.eml"  # the original cut it at its NUL, we drop the NUL


@pytest.mark.parametrize("file", ["handmade_degenerated.jsonl", "real_degenerated.jsonl"])
def test_views(file: str) -> None:
    mail = HANDMADE | messages("real_messages.tar.gz")
    for row in rows(file):
        if row["message"] != NUL:
            recorded = (row["header_text"].encode("latin-1"), row["body_text"].encode("latin-1"))
            assert classic.view(mail[row["message"]]) == recorded


def test_tokens() -> None:
    for row in rows("handmade_tokens.jsonl"):
        if row["message"] == NUL:
            continue
        options = row["options"].split(",")
        ignored = frozenset(o.removeprefix("ignore=").lower().encode() for o in options if "ignore=" in o)
        tokenizer = Tokenizer(row["tokenizer"], "url" in options, "wl" in options, ignored)
        table = tokenizer(*classic.view(HANDMADE[row["message"]]))
        dump = "".join(f"{token}:{table.entries[token].frequency}\n" for token in sorted(table.entries))
        assert len(table.entries) == row["count"]
        if dump:
            assert hashlib.sha256(dump.encode()).hexdigest() == row["sha256_crc_freq"]
        assert (table.whitelist or 0) == int(row["whitelist_token"])


def test_chi_square_tail() -> None:
    """engine.md 12.4."""
    assert chi2q(20, 10) == pytest.approx(0.029252688076961, abs=1e-14)
    assert chi2q(3, 4) == pytest.approx(0.557825400371075, abs=1e-14)


class Reader:
    def __init__(self, config: dict[str, Any]) -> None:
        flags = config["flags"]
        url_context = config.get("url_context", "on") == "on"
        self.tokenizer = Tokenizer(config["tokenizer"], url_context, "whitelist" in flags)
        self.options = ScoreOptions(
            frozenset(config["algorithm"].split()),
            config["pvalue"],
            Mode(config["mode"]),
            bias="bias" in flags,
            noise="noise" in flags,
            whitelist="whitelist" in flags,
            strict=True,
        )
        self.store = MemoryStore(limited=True)

    def read(self, table: Table, lesson: Lesson | None, *, from_signature: bool = False) -> Reference:
        totals = self.store.totals
        run = Reference(table, totals, self.store.hits, self.options, lesson, from_signature=from_signature)
        self.store.apply(run.learned)
        return run


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("main-word-teft", "main-word-teft"),
        ("bnr", "bnr-word-flags[bias,noise]"),
        ("bnr", "bnr-chain-flags[noise]"),
    ],
)
def test_verdicts(file: str, name: str) -> None:
    recorded = [row for row in rows(f"classify/{file}.jsonl") if row.get("config_name", name) == name]
    config = next(row["config"] for row in recorded if row.get("config", {}).get("name") == name)
    by_number = {row["i"]: row for row in recorded if "i" in row}
    reader = Reader(config)
    for i, (label, message) in enumerate(mail(file)[: max(by_number) + 1]):
        table = reader.tokenizer(*classic.view(message))
        if i < config["corpusfirst"]:
            reader.read(table, Lesson(label, Source.CORPUS))
            continue
        row, run = by_number[i], reader.read(table, None)
        assert run.result.name == row["class"]
        assert run.result.probability == pytest.approx(row["probability"], abs=1e-6)
        assert run.result.confidence == pytest.approx(row["confidence"], abs=1e-6)
        shown = [name.decode("latin-1") for name, _ in run.factors]
        assert shown[:27] == [name for name, _ in row["factors"]]
        if "retrain" in row:
            signed = from_signature(run.signature)
            reader.read(signed, Lesson(label, Source.ERROR), from_signature=True)


def mail(file: str) -> list[tuple[Label, bytes]]:
    if file == "bnr":
        found = rows("classify/bnr_messages.jsonl")
        return [(LABELS[row["label"]], row["message"].encode("latin-1")) for row in found]
    texts = messages("corpus_messages.tar.gz")
    return [(label, texts[name]) for label, name in corpus_index()]
