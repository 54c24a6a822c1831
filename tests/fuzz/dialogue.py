"""Hostile sessions with a real daemon: `python -m tests.fuzz.dialogue SESSIONS [SEED [FIRST]]`.

Many clients from `sessions` speak LMTP and DLMTP at the same time with a daemon of two workers, through
TCP and its unix socket.  Each counts the replies that it must get: one for each command line, and
after a message one for each accepted recipient, whatever the bytes of the line or message are.
At the end

* no session hung, and none got a reply too many or too few,
* every message with the reply 250 arrived, once for each recipient,
* the log has no traceback, and no worker died,
* descriptors and threads of the workers are no more than they were after the first sessions.

It prints each fault with the number of its session; SEED and FIRST repeat it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
import socket
import struct
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from dspamd.mail.transparency import PIECE
from tests.fuzz.sessions import SIZE_LIMIT, Session, session
from tests.support.daemon import Daemon
from tests.support.load import NextHop, event

AT_ONCE = 30
PATIENCE_S = 60.0
WARM = 150  # sessions that fill the pools of connections, dictionaries and threads
SETTINGS = f"""\
ServerWorkers 2
ServerMode auto
ServerPass.relay1 secret
ServerTimeout 5
ServerMaxMessageSize {SIZE_LIMIT}
"""

STEADY = 50  # so many equal looks in a row mean that nothing is being closed any more
BUGS = ("Traceback", "event=bug", "filter_failed", "session_failed", "command_failed", "replies_missing")

_END = re.compile(rb"(?:\A|\r\n)\.\r\n")
_NAME = re.compile(rb"^X-Fuzz: (fz-\d+-\d+)(?!\d)", re.MULTILINE)


class Wrong(Exception):
    """A broken promise."""


class Ended(Exception):
    """The daemon closed the connection, as it may after its last reply."""


class Hop(NextHop):
    """A next hop that knows each message by its (first) name, refuses some recipients and defers others."""

    def __init__(self) -> None:
        super().__init__()
        self.arrived: Counter[bytes] = Counter()

    def take(self, message: bytes) -> None:
        if name := _NAME.search(message):
            self.arrived[name[1]] += 1

    def answer(self, command: bytes) -> bytes:
        if command[:4].upper() == b"RCPT":
            if b"<no-such" in command:
                return b"550 5.1.1 nobody is called so\r\n"
            if b"<later" in command:
                return b"450 4.2.2 mailbox\r\n"
        return b"250 ok\r\n"


@dataclass
class Ledger:
    """The replies to messages, by name: the number of 250, of how many recipients."""

    accepted: Counter[bytes] = field(default_factory=Counter)
    offered: Counter[bytes] = field(default_factory=Counter)
    replies: Counter[int] = field(default_factory=Counter)
    whole: set[int] = field(default_factory=set)  # sessions that ended by QUIT, and heard all

    def wrong(self, arrived: Counter[bytes]) -> list[str]:
        lost = [f"{name!r} was accepted for {count}, arrived for {arrived[name]}"
                for name, count in self.accepted.items() if arrived[name] < count]  # fmt: skip
        extra = [f"{name!r} was offered for {self.offered[name]}, arrived for {count}"
                 for name, count in arrived.items()
                 if count > self.offered[name] and int(name.split(b"-")[1]) in self.whole]  # fmt: skip
        return lost + extra


class Client:
    """One session: sends bytes, and derives from them the replies that it must get."""

    def __init__(
        self, plan: Session, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, ledger: Ledger
    ) -> None:
        self._plan, self._reader, self._writer, self._ledger = plan, reader, writer, ledger
        self._sent = bytearray()  # not checked yet
        self._count = 0  # bytes sent
        self._recipients = 0  # accepted in this transaction
        self._delivers = self._stuffed = self._dlmtp = self._receiving = False
        self._failures = 0
        self.heard = bytearray()

    async def talk(self) -> None:
        """Carry the session out.  Raises `Wrong`."""
        # A close with unread commands is a reset, which may overtake the last words (RFC 1122 4.2.2.13).
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            try:
                await self._converse()
            except Ended:
                if await self._read(1):
                    raise Wrong("it spoke after the end") from None

    async def _converse(self) -> None:
        await self._expect_greeting()
        for burst in self._plan.bursts:
            if not await self._burst(burst):
                return
        await self._leave()

    async def _expect_greeting(self) -> None:
        code, _ = await self._reply()
        if code == 421:
            raise Ended
        if code != 220:
            raise Wrong(f"greeted with {code}")

    async def _burst(self, burst: bytes) -> bool:
        """Send a burst and hear all that is due; False if this was the end of the session."""
        room = len(burst) if self._plan.cut is None else max(0, self._plan.cut - self._count)
        last = room < len(burst) or self._count + len(burst) == self._plan.cut
        burst = burst[:room]
        self._count += len(burst)
        sending = asyncio.ensure_future(self._send(burst))
        try:
            self._sent += burst
            if last:
                await sending
                await self._disappear()
                return False
            await self._follow()
            await sending
        finally:
            sending.cancel()
        return True

    async def _send(self, data: bytes) -> None:
        pace = self._plan.pace or PIECE
        with contextlib.suppress(ConnectionError):
            for at in range(0, len(data), pace):
                self._writer.write(data[at : at + pace])
                await self._writer.drain()
                await asyncio.sleep(0)

    async def _disappear(self) -> None:
        """Leave as planned; a client that still listens gets no wrong reply."""
        if self._plan.ending == "reset":
            linger = struct.pack("ii", 1, 0)
            with contextlib.suppress(OSError):
                self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self._writer.transport.abort()
        elif self._plan.ending in ("half", "silence"):
            if self._plan.ending == "half":
                with contextlib.suppress(OSError):
                    self._writer.write_eof()
            await self._follow()
            while await self._read(PIECE):
                continue

    async def _leave(self) -> None:
        """End an open command or message, and quit: exactly one reply is left then."""
        if self._receiving:
            await self._say(b"\r\n.\r\n")
        if self._sent:  # a line without its end
            await self._say(b"\r\n")
        if self._receiving:
            await self._say(b"\r\n.\r\n")
        self._ledger.whole.add(self._plan.number)
        await self._say(b"QUIT\r\n")
        raise Wrong("QUIT was not understood")

    async def _say(self, data: bytes) -> None:
        self._writer.write(data)
        self._sent += data
        await self._follow()

    # The replies that a session must get.

    async def _follow(self) -> None:
        """Read the replies to all sent bytes."""
        while True:
            if self._receiving:
                end = _END.search(self._sent)
                if end is None:
                    return
                content = bytes(self._sent[: end.start()])
                del self._sent[: end.end()]
                await self._outcome(content)
            else:
                line, found, _ = bytes(self._sent).partition(b"\n")
                if not found:
                    return
                del self._sent[: len(line) + 1]
                await self._command(line)

    async def _command(self, line: bytes) -> None:
        code, text = await self._reply()
        verb, _, argument = line.strip().partition(b" ")
        verb = verb.upper()
        if code in (221, 421):
            raise Ended
        if code == 250:
            if verb == b"LHLO":
                self._dlmtp = b"DSPAMPROCESSMODE" in text
            elif verb in (b"MAIL", b"RSET"):
                self._recipients = 0
                self._delivers = not self._dlmtp or b' DSPAMPROCESSMODE="--deliver=innocent,spam"' in argument
                self._stuffed = b"DSPAMSTUFFED" in argument.upper()
            elif verb == b"RCPT":
                self._recipients += 1
        elif code == 354:
            if verb != b"DATA":
                raise Wrong(f"{line[:60]!r} was taken for DATA")
            self._receiving = True
        elif code == 503 and b"Authentication" in text:
            self._failures += 1
            if self._failures == 3:
                raise Ended

    async def _outcome(self, content: bytes) -> None:
        """Read one reply for each recipient, or in DLMTP the output that the client asked for."""
        self._receiving = False
        count, self._recipients = self._recipients, 0
        name = _NAME.search(content)
        if name:
            self._ledger.offered[name[1]] += count
        shown = self._dlmtp and await self._output()
        if shown and not self._stuffed:
            return
        for number in range(count):
            code, text = await self._reply()
            # Where an old dspamc waits for a verdict, a lone dot ends the replies, too.
            self._dot = self._dlmtp and not self._stuffed and number == count - 1
            if text[3:4] == b"-" or code // 100 not in (2, 4, 5):
                raise Wrong(f"{text!r} is no reply for a recipient")
            if code == 421:
                raise Ended
            if code == 250 and name and self._delivers:
                self._ledger.accepted[name[1]] += 1

    async def _output(self) -> bool:
        """Read the output in place of replies; whether there was any."""
        first = await self._line()
        if re.match(rb"\d\d\d[ -]", first):
            self._pushed = first
            return False
        while first != b".\r\n":
            first = await self._line()
        return True

    async def _reply(self) -> tuple[int, bytes]:
        text = b""
        while True:
            line = await self._line()
            dot, self._dot = self._dot, False
            if dot and line == b".\r\n":
                continue
            text += line
            if not re.match(rb"[2-5]\d\d[ -]", line) or not line.endswith(b"\r\n"):
                raise Wrong(f"this is no reply: {line[:100]!r}")
            if line[3:4] == b" ":
                self._ledger.replies[int(line[:3])] += 1
                return int(line[:3]), text

    _pushed = b""
    _dot = False

    async def _line(self) -> bytes:
        if self._pushed:
            line, self._pushed = self._pushed, b""
            return line
        try:
            async with asyncio.timeout(PATIENCE_S):
                line = await self._reader.readuntil(b"\n")
        except TimeoutError:
            raise Wrong("it hung") from None
        self.heard += line[:200]
        return line

    async def _read(self, size: int) -> bytes:
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await self._reader.read(size)
        except TimeoutError:
            raise Wrong("it did not end") from None


@dataclass
class Place:
    """Where a server listens."""

    port: int
    path: Path

    @contextlib.asynccontextmanager
    async def connected(
        self, local: bool
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        opening = (
            asyncio.open_unix_connection(self.path, limit=1 << 22)
            if local
            else asyncio.open_connection("127.0.0.1", self.port, limit=1 << 22)
        )
        reader, writer = await opening
        try:
            yield reader, writer
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError, BrokenPipeError):
                await writer.wait_closed()


async def load(place: Place, seed: str, numbers: range, ledger: Ledger) -> list[str]:
    """Run sessions, some at once; returns the faults."""
    lane = asyncio.Semaphore(AT_ONCE)
    wrong: list[str] = []

    async def one(number: int) -> None:
        plan = session(seed, number)
        async with lane, place.connected(plan.local) as streams:
            client = Client(plan, *streams, ledger)
            try:
                await client.talk()
            except Wrong as error:
                wrong.append(f"session {number}: {error}; it sent {b'|'.join(plan.bursts)[:2000]!r}, "
                             f"heard {bytes(client.heard[-1000:])!r}")  # fmt: skip

    await asyncio.gather(*(one(number) for number in numbers))
    return wrong


# --- a real daemon -------------------------------------------------------------------------


@dataclass(frozen=True)
class Holdings:
    """The threads of each worker, and its descriptors except those of dictionaries.

    The storage always keeps as many of these open as it may.
    """

    descriptors: tuple[int, ...]
    threads: tuple[int, ...]

    @classmethod
    def of(cls, daemon: Daemon) -> Holdings:
        return cls(
            tuple(_descriptors(pid, daemon.folder / "data") for pid in daemon.workers),
            tuple(sum(1 for _ in Path(f"/proc/{pid}/task").iterdir()) for pid in daemon.workers),
        )

    def within(self, other: Holdings) -> bool:
        # The pools of threads may not have been full; asyncio's is the largest.
        pool = min(32, (os.cpu_count() or 1) + 4)
        most = other.descriptors + tuple(count + pool for count in other.threads)
        return all(here <= there for here, there in zip(self.descriptors + self.threads, most, strict=True))


def _descriptors(pid: int, apart: Path) -> int:
    """The number of descriptors of a process, without files below one folder."""
    count = 0
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            count += not each.readlink().is_relative_to(apart)
    return count


async def against_daemon(folder: Path, seed: str, first: int, sessions: int) -> list[str]:
    """Sessions with a daemon in `folder`; all that was wrong."""
    ledger, path = Ledger(), folder / "s"
    async with Hop() as hop:
        daemon = Daemon(folder, hop.port, settings=f"{SETTINGS}ServerDomainSocketPath {path}\n")
        await asyncio.to_thread(daemon.start)
        try:
            place, workers = Place(daemon.port, path), daemon.workers
            middle = first + min(WARM, sessions // 2)
            wrong = await load(place, seed, range(first, middle), ledger)
            idle = await _idle(daemon, hop)
            wrong += await load(place, seed, range(middle, first + sessions), ledger)
            try:
                await _idle(daemon, hop, idle if sessions >= WARM else None)
            except AssertionError as error:
                wrong.append(str(error))
            if daemon.workers != workers:
                wrong.append("a worker died")
        finally:
            await asyncio.to_thread(daemon.stop)
        wrong += ledger.wrong(hop.arrived)
        wrong += [f"the log: {line}" for line in daemon.output.splitlines() if _is_bug(line)]
    told = ", ".join(f"{code}: {count}" for code, count in sorted(ledger.replies.items()))
    print(
        f"{sessions} sessions, {len(ledger.whole)} ended by QUIT, {hop.arrived.total()} mails; {told}; {idle}"
    )
    return wrong


async def _idle(daemon: Daemon, hop: Hop, most: Holdings | None = None) -> Holdings:
    """What the workers hold when nobody speaks to them, and the next hop has closed what they kept.

    Raises `AssertionError` if that stays more than `most`.
    """
    hop.hang_up()
    seen: list[Holdings] = []

    def settled() -> bool:
        seen.append(Holdings.of(daemon))
        return len(seen) > STEADY and (seen[-1].within(most) if most else len(set(seen[-STEADY:])) == 1)

    await event(settled, lambda: f"{seen[-1]} to be {most}")
    return seen[-1]


def _is_bug(line: str) -> bool:
    return any(sign in line for sign in BUGS)


def main(sessions: str = "5000", seed: str = "", first: str = "0") -> int:
    """Run so many sessions; 1 if anything was wrong."""
    seed = seed or secrets.token_hex(4)
    print(f"--- dialogue: {sessions} sessions, seed {seed}, from {first}", flush=True)
    with tempfile.TemporaryDirectory(prefix="dspamd-fuzz-") as folder:
        wrong = asyncio.run(against_daemon(Path(folder), seed, int(first), int(sessions)))
    for each in wrong:
        print(each)
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
