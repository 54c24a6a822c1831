"""The tracker of sources (reference/protocols.md 10.5)."""

from __future__ import annotations

from pathlib import Path

import pytest

from dspamd.config.config import Config
from dspamd.engine.model import Result, Totals
from dspamd.filter.observers.observer import Processed
from dspamd.filter.observers.tracker import Tracker
from dspamd.filter.scan.source import address
from dspamd.filter.transaction import InboundMessage
from dspamd.filter.verdict import Verdict
from dspamd.offload.background import BackgroundWriter
from dspamd.request.envelope import Envelope, Recipient
from dspamd.request.recipients import Delivery
from dspamd.request.request import Request
from tests.support.logged import Logged
from tests.support.pipeline import CORPUS_SPAM, HAM, PipelineFixture, open_pipeline

INBOUND = Request()
EXPERIENCED = Totals(innocent_learned=2000, innocent_classified=501)
RECEIVED = b"Received: from x (x [%s]) by mx.example.net\r\n"


async def processed(
    b: PipelineFixture,
    name: str,
    *,
    totals: Totals | None = EXPERIENCED,
    request: Request = INBOUND,
    head: bytes = b"",
) -> Processed:
    recipient = Recipient(b"bob@example.net")
    content = (head or RECEIVED % b"192.0.2.7") + HAM
    return Processed(
        InboundMessage(Envelope(b"s@example.org", (recipient,), content)),
        Delivery("bob", recipient, request),
        await b.parts.users.resolve("bob"),
        Verdict(Result(name not in ("Innocent", "Whitelisted"), name, 1.0, 1.0)),
        totals,
    )


class TrackingSite:
    """A tracker with its queue."""

    def __init__(self, home: Path, kinds: str = "spam nonspam virus") -> None:
        self.queue = home / "rabl"
        self.queue.mkdir()
        self.writer = BackgroundWriter()
        config = Config.from_text(f"Home {home}\nTrackSources {kinds}\nRABLQueue {self.queue}\n")
        local = [found for found in [address("192.0.2.99")] if found]
        self.tracker = Tracker(config, self.writer, local)

    async def queued(self) -> list[str]:
        await self.writer.close()
        return [file.name for file in self.queue.iterdir()]


@pytest.mark.parametrize(
    ("name", "text", "queued"),
    [
        ("Spam", "spam detected from 192.0.2.7", True),
        ("Blacklisted", "spam detected from 192.0.2.7", True),
        ("Virus", "infected message from 192.0.2.7", False),
        ("Innocent", "innocent message from 192.0.2.7", False),
        ("Whitelisted", "innocent message from 192.0.2.7", False),
    ],
)
async def test_kinds(tmp_path: Path, logged: Logged, name: str, text: str, queued: bool) -> None:
    site = TrackingSite(tmp_path)
    async with open_pipeline(tmp_path) as b:
        site.tracker.note(await processed(b, name))
        assert text in logged.take()
        assert await site.queued() == ["192.0.2.7"] * queued


async def test_an_address_is_queued_once(tmp_path: Path) -> None:
    site = TrackingSite(tmp_path)
    async with open_pipeline(tmp_path) as b:
        for _ in range(3):
            site.tracker.note(await processed(b, "Spam", head=RECEIVED % b"IPv6:2001:db8::7"))
        assert await site.queued() == ["2001:db8::7"]


@pytest.mark.parametrize(
    ("name", "totals", "request_", "kinds", "source"),
    [
        ("Spam", EXPERIENCED, INBOUND, "nonspam virus", b"192.0.2.7"),
        ("Virus", EXPERIENCED, INBOUND, "spam nonspam", b"192.0.2.7"),
        ("Innocent", EXPERIENCED, INBOUND, "spam", b"192.0.2.7"),
        ("Spam", Totals(innocent_learned=2500), INBOUND, "spam", b"192.0.2.7"),
        ("Spam", None, INBOUND, "spam", b"192.0.2.7"),
        ("Spam", EXPERIENCED, Request(classify=True), "spam", b"192.0.2.7"),
        ("Spam", EXPERIENCED, Request(lesson=CORPUS_SPAM), "spam", b"192.0.2.7"),
        ("Spam", EXPERIENCED, INBOUND, "spam", b"10.0.0.1"),
        ("Spam", EXPERIENCED, INBOUND, "spam", b"192.0.2.99"),
    ],
)
async def test_nobody_is_blamed(
    tmp_path: Path,
    logged: Logged,
    name: str,
    totals: Totals | None,
    request_: Request,
    kinds: str,
    source: bytes,
) -> None:
    site = TrackingSite(tmp_path, kinds)
    async with open_pipeline(tmp_path) as b:
        site.tracker.note(await processed(b, name, totals=totals, request=request_, head=RECEIVED % source))
        assert "source_tracked" not in logged.take()
        assert await site.queued() == []


async def test_a_missing_queue_is_told_in_the_log(tmp_path: Path, logged: Logged) -> None:
    site = TrackingSite(tmp_path)
    site.queue.rmdir()
    async with open_pipeline(tmp_path) as b:
        site.tracker.note(await processed(b, "Spam"))
        await site.writer.close()
        assert "errand_failed" in logged.take()
