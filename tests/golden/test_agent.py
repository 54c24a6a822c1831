"""The engine against the recorded runs of the whole `dspam` program.

One process of the original per message, with error training; its X-DSPAM headers have
verdict, probability, confidence and factors.  Unlike the runs of test_classify these
looked for a signature before they tokenized (engine.md 1.8), and some kept their
dictionary in a database.  Numbers in headers have four or five digits.
"""

from __future__ import annotations

import functools
import re
from typing import Any

import pytest

from dspamd.engine._kernel import Run
from dspamd.engine.model import Label, Mode, ScoreOptions, TokenOptions
from dspamd.filter.verdict import Verdict, header_lines
from dspamd.home.history import counters
from dspamd.mail import view_classic
from dspamd.mail.view import SignaturePass, View
from tests.golden.data import messages, rows
from tests.golden.replay import LABELS, Replay, corpus_index
from tests.support.day import NOW
from tests.support.hash_store import HashStore

ROWS = rows("classify/agent.jsonl")
HEADS = {row["config"]: row for row in ROWS if "dspam_conf" in row}


class Settings:
    """The recorded dspam.conf; a preference beats the feature or directive of the same meaning."""

    def __init__(self, head: dict[str, Any]) -> None:
        self.lines: list[str] = head["dspam_conf"]

    def directive(self, name: str) -> str:
        return next(line.partition(" ")[2] for line in self.lines if line.startswith(name + " "))

    def preference(self, name: str) -> str | None:
        found = re.search(rf'Preference "{name}=(.*?)"', "\n".join(self.lines))
        return found[1] if found else None

    def switch(self, preference: str, otherwise: bool) -> bool:
        value = self.preference(preference)
        return otherwise if value is None else value == "on"

    @property
    def sedation(self) -> int:
        feature = re.search(r"Feature tb=(\d+)", "\n".join(self.lines))
        return int(self.preference("statisticalSedation") or (feature[1] if feature else 0))

    @property
    def token_options(self) -> TokenOptions:
        return TokenOptions(
            tokenizer=self.directive("Tokenizer"),
            url_context=self.directive("ProcessorURLContext") == "on",
            whitelist=self.switch("enableWhitelist", "Feature whitelist" in self.lines),
            noise=self.switch("enableBNR", "Feature noise" in self.lines),
        )

    @property
    def score_options(self) -> ScoreOptions:
        return ScoreOptions(
            algorithms=frozenset(self.directive("Algorithm").split()),
            pvalue=self.directive("PValue"),
            mode=Mode((self.preference("trainingMode") or self.directive("TrainingMode")).lower()),
            bias=self.switch("processorBias", self.directive("ProcessorBias") == "on"),
            noise=self.token_options.noise,
            whitelist=self.token_options.whitelist,
            sedation=self.sedation,
            strict=True,
        )

    def view(self, message: bytes, *, inbound: bool) -> View:
        headers_only = self.preference("signatureLocation") == "headers"
        return view_classic.view(message, signature_pass=SignaturePass(headers_only, cut_tags=inbound))


@functools.cache
def corpus() -> dict[str, bytes]:
    return messages("corpus_messages.tar.gz")


def assert_headers(run: Run, recorded: dict[str, str]) -> None:
    """The recorder took tabs of folded lines away; long factor headers were cut (engine.md 11)."""
    verdict = Verdict(
        run.result,
        NOW,
        signature="<signature>",
        factors=tuple(run.factors),
        factor_count=run.factor_count,
    )
    block = b"\n".join(header_lines(verdict)).decode("latin-1").replace("\n\t", "\n")
    ours = dict(field.split(": ", 1) for field in re.split(r"\n(?=X-DSPAM-)", block))
    factors, shown = ours["X-DSPAM-Factors"], recorded.get("X-DSPAM-Factors", "")
    assert factors == shown or not shown or (shown.startswith(factors) and len(shown) > 9000)
    unchecked = {"X-DSPAM-Factors", "X-DSPAM-Processed", "X-DSPAM-Signature"}
    assert {name: value for name, value in ours.items() if name not in unchecked} == {
        name: value for name, value in recorded.items() if name not in unchecked
    }


@pytest.mark.parametrize("config", HEADS)
def test_every_message_of_the_program(config: str) -> None:
    head, settings = HEADS[config], Settings(HEADS[config])
    store = HashStore(limited=head["driver"] == "hash")
    replay = Replay(settings.token_options, settings.score_options, store)
    for label, name in corpus_index()[: head["corpus_fed_first"]]:
        replay.feed(settings.view(corpus()[name], inbound=False), label)
    for row in ROWS:
        if row["config"] != config or "headers" not in row:
            continue
        run = replay.process(settings.view(corpus()[row["message"]], inbound=True))
        assert_headers(run, row["headers"])
        if "retrain" in row:
            label = LABELS[row["label"]]
            corrected = replay.correct(run.signature, label)
            assert corrected.result.spam is (label is Label.SPAM)
    shown = next(row for row in ROWS if row["config"] == config and "dspam_stats" in row)["dspam_stats"]
    found = re.findall(r"\b(TP|TN|FN|FP|SC|NC) [^:]*: +(\d+)", shown)
    told = {name: int(number) for name, number in found}
    names = ("TP", "TN", "FN", "FP", "SC", "NC")
    assert dict(zip(names, counters(replay.store.totals), strict=True)) == told
