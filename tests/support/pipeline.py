"""The path of a message on a real SQLite store, with an outlet that records."""

from __future__ import annotations

from array import array
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from dspamd.app import Parts
from dspamd.config.config import Config
from dspamd.engine.model import Label, Lesson, Source, Totals
from dspamd.errors import Reply
from dspamd.filter.outlet import Handover
from dspamd.filter.transaction import InboundMessage
from dspamd.filter.verdict import Outcome
from dspamd.request.envelope import Envelope, Recipient
from dspamd.request.recipients import Delivery
from dspamd.request.request import Request

BASE = """
StorageDriver sqlite3_drv
Tokenizer osb
Algorithm graham burton
TrainingMode teft
ProcessorBias on
ProcessorURLContext on
Preference "signatureLocation=headers"
AllowOverride spamAction
DeliveryHost 127.0.0.1
DeliveryProto SMTP
DeliveryPort 10034
"""
HAM = b"From: friend@ham.example\r\nSubject: minutes\r\n\r\nproject meeting minutes agenda review lunch\r\n"
SPAM = b"From: x@spam.example\r\nSubject: pills\r\n\r\ncheap pills offer free money winner casino\r\n"
BOTH = Request(deliver_innocent=True, deliver_spam=True)
INNOCENT_ONLY = Request(deliver_innocent=True)
ERROR_SPAM = Lesson(Label.SPAM, Source.ERROR)
ERROR_INNOCENT = Lesson(Label.INNOCENT, Source.ERROR)
CORPUS_SPAM = Lesson(Label.SPAM, Source.CORPUS)
CORPUS_INNOCENT = Lesson(Label.INNOCENT, Source.CORPUS)


class RecordingOutlet:
    """An outlet that takes everything, unless a test sets its `failure`."""

    def __init__(self) -> None:
        self.delivered: list[Handover] = []
        self.quarantined: list[tuple[str, Handover]] = []
        self.failure: Exception | None = None

    async def deliver(self, handover: Handover) -> Reply:
        if self.failure:
            raise self.failure
        self.delivered.append(handover)
        return Reply(250, "2.0.0", "queued")

    async def quarantine(self, handover: Handover, owner: str) -> Reply:
        self.quarantined.append((owner, handover))
        return Reply(250, "2.0.0", "Quarantined")


class PipelineFixture:
    """A pipeline with its parts, and short names for the actions of tests."""

    def __init__(self, parts: Parts, outlet: RecordingOutlet) -> None:
        self.parts, self.outlet, self.pipeline = parts, outlet, parts.pipeline

    async def process(self, content: bytes, request: Request = BOTH, user: str = "bob") -> Outcome:
        recipient = Recipient(f"{user}@example.net".encode())
        mail = InboundMessage(Envelope(b"sender@example.org", (recipient,), content))
        return await self.pipeline.process(mail, Delivery(user, recipient, request))

    async def totals(self, user: str = "bob") -> Totals:
        uid = await self.parts.storage.uid(user, create=True)
        assert uid is not None
        return (await self.parts.storage.read(uid, array("Q"))).totals

    async def dump(self, user: str = "bob") -> dict[int, tuple[int, int]]:
        uid = await self.parts.storage.uid(user, create=True)
        assert uid is not None
        return {
            row.token: (row.spam, row.innocent)
            async for batch in self.parts.storage.tokens(uid)
            for row in batch
            if row.spam or row.innocent
        }

    async def feed(self, user: str = "bob") -> None:
        """Teach the difference between HAM and SPAM."""
        for _ in range(6):  # below five hits a token is neutral
            await self.process(HAM, Request(lesson=CORPUS_INNOCENT), user)
            await self.process(SPAM, Request(lesson=CORPUS_SPAM), user)


@asynccontextmanager
async def open_pipeline(home: Path, *lines: str, base: str = BASE) -> AsyncIterator[PipelineFixture]:
    config = Config.from_text("\n".join([f"Home {home}", base, *lines]))
    (home / "txt").mkdir(exist_ok=True)
    (home / "txt/msgtag.spam").write_text("-- spam --\n")
    outlet = RecordingOutlet()
    async with Parts(config, outlet=outlet) as parts:
        yield PipelineFixture(parts, outlet)


def signature_of(outcome: Outcome) -> str:
    assert outcome.verdict is not None
    assert outcome.verdict.signature is not None
    return outcome.verdict.signature


def header(content: bytes, name: str) -> str:
    head = content.split(b"\r\n\r\n", 1)[0].split(b"\r\n")
    values = [
        line.split(b": ", 1)[1] for line in head if line.lower().startswith(name.lower().encode() + b": ")
    ]
    assert len(values) == 1, (name, head)
    return values[0].decode()
