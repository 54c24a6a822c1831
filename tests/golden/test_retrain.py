"""Golden cases of retraining: what a site says, what it is answered, and what its dictionary is afterwards.

The last command of a case is the one that was recorded.  The site of each case is new, with
SQLite files; the commands before the last one bring it where the original was.
"""

from __future__ import annotations

import re
import shlex
from array import array
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from dspamd.app import Parts
from dspamd.config.config import Config
from dspamd.engine.model import Totals
from dspamd.engine.tokenizer import crc64
from dspamd.errors import PermFail
from dspamd.filter.transaction import InboundMessage
from dspamd.request.envelope import Envelope
from dspamd.request.recipients import deliveries, readdress, requested
from tests.golden.cases import Case, cases
from tests.golden.data import TOTALS, messages, rows

SITE = """\
StorageDriver sqlite3_drv
Tokenizer chain
TrainingMode teft
Algorithm graham burton
PValue bcr
ProcessorBias on
ProcessorURLContext on
Preference "signatureLocation=headers"
"""
ID = re.compile(r"6b0[0-9a-f]{2}[0-9a-f]{2}[0-9]{8,}")


class Recorded(NamedTuple):
    """The question to the original and its answer, with `ID` for ids of messages; None: not recorded."""

    words: list[str] | None = None
    stdin: str | None = None
    answer: str | None = None
    totals: dict[str, int] | None = None


def recorded(place: list[str]) -> Recorded:
    """The row that a case names: its file, the run in it if it has several, the row."""
    file, *run, name = place
    found = rows(f"{file}.jsonl")
    if file.startswith("classify/"):
        return _classified(file, name)
    if file == "net_delivery":
        (row,) = (row for row in found if row["id"] == name)
        (data,) = (text for who, text in row["dialogue"] if who == "C" and text.endswith("\r\n.\r\n"))
        told = row["dialogue"][row["dialogue"].index(["C", data]) + 1][1]
        return Recorded(stdin=data[: -len(".\r\n")].replace("\r\n", "\n").replace("\n..", "\n."), answer=told)
    if run:
        (found,) = (
            each["transcript"]
            for each in found
            if [each[key] for key in ("scenario", "driver") if key in each] == run
        )
    (row,) = (row for row in found if row["id"] == name)
    words = [_without_ids(word) for word in row["argv"][1:]]
    return Recorded(words, _without_ids(row["stdin"]), _without_ids(row["stdout"]))


def _classified(file: str, name: str) -> Recorded:
    """A message of a run that was corrected by its signature; counters after the correction."""
    (row,) = (row for row in rows(f"{file}.jsonl") if str(row.get("i")) == name)
    totals = {TOTALS[short]: count for short, count in row["retrain"]["totals"].items()}
    return Recorded(stdin=messages("corpus_messages.tar.gz")[row["path"]].decode("latin-1"), totals=totals)


def _without_ids(text: str) -> str:
    return ID.sub("ID", text)


class RetrainedSite:
    """A site with the filter of a case."""

    def __init__(self, parts: Parts, given: bytes) -> None:
        self._parts, self._given = parts, given

    async def run(self, command: str) -> str:
        """The answer to a command of a case, or the reason of its refusal."""
        _, *words = shlex.split(command.removesuffix(" <in.eml"))
        config = self._parts.config
        content = self._given if command.endswith(" <in.eml") else b""
        mail = InboundMessage(Envelope(b"", (), content.replace(b"\n", b"\r\n")))
        request = readdress(config, mail.message, requested(config, words))
        answers = []
        for delivery in deliveries(config, request, ()):
            try:
                outcome = await self._parts.pipeline.process(mail, delivery)
            except PermFail as failure:
                answers.append(f"{failure.text}\n")
            else:
                answers.append(outcome.summary.decode("latin-1").replace("\r\n", "\n"))
        return "".join(answers)

    async def known(self, user: str, names: list[str]) -> tuple[Totals, dict[str, list[int]]]:
        """Counters, and hits of some tokens by their names: in spam, in innocent mail."""
        uid = await self._parts.storage.uid(user, create=False)
        if uid is None:
            return Totals(), {key: [0, 0] for key in names}
        numbers = {crc64(name.encode("latin-1")): name for name in names}
        totals, hits, *_ = await self._parts.storage.read(uid, array("Q", numbers))
        found = zip(hits.tokens, hits.spam, hits.innocent, strict=True)
        return totals, {key: [0, 0] for key in names} | {numbers[token]: [*each] for token, *each in found}


@pytest.mark.parametrize("case", cases("retrain"), ids=lambda case: case.name)
async def test_case(case: Case, tmp_path: Path) -> None:
    facts: dict[str, Any] = case.facts
    lines = [f"Home {tmp_path}", SITE, *facts.get("configuration", [])]
    async with Parts(Config.from_text("\n".join(lines)), new_signature=lambda _: "ID") as parts:
        site = RetrainedSite(parts, case.given)
        answers = [await site.run(command) for command in facts["commands"]]
        assert answers[-1] == facts["answer"]
        totals, hits = await site.known(facts["user"], list(facts["hits"]))
    assert {name: count for name, count in totals._asdict().items() if count} == facts["totals"]
    assert hits == facts["hits"]


@pytest.mark.parametrize(
    "case", [case for case in cases("retrain") if "recorded" in case.facts], ids=lambda case: case.name
)
def test_case_agrees_with_the_recording(case: Case) -> None:
    facts, row = case.facts, recorded(case.facts["recorded"])
    _, *words = shlex.split(facts["commands"][-1].removesuffix(" <in.eml"))
    assert row.words in (None, words)
    if facts["commands"][-1].endswith(" <in.eml") or row.words is None:
        assert row.stdin == case.given.decode("latin-1")
    if row.answer is not None:
        assert (row.answer == facts["answer"]) is ("differs" not in facts)
    if row.totals is not None:
        assert {name: count for name, count in row.totals.items() if count} == facts["totals"]


def test_there_are_cases() -> None:
    assert len(cases("retrain")) >= 10
