"""Mail traffic around one daemon: a next hop, and clients as many as a test wants.

`NextHop` takes mail by SMTP and notes the Subject of each message.  While its gate
is closed it answers no message, as a server does that is busy.  `Sender` is one
LMTP session of a client.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable
from typing import Self, cast

from tests.support.wait import until

PATIENCE_S = 30
ACCEPTED = 250


class NextHop:
    """A mail server on a loopback port.  Use as `async with NextHop() as hop`."""

    def __init__(self) -> None:
        self.port = 0
        self.subjects: list[str] = []  # of messages read to their end
        self.gate = asyncio.Event()
        self.gate.set()
        self.connections: set[_Connection] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.get_running_loop().create_server(
            lambda: _Connection(self), "127.0.0.1", 0
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._server.close()
        self.hang_up()
        await self._server.wait_closed()

    def hang_up(self) -> None:
        """Close all connections."""
        for connection in list(self.connections):
            connection.transport.abort()

    def take(self, message: bytes) -> None:
        """Note a message that was read to its end."""
        match = re.search(rb"^Subject: ([^\r]*)", message[:4096], re.M)
        self.subjects.append(match[1].decode() if match else "")

    def answer(self, command: bytes) -> bytes:
        """The usual reply to a command."""
        return b"250 ok\r\n"

    async def got(self, count: int) -> None:
        """Wait until it has read so many messages."""
        await event(
            lambda: len(self.subjects) >= count, lambda: f"{count} messages, got {len(self.subjects)}"
        )


class _Connection(asyncio.Protocol):
    def __init__(self, hop: NextHop) -> None:
        self._hop = hop
        self._buffer = bytearray()
        self._in_data = False
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._hop.connections.add(self)
        self.transport.write(b"220 next hop\r\n")

    def connection_lost(self, error: Exception | None) -> None:
        self._hop.connections.discard(self)

    def data_received(self, data: bytes) -> None:
        searched = max(0, len(self._buffer) - 4)
        self._buffer += data
        while (end := self._buffer.find(mark := b"\r\n.\r\n" if self._in_data else b"\r\n", searched)) >= 0:
            text = bytes(self._buffer[:end])
            del self._buffer[: end + len(mark)]
            searched = 0
            if self._in_data:
                self._in_data = False
                self._take(text)
            else:
                self._command(text)

    def _take(self, message: bytes) -> None:
        self._hop.take(message)
        task = asyncio.ensure_future(self._answer())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self) -> None:
        await self._hop.gate.wait()
        self.transport.write(b"250 2.0.0 taken\r\n")

    def _command(self, line: bytes) -> None:
        verb = line[:4].upper()
        self._in_data = verb == b"DATA"
        answers = {
            b"EHLO": b"250-next hop\r\n250 PIPELINING\r\n",
            b"DATA": b"354 go on\r\n",
            b"QUIT": b"221 bye\r\n",
        }
        self.transport.write(answers.get(verb) or self._hop.answer(line))
        if verb == b"QUIT":
            self.transport.close()


class Sender:
    """One LMTP session of a client; replies are codes, 0 for a connection that was closed."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def reply(self) -> int:
        """The code of the next reply."""
        while True:
            try:
                async with asyncio.timeout(PATIENCE_S):
                    line = await self._reader.readline()
            except ConnectionError:
                return 0
            if not line:
                return 0
            if line[3:4] != b"-":
                return int(line[:3])

    def say(self, data: bytes) -> None:
        self._writer.write(data)

    async def send(self, content: bytes) -> int:
        """Hand over one message for one user, as Postfix does; the code of the last reply."""
        code = await self.offer(content)
        return await self.reply() if code == 354 else code

    async def offer(self, content: bytes) -> int:
        """Hand over one message, but do not wait for its reply: 354, or the code that refused it before."""
        self.say(b"MAIL FROM:<sender@example.net>\r\nRCPT TO:<alice@example.org>\r\nDATA\r\n")
        for wanted in (250, 250, 354):
            code = await self.reply()
            if code != wanted:
                return code
        self.say(content + b".\r\n")
        with contextlib.suppress(ConnectionError):
            await self._writer.drain()
        return 354


@contextlib.asynccontextmanager
async def session(port: int) -> AsyncIterator[Sender]:
    """A session that has been greeted and has said LHLO."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        sender = Sender(reader, writer)
        assert await sender.reply() == 220
        sender.say(b"LHLO client.example.net\r\n")
        assert await sender.reply() == ACCEPTED
        yield sender
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def mail(subject: str, size: int = 300) -> bytes:
    """A message of about `size` bytes, CR LF, nothing to stuff."""
    head = f"From: sender@example.net\r\nSubject: {subject}\r\n\r\n".encode()
    line = b"words that say nothing, again and again, as mail so often does\r\n"
    return head + line * max(1, (size - len(head)) // len(line))


async def event(happened: Callable[[], bool], what: str | Callable[[], str]) -> None:
    """Wait until something has happened, while the loop goes on."""
    await asyncio.to_thread(until, happened, what, PATIENCE_S)
