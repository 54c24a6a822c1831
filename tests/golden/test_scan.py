"""Viruses and blocked senders end as they did with DSPAM 3.10.2: recorded command lines, one after the other.

The original asked clamd for each recipient with STREAM; what clamd says to us is
the same.  Classifying stores nothing here, so it shows no signature.
"""

from __future__ import annotations

import re
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from dspamd.request.recipients import requested
from tests.golden.data import rows
from tests.support.fake_clamd import CLEAN, INFECTED, fake_clamd
from tests.support.pipeline import open_pipeline

Row = dict[str, Any]


def scenario(row: Row) -> str:
    """The group of a row: blocklist, clam-ok, clam-virus-accept, ..."""
    name = row.get("id") or row["section"]
    return re.sub(r"-(summary|classify|lda|subdomain|logs?)$", "", name)


SCENARIOS = {
    name: list(group)
    for name, group in groupby(rows("misc.jsonl"), scenario)
    if name == "blocklist" or name.startswith("clam-")
}


def settled(text: str) -> str:
    """A text without the parts that differ from run to run, or by our improvements."""
    text = re.sub(r"X-DSPAM-Processed: .*", "X-DSPAM-Processed: ...", text)
    return re.sub(r"(?i)(signature[=:] ?)(N/A|\w+)", r"\1...", text)


@pytest.mark.parametrize("name", SCENARIOS)
async def test_recorded_runs(name: str, tmp_path: Path) -> None:
    group = SCENARIOS[name]
    runs = [row for row in group if "argv" in row]
    response = runs[0].get("config", {}).get("ClamAVResponse", "accept")
    async with fake_clamd(INFECTED if "virus" in name else b"" if "down" in name else CLEAN) as clamd:
        lines = ["ClamAVHost 127.0.0.1", f"ClamAVPort {clamd.port}", f"ClamAVResponse {response}"]
        lines.append('Preference "spamAction=tag"')
        async with open_pipeline(tmp_path, "SystemLog on", *(lines if name != "blocklist" else ())) as b:
            if name == "blocklist":
                blocklist = b.parts.home.prepare(b.parts.home.file("bob", "blocklist"))
                blocklist.write_text("other.example\nSPAM.example\n")
            for row in runs:
                b.outlet.delivered.clear()
                request = requested(b.parts.config, row["argv"][1:])
                outcome = await b.process(row["stdin"].encode("latin-1"), request)
                shown = (outcome.summary + outcome.printed).decode("latin-1")
                assert settled(shown) == settled(row["stdout"]), row["id"]
                assert outcome.reply.ok == (row["exit"] in (0, -13)), row["id"]
                agent = row.get("delivery_agent")
                sent = [handover.content.decode("latin-1") for handover in b.outlet.delivered]
                assert [settled(text).replace("\r\n", "\n") for text in sent] == (
                    [settled(agent.partition("STDIN:\n")[2]).removesuffix("END\n")] if agent else []
                ), row["id"]
            await b.parts.history.close()
            log = (tmp_path / "system.log").read_text()
    for row in group:
        if "system_log" in row:
            assert [told(line) for line in log.splitlines()] == [
                told(line) for line in row["system_log"].splitlines()
            ]


def told(line: str) -> list[str]:
    """A line of the log without time, signature and duration."""
    fields = line.split("\t")
    return [fields[1], fields[2], fields[4], *fields[6:]]
