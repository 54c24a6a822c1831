"""The replies of the filter: the outcome of a message for each recipient, in LMTP."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from dspamd.config.config import Config
from dspamd.errors import PermFail, TempFail
from dspamd.filter.disposition import KEPT
from dspamd.filter.pipeline import Pipeline
from dspamd.filter.transaction import InboundMessage
from dspamd.filter.verdict import Outcome
from dspamd.request.envelope import Envelope, Recipient
from dspamd.request.recipients import Delivery
from dspamd.server.filter import Answer
from dspamd.server.mailfilter import MailFilter

FAILURES = {
    "later": TempFail("Unable to connect to server", code=450),
    "down": TempFail("Storage is down"),
    "no": PermFail("Fatal: 550 5.1.1 unknown", enhanced="5.1.1"),
    "bug": RuntimeError("a bug"),
}


class Fates:
    """A pipeline in which the name of a user decides the outcome."""

    async def process(self, mail: InboundMessage, delivery: Delivery) -> Outcome:
        if failure := FAILURES.get(delivery.user):
            raise failure
        return Outcome(delivery.recipient, KEPT, None)


@pytest.mark.parametrize(
    ("compatibility", "codes"), [("off", [250, 450, 451, 550, 451]), ("on", [250, 421, 421, 530, 421])]
)
async def test_each_recipient_has_the_code_of_his_own_fate(compatibility: str, codes: list[int]) -> None:
    async def pipeline_of(profile: str | None) -> Pipeline:
        return cast(Pipeline, Fates())

    config = Config.from_text(f"Home /x\nStripRcptDomain on\nStrictCompatibility {compatibility}\n")
    recipients = tuple(Recipient(b"%s@example.org" % name.encode()) for name in ("ann", *FAILURES))
    answer = Answer(len(recipients))
    await MailFilter(config, pipeline_of).filter(
        Envelope(b"x@example.net", recipients, b"Subject: x\r\n\r\nx\r\n"), None, None, answer
    )
    replies = [reply async for batch in answer.replies() for reply in batch]
    assert [reply.code for reply in replies] == codes
    assert str(replies[0]) == "250 2.6.0 <ann@example.org> Message accepted for delivery"
    assert str(replies[1])[4:] == "4.3.0 <later@example.org> Unable to connect to server"
    assert str(replies[3])[4:] == "5.1.1 <no@example.org> Fatal: 550 5.1.1 unknown"


class Slow:
    """A pipeline that holds the user `slow` until the test releases them."""

    def __init__(self) -> None:
        self.go = asyncio.Event()

    async def process(self, mail: InboundMessage, delivery: Delivery) -> Outcome:
        if delivery.user == "slow":
            await self.go.wait()
        summary = b"of " + delivery.user.encode() + b"\n" if delivery.request.summary else b""
        return Outcome(delivery.recipient, KEPT, None, summary)


@pytest.mark.parametrize(
    ("options", "shown"),
    [(None, b""), ("--deliver=innocent", b""), ("--deliver=summary", b"of ann\nof slow\nof bob\n")],
)
async def test_nobody_waits_for_a_slow_recipient_behind_him(options: str | None, shown: bytes) -> None:
    pipeline = Slow()

    async def pipeline_of(profile: str | None) -> Pipeline:
        return cast(Pipeline, pipeline)

    recipients = tuple(Recipient(name) for name in (b"ann", b"slow", b"bob"))
    envelope = Envelope(b"x@example.net", recipients, b"Subject: x\r\n\r\nx\r\n")
    answer = Answer(len(recipients))
    filter = MailFilter(Config.from_text("Home /x\n"), pipeline_of)
    work = asyncio.create_task(filter.filter(envelope, options, None, answer))
    replies = answer.replies()
    assert [reply.code for reply in await anext(replies)] == [250]
    output = asyncio.create_task(answer.output())
    await asyncio.sleep(0)
    assert output.done() == (not shown)  # the output comes before the replies, or in their place
    pipeline.go.set()
    assert await output == shown
    assert [len(batch) async for batch in replies] == [2]
    await work


async def test_who_asks_for_users_may_say_where_their_mail_goes() -> None:
    """RCPT names the users of dspamc; --rcpt-to of a release is the address that their mail goes to."""
    seen: list[tuple[str, str]] = []

    class Taken:
        async def process(self, mail: InboundMessage, delivery: Delivery) -> Outcome:
            seen.append((delivery.user, delivery.recipient.text))
            return Outcome(delivery.recipient, KEPT, None)

    async def pipeline_of(profile: str | None) -> Pipeline:
        return cast(Pipeline, Taken())

    users = (Recipient(b"ann"), Recipient(b"bob"))
    envelope = Envelope(b"x@example.net", users, b"Subject: x\r\n\r\nx\r\n")
    mail_filter = MailFilter(Config.from_text("Home /x\n"), pipeline_of)
    await mail_filter.filter(envelope, "--rcpt-to ann@example.org -- --deliver=innocent", None, Answer(2))
    await mail_filter.filter(envelope, "--deliver=innocent", None, Answer(2))
    assert seen == [("ann", "ann@example.org"), ("bob", "bob"), ("ann", "ann"), ("bob", "bob")]
