"""A mail server that has much to deliver, over several LMTP sessions at once.

    python -m bench.client PORT SESSIONS COUNT SIZE [USERS [DIFFERENT]]

It prints the seconds for COUNT messages of SIZE bytes together, then those for each, from MAIL to the
last reply.  DIFFERENT of them differ, 50 if nothing is said.  Mail is for `user`, or for several users in
turn: `user`, `user1`, ...  It is a separate process, so that its work does not count as the daemon's.
"""

from __future__ import annotations

import asyncio
import sys
import time

import uvloop

from bench.sample import of_size

DIFFERENT = 50


async def greeted(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A session in which LHLO is said and answered."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await expect(reader, b"220")
    writer.write(b"LHLO client\r\n")
    while (await reader.readline())[3:4] == b"-":
        pass
    return reader, writer


async def deliver(port: int, mails: list[tuple[bytes, bytes]]) -> list[float]:
    """One session, and the seconds of each message; commands are pipelined as Postfix does it."""
    reader, writer = await greeted(port)
    seconds = []
    for user, content in mails:
        start = time.perf_counter()
        writer.write(b"MAIL FROM:<sender@example.net>\r\nRCPT TO:<%s@example.org>\r\nDATA\r\n" % user)
        for wanted in (b"250", b"250", b"354"):
            await expect(reader, wanted)
        writer.write(content)
        await expect(reader, b"250")
        seconds.append(time.perf_counter() - start)
    writer.write(b"QUIT\r\n")
    await expect(reader, b"221")
    writer.close()
    return seconds


async def expect(reader: asyncio.StreamReader, code: bytes) -> None:
    line = await reader.readline()
    if not line.startswith(code):
        raise RuntimeError(f"wanted {code.decode()}, got {line.decode()!r}")


def names(users: int) -> list[str]:
    """The recipients, for that number of users."""
    return ["user", *(f"user{number}" for number in range(1, users))]


async def main(
    port: int, sessions: int, count: int, size: int, users: int = 1, different: int = DIFFERENT
) -> None:
    wire = [content.replace(b"\r\n.", b"\r\n..") + b".\r\n" for content in of_size(size, different)]
    recipients = [name.encode() for name in names(users)]
    mails = [(recipients[number % users], wire[number % different]) for number in range(count)]
    shares = [mails[first::sessions] for first in range(sessions)]
    start = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(deliver(port, share)) for share in shares]
    print(time.perf_counter() - start)
    print(*(seconds for session in running for seconds in session.result()))


if __name__ == "__main__":
    uvloop.run(main(*map(int, sys.argv[1:7])))
