"""More than the daemon can take at once: clients wait or come again, memory stays bounded, mail arrives.

The numbers of sessions are those of a busy site; the limits are small, so that they are reached.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.daemon import Daemon
from tests.support.load import ACCEPTED, NextHop, Sender, event, mail, session

MIB = 1 << 20


@pytest.fixture
async def hop() -> AsyncIterator[NextHop]:
    async with NextHop() as hop:
        yield hop


def peak_mib(daemon: Daemon) -> float:
    """The most memory that a worker ever had resident: VmHWM of proc(5) status."""
    peaks = []
    for pid in daemon.workers:
        found = re.search(r"^VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.M)
        assert found
        peaks.append(int(found[1]) / 1024)
    return max(peaks)


async def test_a_thousand_idle_sessions_cost_little(tmp_path: Path, hop: NextHop) -> None:
    settings = "ServerWorkers 2\nServerMaxConnections 1100\nServerQueueSize 1024\n"
    with Daemon(tmp_path, hop.port, settings=settings) as daemon:
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(1000):
                await stack.enter_async_context(session(daemon.port))
            async with session(daemon.port) as sender:
                assert await sender.send(mail("among them")) == ACCEPTED
            assert peak_mib(daemon) < 100


async def test_two_hundred_large_messages_at_once(tmp_path: Path, hop: NextHop) -> None:
    """Clients offer 1 GB, the daemon may hold 64 MB: it defers the rest, and takes it later."""
    settings = "ServerWorkers 2\nServerMaxMemory 64M\nServerMaxMessageSize 16M\n"
    large = mail("large", 5 * MIB)
    with Daemon(tmp_path, hop.port, settings=settings) as daemon:
        async with contextlib.AsyncExitStack() as stack:
            senders = [await stack.enter_async_context(session(daemon.port)) for _ in range(200)]
            codes = await asyncio.gather(*(sender.send(large) for sender in senders))
            assert set(codes) == {ACCEPTED, 452}
            for sender in [sender for sender, code in zip(senders, codes, strict=True) if code == 452][:5]:
                assert await sender.send(large) == ACCEPTED
        assert hop.subjects == ["large"] * (codes.count(ACCEPTED) + 5)
        assert peak_mib(daemon) < 500


async def test_beyond_the_limit_connections_are_put_off(tmp_path: Path, hop: NextHop) -> None:
    with Daemon(tmp_path, hop.port, settings="ServerWorkers 2\nServerMaxConnections 10\n") as daemon:
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(10):
                await stack.enter_async_context(session(daemon.port))
            reader, writer = await asyncio.open_connection("127.0.0.1", daemon.port)
            assert (await reader.read()).startswith(b"421 4.3.2 ")
            writer.close()

        async def served() -> bool:
            with contextlib.suppress(AssertionError):
                async with session(daemon.port) as sender:
                    return await sender.send(mail("room again")) == ACCEPTED
            return False

        async with asyncio.timeout(30):
            while not await served():
                pass


async def test_clients_that_dawdle_are_sent_away_and_disturb_nobody(tmp_path: Path, hop: NextHop) -> None:
    async def dawdle(sender: Sender, beginning: bytes) -> float:
        """Bytes now and then, but never a whole line; how long that went well, in seconds."""
        begun = time.monotonic()
        sender.say(beginning)
        reply = asyncio.create_task(sender.reply())
        while not (await asyncio.wait([reply], timeout=0.2))[0]:
            sender.say(b"x")
        assert reply.result() in (421, 0)
        return time.monotonic() - begun

    with Daemon(tmp_path, hop.port, settings="ServerWorkers 2\nServerTimeout 1\n") as daemon:
        async with contextlib.AsyncExitStack() as stack:
            senders = [await stack.enter_async_context(session(daemon.port)) for _ in range(40)]
            dawdling = asyncio.gather(*(dawdle(sender, b"MAIL FROM:<") for sender in senders))
            begun = time.monotonic()
            async with session(daemon.port) as sender:
                assert await sender.send(mail("in a hurry")) == ACCEPTED
            assert time.monotonic() - begun < 1
            assert max(await dawdling) < 5


async def test_a_slow_next_hop_holds_up_only_what_it_holds(tmp_path: Path, hop: NextHop) -> None:
    """Mail waits for the next hop side by side, and a client that has none is not held up."""
    with Daemon(tmp_path, hop.port, settings="ServerWorkers 2\nDeliveryConnections 40\n") as daemon:
        async with contextlib.AsyncExitStack() as stack:
            senders = [await stack.enter_async_context(session(daemon.port)) for _ in range(100)]
            hop.gate.clear()
            waiting = [asyncio.create_task(sender.send(mail(str(n)))) for n, sender in enumerate(senders)]
            # The workers share DeliveryConnections; the rest of the mail waits for one of them.
            await hop.got(40)
            async with session(daemon.port) as idle:
                idle.say(b"NOOP\r\n")
                assert await idle.reply() == ACCEPTED
            assert len(hop.connections) <= 40
            hop.gate.set()
            assert set(await asyncio.gather(*waiting)) == {ACCEPTED}
        await event(lambda: len(hop.subjects) == 100, "all mail")
        assert sorted(map(int, hop.subjects)) == list(range(100))
        assert peak_mib(daemon) < 100
