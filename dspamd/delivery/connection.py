"""One connection to the next hop, from its greeting to QUIT.

aiosmtplib connects (names, both IP versions, unix sockets), reads the greeting,
says EHLO, and turns TLS on if that is asked for (RFC 3207).  Then our own
protocol takes over its transport, because of three faults of aiosmtplib's: it drops
replies that arrive between commands, so a 421 from a server that goes away is lost; it reads one
reply per command, so it cannot pipeline; its DATA rewrites the message.

A reply of the next hop is a value (`aiosmtplib.SMTPResponse`); trouble with the
connection is `ConnectionError` or `TimeoutError`.  replies.py and smtp.py decide what
either means for the message.

An unexpected reply, or one that cannot answer the last command, shows that the two sides
count differently (`OutOfStep`).  After that we could take the answer to one message for that
to another, so we drop the connection and trust none of its replies.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, cast

import aiosmtplib

REPLY_LIMIT = 65536  # bytes of one reply; more is no mail server

_REPLY = re.compile(rb"[2-5][0-9]{2}(?:[ -]|$)")


class Target(NamedTuple):
    """The place of the next hop: a host (name or address) and port, or the path of a unix socket."""

    host: str
    port: int

    @property
    def is_socket(self) -> bool:
        return self.host.startswith("/")

    def __str__(self) -> str:
        return self.host if self.is_socket else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long we wait for the next hop, in seconds.

    `reply` is for the verdict on a message: a server may deliver or scan before
    it answers, and giving up early means a second copy (RFC 5321 4.5.3.2.6).
    """

    connect: float = 30
    command: float = 300
    reply: float = 600


@dataclass(frozen=True, slots=True)
class Tls:
    """Encryption of TCP connections: if the next hop offers it, or always, if it is `required`."""

    context: ssl.SSLContext
    required: bool

    @classmethod
    def of(cls, level: str, ca_file: str = "") -> Tls | None:
        """For the words of DeliveryTLS: `may` encrypts, `require` also verifies the peer.

        Raises OSError (also ssl.SSLError) if the file of authorities cannot be used.
        """
        if level == "off":
            return None
        context = ssl.create_default_context(cafile=ca_file or None)
        if level == "may":
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return cls(context, level == "require")


class Refused(Exception):
    """The next hop refuses to talk to us; `command` is the one that it refused, if it greeted us."""

    def __init__(self, command: str, reply: aiosmtplib.SMTPResponse) -> None:
        super().__init__(command, reply)
        self.command, self.reply = command, reply


class OutOfStep(ConnectionError):
    """The next hop sent a reply that cannot answer us; the text is that reply."""


class Connection(asyncio.Protocol):
    """A connection after EHLO; `offers` maps its keywords, in lower case, to their values."""

    def __init__(self, transport: asyncio.Transport, offers: Mapping[str, str], deadlines: Deadlines) -> None:
        self.offers = offers
        self.used = False  # for a message before this one
        self._transport = transport
        self._deadlines = deadlines
        self._received = bytearray()
        self._lines: list[str] = []  # of a reply that is still incomplete
        self._code = b""  # of that reply: each of its lines has it
        self._replies: deque[aiosmtplib.SMTPResponse] = deque()
        self._last = b""  # of a message, still to be sent
        self._waiter: asyncio.Future[None] | None = None
        self._paused = False
        self._lost: Exception | None = None

    @property
    def fresh(self) -> bool:
        """Whether the connection can take a command: still open, and without an unexpected reply."""
        return self._lost is None and not self._replies and not self._received and not self._lines

    async def commands(self, *lines: bytes) -> list[aiosmtplib.SMTPResponse]:
        """Send commands and read their replies, in one write where the next hop allows it (RFC 2920).

        The list is shorter than `lines` if the next hop left after a refusal, or, without
        pipelining, if a refusal stopped the rest.
        """
        pipelining = "pipelining" in self.offers
        if pipelining:
            self._say(b"".join(line + b"\r\n" for line in lines))
        replies: list[aiosmtplib.SMTPResponse] = []
        for line in lines:
            if not pipelining:
                self._say(line + b"\r\n")
            try:
                replies.append(await self._reply(3 if line == b"DATA" else 2, self._deadlines.command))
            except OutOfStep:
                raise
            except ConnectionError:
                if replies and replies[-1].code >= 400:
                    break
                raise
            if not pipelining and replies[-1].code >= 400:
                break
        return replies

    async def data(self, pieces: Iterable[bytes]) -> None:
        """Send a message at the pace of the next hop; its last piece leaves with the final dot."""
        self._last = b""
        for number, piece in enumerate(pieces):
            if number:
                self._transport.write(self._last)
                await asyncio.sleep(0)  # a fast next hop must not keep the others waiting
                while self._paused:
                    await self._wait(self._deadlines.command)
            self._raise_if_lost()
            if self._replies:
                return  # refused, see `end_data`
            self._last = piece

    async def end_data(self) -> aiosmtplib.SMTPResponse:
        """Send the rest of the message and the final dot; read the answer to the message."""
        early = self.said()
        if early is None:
            self._raise_if_lost()
            self._transport.write(self._last + b".\r\n")
            return await self._reply(2, self._deadlines.reply)
        # The next hop did not wait for the end of the message, so only a refusal
        # is final; and now the connection is out of step.
        self.abort()
        if early.code < 400:
            raise ConnectionError("answered before the message was out")
        return early

    def said(self) -> aiosmtplib.SMTPResponse | None:
        """An unexpected reply of the next hop, if there is one."""
        return self._replies.popleft() if self._replies else None

    def close(self) -> None:
        """Close, with QUIT if the connection is in order; do not wait for its reply."""
        if self.fresh:
            self._transport.write(b"QUIT\r\n")
        self._lost = self._lost or ConnectionError("closed by ourselves")
        self._transport.close()

    def abort(self) -> None:
        """Drop the connection and its unsent output at once."""
        self._lost = self._lost or ConnectionError("closed by ourselves")
        self._transport.abort()

    def _say(self, commands: bytes) -> None:
        """Send commands, unless the next hop has sent an unexpected reply."""
        if (surplus := self.said()) is not None:
            self._fail(f"{surplus.code:03d} {surplus.message}")
        self._raise_if_lost()
        self._transport.write(commands)

    async def _reply(self, hundred: int, deadline: float) -> aiosmtplib.SMTPResponse:
        """The next reply: a success, of that hundred, or a refusal (RFC 5321 4.2.1)."""
        while not self._replies:
            self._raise_if_lost()
            await self._wait(deadline)
        reply = self._replies.popleft()
        if reply.code // 100 not in (hundred, 4, 5):
            self._fail(f"{reply.code:03d} {reply.message}")
            self._raise_if_lost()
        return reply

    async def _wait(self, deadline: float) -> None:
        """Wait until something happens on the connection."""
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        timer = loop.call_later(deadline, self._give_up)
        try:
            await self._waiter
        finally:
            timer.cancel()
            self._waiter = None

    def _give_up(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(TimeoutError())

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _raise_if_lost(self) -> None:
        if self._lost is not None:
            raise self._lost

    # asyncio calls these.

    def data_received(self, data: bytes) -> None:
        self._received += data
        # After nonsense no later reply can be matched to a command.
        while self._lost is None and (end := self._received.find(b"\n")) >= 0:
            line = bytes(self._received[:end])
            del self._received[: end + 1]
            self._line(line.rstrip(b"\r"))
        if len(self._received) + sum(map(len, self._lines)) > REPLY_LIMIT:
            self._fail("the reply is too long")
        self._wake()

    def _line(self, line: bytes) -> None:
        if not _REPLY.match(line) or (self._lines and line[:3] != self._code):
            self._fail("this is no reply: " + line[:80].decode("utf-8", "replace"))
            return
        self._code = line[:3]
        self._lines.append(line[4:].decode("utf-8", "surrogateescape"))
        if line[3:4] != b"-":
            self._replies.append(aiosmtplib.SMTPResponse(int(line[:3]), "\n".join(self._lines)))
            self._lines.clear()

    def _fail(self, text: str) -> None:
        self._lost = self._lost or OutOfStep(text)
        self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self._lost = self._lost or ConnectionError(str(error) if error else "connection closed")
        self._paused = False
        self._wake()

    def eof_received(self) -> bool:
        self._lost = self._lost or ConnectionError("connection closed")
        self._wake()
        return False

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._wake()


async def connect(
    target: Target, ident: str, lmtp: bool, deadlines: Deadlines, tls: Tls | None = None
) -> Connection:
    """Connect and introduce ourselves as `ident`, by LHLO or by EHLO with HELO to fall back on.

    Raises `Refused` with the answer of a server that refuses us, `OSError` (also
    `ConnectionError`, `TimeoutError`, `ssl.SSLError`) if there is no server to talk to.
    """
    client = aiosmtplib.SMTP(
        hostname=None if target.is_socket else target.host,
        port=None if target.is_socket else target.port,
        socket_path=target.host if target.is_socket else None,
        local_hostname=ident,
        timeout=deadlines.connect,
        start_tls=False,
    )
    try:
        await client.connect()
        await _introduce(client, ident, lmtp)
        if tls is not None and not target.is_socket:
            await _encrypt(client, ident, lmtp, tls)
    except aiosmtplib.SMTPHeloError as refusal:
        client.close()
        reply = aiosmtplib.SMTPResponse(refusal.code, refusal.message)
        raise Refused("LHLO" if lmtp else "HELO", reply) from refusal
    except aiosmtplib.SMTPResponseException as refusal:
        client.close()
        raise Refused("", aiosmtplib.SMTPResponse(refusal.code, refusal.message)) from refusal
    except (Exception, asyncio.CancelledError):
        client.close()
        raise
    if client.transport is None:
        raise ConnectionError("connection closed")
    # uvloop's transports do not inherit from asyncio's.
    transport = cast(asyncio.Transport, client.transport)
    connection = Connection(transport, client.esmtp_extensions, deadlines)
    transport.set_protocol(connection)
    return connection


async def _introduce(client: aiosmtplib.SMTP, ident: str, lmtp: bool) -> None:
    if lmtp:
        response = await client.execute_command(b"LHLO", ident.encode("ascii"))
        if response.code != 250:
            raise aiosmtplib.SMTPHeloError(response.code, response.message)
        client.last_ehlo_response = response  # aiosmtplib reads the keywords
        return
    try:
        await client.ehlo()
    except aiosmtplib.SMTPHeloError as refusal:
        if refusal.code < 500:
            raise
        await client.helo()


async def _encrypt(client: aiosmtplib.SMTP, ident: str, lmtp: bool, tls: Tls) -> None:
    """Turn TLS on, and introduce ourselves again: earlier offers no longer count."""
    if "starttls" in client.esmtp_extensions:
        await client.starttls(tls_context=tls.context)
        await _introduce(client, ident, lmtp)
    elif tls.required:
        raise ConnectionError("STARTTLS is not offered")
