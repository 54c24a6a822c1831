"""A message of 20 MB: the time that it takes, and the delay of other sessions."""

from __future__ import annotations

import asyncio
import socket
import time

from bench.client import expect, greeted
from bench.figures import Figure
from bench.sample import of_size

SIZE = 20_000_000
PIECE = 256 * 1024
RATE_MB_S = 100.0
WAIT_MS = 50.0


def measure(port: int) -> list[Figure]:
    """The figures of a daemon that listens on `port`."""
    rate, wait_ms = asyncio.run(take(port))
    return [
        Figure("DATA of 20 MB", rate, "MB/s", RATE_MB_S, 1.0, more=True),
        Figure("longest wait of another session meanwhile", wait_ms, "ms", WAIT_MS, 1.0),
    ]


async def take(port: int) -> tuple[float, float]:
    """MB/s until the last byte was taken, and the longest wait of another session until it was answered."""
    content = of_size(SIZE, 1)[0].replace(b"\r\n.", b"\r\n..") + b".\r\n"
    reader, writer = await greeted(port)
    # The bytes that the kernel holds for us do not count as taken.
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, PIECE)
    writer.transport.set_write_buffer_limits(0)
    writer.write(b"MAIL FROM:<sender@example.net>\r\nRCPT TO:<user@example.org>\r\nDATA\r\n")
    for code in (b"250", b"250", b"354"):
        await expect(reader, code)
    over = asyncio.Event()
    waits = asyncio.create_task(longest_wait_ms(port, over))
    start = time.perf_counter()
    for at in range(0, len(content), PIECE):
        writer.write(content[at : at + PIECE])
        await writer.drain()
    rate = SIZE / 1e6 / (time.perf_counter() - start)
    await expect(reader, b"250")
    over.set()
    writer.close()
    return rate, await waits


async def longest_wait_ms(port: int, over: asyncio.Event) -> float:
    """Ask the daemon for nothing, again and again; the longest time it took to answer."""
    reader, writer = await greeted(port)
    longest = 0.0
    while not over.is_set():
        start = time.perf_counter()
        writer.write(b"NOOP\r\n")
        await expect(reader, b"250")
        longest = max(longest, time.perf_counter() - start)
        await asyncio.sleep(0.001)
    writer.close()
    return longest * 1000
