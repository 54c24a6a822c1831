"""A filter that a test controls, and a client that speaks to the server around it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from dspamd.daemon.accept import Acceptor
from dspamd.daemon.listen import Endpoint, listen
from dspamd.errors import Reply
from dspamd.request.envelope import Envelope, Recipient
from dspamd.server.dialogue import ServerMode, Terms
from dspamd.server.filter import Answer, Caller
from dspamd.server.lmtp import LmtpServer

TERMS = Terms(ServerMode.AUTO, "GIT", "mx.example.org", {"relay1": "secret"})
MESSAGE = b"From: a@example.org\r\nSubject: hi\r\n\r\nbody\r\n"


def accepted(recipient: Recipient) -> Reply:
    return Reply(250, "2.6.0", f"<{recipient.text}> Message accepted for delivery")


@dataclass
class ScriptedFilter:
    """Answers each recipient with `reply`, all of them with `replies`, or raises `error`."""

    reply: Callable[[Recipient], Reply] = accepted
    replies: tuple[Reply, ...] | None = None
    output: bytes = b""
    refusal: Reply | None = None
    error: Exception | None = None
    envelopes: list[Envelope] = field(default_factory=list)
    options: list[str | None] = field(default_factory=list)
    callers: list[Caller | None] = field(default_factory=list)
    started: asyncio.Event = field(default_factory=asyncio.Event)
    finished: asyncio.Event = field(default_factory=asyncio.Event)
    gate: asyncio.Event | None = None  # waited for before the answer

    def check(
        self, recipients: Sequence[Recipient], options: str | None, caller: Caller | None
    ) -> Reply | None:
        return self.refusal

    async def filter(
        self, envelope: Envelope, options: str | None, caller: Caller | None, answer: Answer
    ) -> None:
        self.envelopes.append(envelope)
        self.options.append(options)
        self.callers.append(caller)
        self.started.set()
        if self.gate is not None:
            await self.gate.wait()
        self.finished.set()
        if self.error is not None:
            raise self.error
        replies = tuple(map(self.reply, envelope.recipients)) if self.replies is None else self.replies
        answer.show(self.output)
        for number, reply in enumerate(replies):
            answer.give(number, reply)


class Client:
    """The other side of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def hear(self) -> bytes:
        """The next reply, all lines of it; empty when the server has closed."""
        reply = b""
        while True:
            line = await self.reader.readline()
            reply += line
            if line[3:4] != b"-":
                return reply

    async def say(self, line: bytes) -> bytes:
        """Send one command; its reply."""
        self.send(line + b"\r\n")
        return await self.hear()

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def open(self, *recipients: bytes, mail: bytes = b"MAIL FROM:<a@example.org>") -> None:
        """Everything up to the answer to DATA."""
        await self.hear()
        await self.say(b"LHLO client.example")
        await self.say(mail)
        for recipient in recipients or (b"bob@example.net",):
            assert (await self.say(b"RCPT TO:<" + recipient + b">")).startswith(b"250")
        assert (await self.say(b"DATA")).startswith(b"354")


@asynccontextmanager
async def running(server: LmtpServer) -> AsyncIterator[int]:
    """`server` on a free port."""
    sockets = listen(Endpoint(host="127.0.0.1", port=0))
    acceptor = Acceptor(sockets, server)
    try:
        yield sockets[0].getsockname()[1]
    finally:
        acceptor.close()
        await server.close(grace_s=1)


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):  # the server closed first
            await writer.wait_closed()
