"""The LMTP and DLMTP server: bytes between sockets and the dialogue.

aiosmtpd provides the connection: its reader and writer, its task, its
timer.  The command loop, DATA and all replies are ours, because aiosmtpd gives
one reply after DATA where LMTP needs one for each recipient, answers our bugs
with a permanent 500, reads DATA line by line, and refuses long lines.

Promises:

* Every accepted recipient gets one reply, whatever happens, as soon as the filter is done with
  this recipient and those before it.
* The filter processes a completely read message to its end, also if the client has left.
  The client offers the message again, so no mail is lost.
* Replies to pipelined commands leave together (RFC 2920).
* Memory is bounded: `memory_limit` bytes of messages in all sessions together
  (above it 452, try again), `connection_limit` sessions (above it 421).
* No wait is endless: `idle_s` for a silent client or a command line, `message_s` for a whole DATA.

The server reads a message that is too large, or too much for the memory, to its end before it
refuses it: the rest of a refused message must not count as commands.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable, Iterable

from aiosmtpd.smtp import SMTP

from dspamd.errors import INTERNAL, Failure, Reply
from dspamd.mail.transparency import PIECE, Collector
from dspamd.offload.threads import aside
from dspamd.request.envelope import Envelope
from dspamd.server.dialogue import TOO_LARGE, Dialogue, Terms, written
from dspamd.server.filter import Answer, Caller, Filter
from dspamd.server.peer import caller_of
from dspamd.telemetry import log
from dspamd.telemetry.metrics import Metrics

COMMAND_LIMIT = 8192  # bytes of a command line: long addresses, DSN parameters, dspamc's options
COMMANDS_AT_ONCE = 16384  # bytes of commands before other sessions get their turn

BUSY = Reply(421, "4.3.2", "Too many connections, try again later")
CLOSING = Reply(421, "4.3.2", "Shutting down, try again later")
TIMEOUT = Reply(421, "4.4.2", "Timeout, closing the connection")
LINE_TOO_LONG = Reply(500, "5.5.2", "Line too long")
NO_MEMORY = Reply(452, "4.3.1", "Not enough memory, try again later")
EMPTY = Reply(550, "5.2.0", "Message is empty. Aborting.")

_LIMITS = {TOO_LARGE: "size", NO_MEMORY: "memory"}


class LmtpServer:
    """All sessions of one listener; calling it makes the protocol of a new connection.

    Times are in seconds, `memory_limit` in bytes.  `elsewhere` gives the number of sessions of
    other workers, which count for the limit like ours.
    """

    def __init__(
        self,
        filter: Filter,
        terms: Terms,
        *,
        idle_s: float = 300,
        message_s: float = 3600,
        penalty_s: float = 5,
        connection_limit: int = 1000,
        memory_limit: int = 1 << 30,
        elsewhere: Callable[[], int] = lambda: 0,
        metrics: Metrics | None = None,
    ) -> None:
        self.terms = terms
        self.metrics = metrics or Metrics()
        self.idle_s = idle_s
        self.message_s = message_s
        self.penalty_s = penalty_s
        self.memory_limit = memory_limit
        self.filter = filter
        self.sessions: set[Session] = set()
        self.held = 0  # bytes of messages in memory
        self.closing = False
        self._connection_limit, self._elsewhere = connection_limit, elsewhere
        self._tasks: set[asyncio.Task[None]] = set()

    def __call__(self) -> Session:
        return Session(self)

    @property
    def crowded(self) -> bool:
        return len(self.sessions) + self._elsewhere() > self._connection_limit

    def turned_away(self, reason: str, queue_id: str | None = None) -> None:
        """Log and count that a client met a limit; `reason` is one of `Metrics.turned_away`."""
        self.metrics.turned_away.add(reason)
        log.get().warning("turned_away", reason=reason, queue_id=queue_id, sessions=len(self.sessions))

    def process(self, envelope: Envelope, options: str | None, caller: Caller | None, held: int) -> Answer:
        """Have the filter process a message, in a task that outlives the session; returns the answer to come.

        The task never fails; it gives back `held` bytes of memory at its end.
        """
        answer = Answer(len(envelope.recipients))
        task = asyncio.create_task(self._fill(answer, envelope, options, caller))
        self._tasks.add(task)

        def done(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            self.held -= held

        task.add_done_callback(done)
        return answer

    async def _fill(
        self, answer: Answer, envelope: Envelope, options: str | None, caller: Caller | None
    ) -> None:
        """Have the filter answer; whatever it does, each recipient gets a reply in the end.

        Only `close` cancels this; then no recipient gets a reply, because the next hop may yet take
        the message.
        """
        try:
            await self.filter.filter(envelope, options, caller, answer)
            if missing := answer.finish(INTERNAL):
                log.get().error("replies_missing", queue_id=envelope.queue_id, missing=missing)
        except Failure as failure:
            answer.finish(failure.reply)
        except Exception:
            log.get().exception("filter_failed", queue_id=envelope.queue_id)
            answer.finish(INTERNAL)

    async def close(self, grace_s: float) -> None:
        """Send the clients away; give messages in progress `grace_s` to finish."""
        self.closing = True
        for session in list(self.sessions):
            session.leave()
        ended = [session.ended for session in self.sessions]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                # At the end of the grace this cancels the tasks that still run.
                await asyncio.gather(*ended, *self._tasks, return_exceptions=True)
        for session in list(self.sessions):
            session.abort()


class Session(SMTP):
    """One connection."""

    line_length_limit = PIECE  # aiosmtpd makes this the size of its reader's buffer

    def __init__(self, server: LmtpServer) -> None:
        super().__init__(
            None,
            hostname=server.terms.ident,  # or aiosmtpd asks the DNS, and the session waits for it
            timeout=server.idle_s,
            loop=asyncio.get_running_loop(),
        )
        self.ended: asyncio.Future[None] = self.loop.create_future()
        self._server = server
        self._dialogue = Dialogue(server.terms, server.filter)
        self._input = b""
        self._at = 0  # how much of the input is read
        self._output: list[bytes] = []
        self._idle = True
        self._until = math.inf  # when the client must have said or taken something

    def __dir__(self) -> Iterable[str]:
        # aiosmtpd searches all names of every new session for its own commands;
        # there are none, and an empty list saves 0.1 ms for each connection.
        return ()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._server.sessions.add(self)
        self._server.metrics.lmtp_connections.add(by=1)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._server.sessions.discard(self)
        self._server.metrics.lmtp_connections.add(by=-1)
        super().connection_lost(error)
        if not self.ended.done():
            self.ended.set_result(None)

    def eof_received(self) -> bool | None:
        # A client that has sent all it wants to send still waits for our replies;
        # aiosmtpd would cancel the session here.
        return asyncio.StreamReaderProtocol.eof_received(self)

    def leave(self) -> None:
        """Close now if the client is between messages, else after the current one."""
        if self._idle and self.transport is not None:
            self._writer.write(written(CLOSING))
            self._writer.close()

    def abort(self) -> None:
        """Drop the connection."""
        if self.transport is not None:
            self._writer.transport.abort()

    def _reset_timeout(self, duration: float | None = None) -> None:
        # aiosmtpd makes a new timer for each wait; ours checks now and then.
        self._until = self.loop.time() + self._server.idle_s
        if self._timeout_handle is None:
            self._timeout_handle = self.loop.call_at(self._until, self._timeout_cb)

    def _timeout_cb(self) -> None:
        now = self.loop.time()
        if now < self._until:
            then = min(self._until, now + self._server.idle_s)
            self._timeout_handle = self.loop.call_at(then, self._timeout_cb)
        elif self.transport is not None:
            if not self._idle:
                self._server.turned_away("timeout")
            self._writer.write(written(TIMEOUT))
            self._writer.close()
            # A client that reads nothing would keep the unsent output in memory without end.
            self.loop.call_later(self._server.penalty_s, self.abort)

    async def _handle_client(self) -> None:
        try:
            await self._converse()
            await self._flush()
        except ConnectionError:
            return  # the client has gone
        except TimeoutError:
            self._server.turned_away("timeout")
            self._writer.write(written(TIMEOUT))
        except Exception:
            # Without replies the client keeps the message, and offers it again.
            log.get().exception("session_failed")
        finally:
            if self._timeout_handle is not None:
                self._timeout_handle.cancel()
            self._writer.close()

    async def _converse(self) -> None:
        if self._server.crowded:
            self._server.turned_away("connections")
            self._output.append(written(BUSY))
            return
        dialogue = self._dialogue
        dialogue.caller = await caller_of(self._writer.transport)
        self._output.append(dialogue.greeting())
        while not dialogue.closed:
            if self._server.closing:
                self._output.append(written(CLOSING))
                return
            line = await self._line()
            if line is None:
                return
            self._output.append(self._command(line))
            if dialogue.receiving:
                self._idle = False
                if not await self._message():
                    return
                self._idle = True
            elif dialogue.delayed:
                await self._flush()
                await asyncio.sleep(self._server.penalty_s)
                return

    def _command(self, line: bytes) -> bytes:
        try:
            return self._dialogue.command(line)
        except Exception:
            log.get().exception("command_failed")
            return written(INTERNAL)

    async def _line(self) -> bytes | None:
        """The next command line without its end; None when the client has no more."""
        overlong = False
        begun = self.loop.time()
        while True:
            end = self._input.find(b"\n", self._at)
            if end < 0:
                rest = self._input[self._at :]
                if not rest and not overlong:
                    begun = self.loop.time()
                elif self.loop.time() - begun > self._server.idle_s:
                    raise TimeoutError  # bytes come now and then, but never a whole line
                if len(rest) > COMMAND_LIMIT:
                    overlong, rest = True, b""
                data = await self._receive(COMMANDS_AT_ONCE)
                if not data:
                    return None
                self._input, self._at = rest + data, 0
                continue
            line, self._at = self._input[self._at : end], end + 1
            if not overlong and len(line) <= COMMAND_LIMIT:
                return line
            overlong = False
            self._output.append(written(LINE_TOO_LONG))

    async def _message(self) -> bool:
        """Read a message and answer it; False if the client left before its end."""
        collector = Collector(self._server.terms.size_limit)
        answer: Answer | None = None
        try:
            async with asyncio.timeout(self._server.message_s):
                if not await self._collect(collector):
                    return False
            refusal = self._refusal(collector)
            if refusal is None:
                envelope = self._dialogue.envelope(await aside(collector.size, collector.take))
                transaction = self._dialogue.transaction
                options = transaction.options if transaction else None
                answer = self._server.process(envelope, options, self._dialogue.caller, collector.held)
        finally:
            if answer is None:
                self._server.held -= collector.held
        if answer is None:
            if refusal in _LIMITS:
                self._server.turned_away(_LIMITS[refusal], self._dialogue.envelope(b"").queue_id)
            pieces = self._dialogue.refused(refusal or INTERNAL)
        else:
            # A client that disappears cancels the session, but not the processing.
            pieces = self._dialogue.answered(answer)
        async for piece in pieces:
            self._output.append(piece)
            await self._flush()
        return True

    async def _collect(self, collector: Collector) -> bool:
        data = self._input[self._at :]
        self._input, self._at = b"", 0
        while True:
            if data:
                before = collector.held
                self._input = collector.feed(data)
                self._server.held += collector.held - before
                if self._server.held > self._server.memory_limit:
                    self._server.held -= collector.held
                    collector.discard()
                if collector.complete:
                    return True
            data = await self._receive(PIECE)
            if not data:
                return False

    def _refusal(self, collector: Collector) -> Reply | None:
        limit = self._server.terms.size_limit
        if 0 < limit < collector.size:
            return TOO_LARGE
        if collector.discarding:
            return NO_MEMORY
        return None if collector.size else EMPTY

    async def _receive(self, size: int) -> bytes:
        """The next bytes from the client, at most `size`; none when it has no more."""
        await self._flush()
        self._reset_timeout()
        data: bytes = await self._reader.read(size)
        self._until = math.inf
        return data

    async def _flush(self) -> None:
        if self._output:
            self._reset_timeout()
            self._writer.write(b"".join(self._output))
            self._output.clear()
            await self._writer.drain()
            self._until = math.inf
