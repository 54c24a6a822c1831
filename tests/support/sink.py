"""A next hop that a test controls.

It speaks SMTP and LMTP on a free port or a unix socket, keeps what it gets, and
answers a command with what its script says: a reply, a wait for ever, or a
closed connection.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

CLOSE = b""
HANG = None

# The answer to a command, from the earlier count of this verb, and its line.
Script = Callable[[int, bytes], bytes | None]

ANSWERS = {
    b"": b"220 sink.example ESMTP\r\n",
    b"EHLO": b"".join(
        b"250-%s\r\n" % keyword
        for keyword in (b"sink.example", b"PIPELINING", b"SIZE 0", b"8BITMIME", b"SMTPUTF8")
    )
    + b"250 DSN\r\n",
    b"HELO": b"250 sink.example\r\n",
    b"MAIL": b"250 2.1.0 OK\r\n",
    b"RCPT": b"250 2.1.5 OK\r\n",
    b"DATA": b"354 go ahead\r\n",
    b".": b"250 2.0.0 queued\r\n",
    b"RSET": b"250 OK\r\n",
    b"QUIT": b"221 bye\r\n",
    b"XFORWARD": b"250 OK\r\n",
    b"STARTTLS": b"220 go ahead\r\n",
}
ANSWERS[b"LHLO"] = ANSWERS[b"EHLO"]


def always(answer: bytes | None) -> Script:
    return lambda seen, line: answer


def first(answer: bytes | None, then: bytes | None) -> Script:
    return lambda seen, line: answer if seen == 0 else then


@dataclass
class Sink:
    """`script` maps verbs to answers; "" is the greeting and "." the end of data."""

    script: dict[bytes, Script] = field(default_factory=dict)
    close_after: int = 0  # bytes of a message, then hang up; 0: never
    careless: bool = False  # takes DATA where no recipient was accepted
    tls: ssl.SSLContext | None = None  # for STARTTLS, which is offered then until it is in use
    connections: int = 0
    lines: list[bytes] = field(default_factory=list)  # commands, as they came
    wire: list[bytes] = field(default_factory=list)  # messages with their stuffing and final dot
    recipients: list[tuple[bytes, ...]] = field(default_factory=list)  # of each message, as they came
    seen: Counter[bytes] = field(default_factory=Counter)
    arrived: defaultdict[bytes, asyncio.Event] = field(default_factory=lambda: defaultdict(asyncio.Event))
    port: int = 0
    _server: asyncio.Server | None = None
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def messages(self) -> list[bytes]:
        """The messages, without stuffing and final dot, read line by line as RFC 5321 4.5.2 says."""
        return [
            b"".join(line[1:] if line.startswith(b".") else line for line in _lines(wire)[:-1])
            for wire in self.wire
        ]

    async def start(self, path: Path | None = None, host: str = "127.0.0.1") -> None:
        if path is not None:
            self._server = await asyncio.start_unix_server(self._serve, path, limit=1 << 26)
        else:
            self._server = await asyncio.start_server(self._serve, host, self.port, limit=1 << 26)
            self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        self.hang_up()
        await asyncio.gather(*self._tasks)
        await self._server.wait_closed()

    def hang_up(self) -> None:
        """Close all connections."""
        for writer in list(self._writers):
            writer.close()

    def _answer(self, verb: bytes, line: bytes) -> bytes | None:
        script = self.script.get(verb) or always(ANSWERS.get(verb, b"502 5.5.1 what?\r\n"))
        answer = script(self.seen[verb], line)
        self.seen[verb] += 1
        self.arrived[verb].set()
        return answer

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            await self._converse(reader, writer)
        except (ConnectionError, ssl.SSLError, asyncio.IncompleteReadError):
            return
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line, verb = b"", b""
        recipients: list[bytes] = []
        while True:
            if verb == b"DATA" and not recipients and not self.careless:
                answer: bytes | None = b"554 5.5.1 no valid recipients\r\n"
            else:
                answer = self._answer(verb, line)
            if answer is HANG:
                await reader.read()  # until the client gives up
                return
            if answer == CLOSE:
                return
            if verb in (b"EHLO", b"LHLO") and self.tls and not writer.get_extra_info("sslcontext"):
                answer = answer.replace(b"\r\n", b"\r\n250-STARTTLS\r\n", 1)
            writer.write(answer)
            if verb == b"STARTTLS" and self.tls and answer.startswith(b"220"):
                writer = await _encrypted(reader, writer, self.tls)
            if verb == b"RCPT" and answer.startswith(b"2"):
                recipients.append(line.partition(b"<")[2].partition(b">")[0])
            elif verb in (b"RSET", b"."):
                recipients = []
            if verb == b"QUIT" or answer.startswith(b"421"):
                return
            if verb == b"DATA" and answer.startswith(b"354"):
                if self.close_after:
                    await reader.readexactly(self.close_after)
                    return
                self.wire.append(await _message(reader))
                self.recipients.append(tuple(recipients))
                verb = b"."
                continue
            line = await reader.readuntil(b"\r\n")
            self.lines.append(line[:-2])
            verb = line.split()[0].upper()


async def _encrypted(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, context: ssl.SSLContext
) -> asyncio.StreamWriter:
    """The same connection with TLS.  Raises ConnectionError or SSLError if the client does not want it.

    `StreamWriter.start_tls` would then leave a writer that cannot be closed.
    """
    loop = asyncio.get_running_loop()
    await writer.drain()
    protocol = writer.transport.get_protocol()
    transport = await loop.start_tls(writer.transport, protocol, context, server_side=True)
    if transport is None:
        raise ConnectionError("the client left")
    return asyncio.StreamWriter(transport, protocol, reader, loop)


def _lines(wire: bytes) -> list[bytes]:
    return [line + b"\r\n" for line in wire.split(b"\r\n")[:-1]]


async def _message(reader: asyncio.StreamReader) -> bytes:
    wire = bytearray(b"\r\n")
    while not wire.endswith(b"\r\n.\r\n"):
        data = await reader.readuntil(b"\r\n") if len(wire) < 1 << 16 else await reader.read(1 << 18)
        if not data:
            raise ConnectionError("closed in the middle of a message")
        wire += data
    return bytes(wire[2:])
