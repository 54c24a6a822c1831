"""The effect of single directives on one message, as in DSPAM 3.10.2: recorded command lines of `dspam`.

The original kept its counters in hash files, we keep them in SQLite; the numbers do not depend on
it.  Recorded spam had been fed as spam before, which the recording does not show; ten times lead to
the recorded confidence.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.golden.data import rows
from tests.golden.recorded_site import Ended, RecordedSite
from tests.support.sink import Sink

Row = dict[str, Any]

ROWS: dict[str, Row] = {row["id"]: row for row in rows("misc.jsonl") if "id" in row}
FED_AS_SPAM = 10
PUNCTUAL = re.compile(r"(X-DSPAM-Processed: |X-DSPAM-Signature: |signature=).*")


def settled(text: str) -> str:
    """A text without what differs from run to run."""
    return PUNCTUAL.sub(r"\1...", text)


class Directives:
    """A site with some directives, which come first and so count."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder = folder / "site"
        self._site = RecordedSite(self.folder, patch, strict=False)

    def set(self, *lines: str) -> None:
        config = self._site.config
        config.write_text("\n".join([*lines, config.read_text()]))

    def feed_spam(self, user: str) -> None:
        words = ["dspam", "--user", user, "--class=spam", "--source=corpus", "--deliver=summary"]
        row = {**ROWS["classalias-bad"], "argv": words}
        for _ in range(FED_AS_SPAM):
            assert self._site.run(row).status == 0

    def run(self, name: str) -> Ended:
        """Replay a row, and compare all that the caller and the delivery agent see."""
        row = ROWS[name]
        ended = self._site.run(row)
        assert ended.status == row["exit"]
        assert settled(ended.stdout.decode("latin-1")) == settled(row["stdout"])
        assert settled(ended.agent.decode("latin-1")) == settled(row.get("delivery_agent", ""))
        assert ended.stderr == row["stderr"]
        return ended


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Directives:
    return Directives(tmp_path, monkeypatch)


@pytest.mark.parametrize("name", [name for name in ROWS if name.startswith("maxmessagesize-")])
def test_what_is_too_big_passes_as_it_came(site: Directives, name: str) -> None:
    site.set("MaxMessageSize 60")
    site.run(name)
    assert not list(site.folder.glob("data/bob/*.sdb"))


def test_other_words_for_the_classes(site: Directives) -> None:
    site.set("ClassAliasSpam badstuff", "ClassAliasNonspam goodstuff")
    for name in ("classalias-bad", "classalias-good", "classalias-process"):
        site.run(name)


def test_spam_goes_to_the_agent_for_it(site: Directives) -> None:
    site.set(f'QuarantineAgent "{site.folder}/lda -q %u"')
    site.feed_spam("bob")
    site.run("quarantineagent")
    site.run("quarantineagent-deliver-spam")


@pytest.mark.parametrize(
    ("directive", "name"), [("Broken case", "broken-case"), ("EnablePlusedDetail on", "plused")]
)
def test_names_of_users(site: Directives, directive: str, name: str) -> None:
    site.set(directive)
    site.run(name)
    (files,) = (row["files"] for row in rows("misc.jsonl") if row.get("section") == f"{name}-files")
    theirs = {Path(file).parts[1] for file in files if file.startswith("data/")}
    assert {path.name for path in (site.folder / "data").iterdir()} == theirs


@asynccontextmanager
async def next_hop(site: Directives) -> AsyncIterator[Sink]:
    """A site with a mailbox for spam, and the next hop that it delivers to."""
    sink = Sink()
    await sink.start()
    try:
        site.set(
            "QuarantineMailbox +quarantine", "DeliveryProto SMTP",
            "DeliveryHost 127.0.0.1", f"DeliveryPort {sink.port}",
        )  # fmt: skip
        yield sink
    finally:
        await sink.stop()


async def test_a_mailbox_for_spam_is_none_for_other_mail(site: Directives) -> None:
    async with next_hop(site) as sink:
        await asyncio.to_thread(site.run, "quarantinemailbox")
    (dialogue,) = ROWS["quarantinemailbox"]["delivery_dialogue"]
    said: list[str] = [text for who, text in dialogue if who == "C"]
    (message,) = sink.messages
    assert [line for line in sink.lines if line.startswith(b"RCPT")] == [
        text.strip().encode() for text in said if text.startswith("RCPT")
    ]
    # The original added an empty line.
    assert settled(message.decode("latin-1")) + "\r\n.\r\n" == settled(said[-2])


async def test_nor_for_spam_that_is_kept_back(site: Directives) -> None:
    async with next_hop(site) as sink:
        await asyncio.to_thread(site.feed_spam, "bob@example.net")
        await asyncio.to_thread(site.run, "quarantinemailbox-spam")
    assert ROWS["quarantinemailbox-spam"]["delivery_dialogue"] == sink.lines == []
    assert (site.folder / "data/bob@example.net/bob@example.net.mbox").is_file()
