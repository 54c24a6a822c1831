"""From the client's socket to the next hop's: mail arrives unchanged, and the replies are true."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from dspamd.delivery.smtp import SmtpDelivery
from dspamd.errors import Failure, Reply
from dspamd.filter.outlet import Handover
from dspamd.request.envelope import Envelope, Recipient
from dspamd.server.filter import Answer, Caller
from dspamd.server.lmtp import LmtpServer
from tests.support.scripted_filter import MESSAGE, TERMS, Client, connected, running
from tests.support.sink import Sink, always

CONTENTS = {
    "plain": MESSAGE,
    "no-body": b"Subject: x\r\n\r\n",
    "head-only": b"Subject: x\r\n",
    "dot": b".\r\n",
    "dots": b"Subject: x\r\n\r\n.\r\n..\r\n.a\r\n. \r\n\r\n.\r\n",
    "8bit-nul": b"Subject: \xe4\r\n\r\n\xff\xfe\0\x01\x1a\x7f\r\n",
    "long-line": b"Subject: x\r\n\r\n" + b"x" * 3_000_000 + b"\r\n",
    "blank-lines": b"\r\n" * 5000,
    "20MB": b"Subject: x\r\n\r\n" + b".2345678901234567890123456789012345678\r\n" * 500_000,
}


class HandingOver:
    """A filter that filters nothing."""

    def __init__(self, delivery: SmtpDelivery) -> None:
        self._delivery = delivery

    def check(
        self, recipients: Sequence[Recipient], options: str | None, caller: Caller | None
    ) -> Reply | None:
        return None

    async def filter(
        self, envelope: Envelope, options: str | None, caller: Caller | None, answer: Answer
    ) -> None:
        async def answered(number: int, to: Recipient) -> None:
            answer.give(number, await self._hand_over(envelope, to))

        await asyncio.gather(*(answered(*each) for each in enumerate(envelope.recipients)))

    async def _hand_over(self, envelope: Envelope, to: Recipient) -> Reply:
        handover = Handover(
            envelope.sender,
            to.address,
            envelope.content,
            envelope.parameters,
            to.parameters,
            envelope.xforward,
        )
        try:
            return await self._delivery.deliver(handover)
        except Failure as failure:
            return failure.reply


@asynccontextmanager
async def relay(sink: Sink) -> AsyncIterator[Client]:
    """A client of a server that hands over to `sink`."""
    await sink.start()
    delivery = SmtpDelivery({"": "127.0.0.1"}, {"": sink.port})
    try:
        async with running(LmtpServer(HandingOver(delivery), TERMS)) as port, connected(port) as client:
            yield client
    finally:
        await delivery.close()
        await sink.stop()


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS.keys())
async def test_what_goes_in_comes_out(content: bytes) -> None:
    sink = Sink()
    async with relay(sink) as client:
        await client.open()
        client.send((b"\r\n" + content).replace(b"\r\n.", b"\r\n..")[2:] + b".\r\n")
        assert await client.hear() == b"250 2.0.0 queued\r\n"
    assert sink.messages == [content]


@pytest.mark.parametrize("count", [1, 2, 50])
async def test_each_recipient_gets_the_truth(count: int) -> None:
    answers = [b"250 2.1.5 OK\r\n", b"450 4.2.0 later\r\n", b"550 5.1.1 unknown\r\n", b"what?\r\n"]
    replies = [
        b"250 2.0.0 queued\r\n",
        b"450 4.2.0 Deferred: 450 4.2.0 later\r\n",
        b"550 5.1.1 Fatal: 550 5.1.1 unknown\r\n",
        b"450 4.3.0 Deferred: this is no reply: what?\r\n",
    ]
    sink = Sink(
        {b"RCPT": lambda seen, line: answers[int(line[len(b"RCPT TO:<user") :].partition(b"@")[0]) % 4]}
    )
    async with relay(sink) as client:
        await client.open(*(b"user%d@example.net" % n for n in range(count)))
        client.send(MESSAGE + b".\r\n")
        assert [await client.hear() for _ in range(count)] == [replies[n % 4] for n in range(count)]
        assert await client.say(b"NOOP") == b"250 2.0.0 OK\r\n"
    assert sink.messages == [MESSAGE] * len(range(0, count, 4))


async def test_the_envelope_comes_out_as_it_went_in() -> None:
    keywords = (b"sink.example", b"PIPELINING", b"SIZE", b"8BITMIME", b"SMTPUTF8", b"DSN")
    offer = b"".join(b"250-%s\r\n" % keyword for keyword in keywords) + b"250 XFORWARD NAME IDENT\r\n"
    sink = Sink({b"EHLO": always(offer)})
    async with relay(sink) as client:
        await client.hear()
        await client.say(b"LHLO x")
        await client.say(b"XFORWARD NAME=spike+20x ADDR=1.2.3.4 IDENT=4abc")
        await client.say(b'MAIL FROM:<"a>b"@x> SIZE=1 BODY=8BITMIME SMTPUTF8 ENVID=Ab+2B RET=HDRS AUTH=<>')
        await client.say(b"RCPT TO:<J\xc3\xbcrgen@x> NOTIFY=NEVER ORCPT=utf-8;J\\x{fc}rgen@x")
        await client.say(b"DATA")
        client.send(MESSAGE + b".\r\n")
        assert (await client.hear()).startswith(b"250 ")
    assert sink.lines[1:5] == [
        b"XFORWARD NAME=spike+20x",
        b"XFORWARD IDENT=4abc",
        b'MAIL FROM:<"a>b"@x> SIZE=%d BODY=8BITMIME SMTPUTF8 ENVID=Ab+2B RET=HDRS' % len(MESSAGE),
        b"RCPT TO:<J\xc3\xbcrgen@x> NOTIFY=NEVER ORCPT=utf-8;J\\x{fc}rgen@x",
    ]


async def test_nothing_is_smuggled_through() -> None:
    sink = Sink()
    async with relay(sink) as client:
        await client.open()
        client.send(
            b"Subject: x\r\n\r\n1\n.\nMAIL FROM:<evil@x>\r\n2\r.\rRCPT TO:<evil@x>\r\n3\r\n.\nDATA\r\n.\r\n"
        )
        assert (await client.hear()).startswith(b"250 ")
    assert sink.seen[b"MAIL"] == len(sink.wire) == 1
    assert sink.wire[0].count(b"\n") == sink.wire[0].count(b"\r\n") == sink.wire[0].count(b"\r")
