"""A clamd for tests with prepared answers, in the dialogue of INSTREAM."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

CLEAN = b"stream: OK\0"
INFECTED = b"stream: Test.Virus FOUND\0"


class FakeClamd:
    """Listens on `port`; `answer` None: reads and says nothing; `early`: answers before it reads."""

    def __init__(self, answer: bytes | None = CLEAN, *, early: bool = False) -> None:
        self.answer, self.early = answer, early
        self.scanned: list[bytes] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            assert await reader.readuntil(b"\0") == b"zINSTREAM\0"
            if not self.early:
                self.scanned.append(await _stream(reader))
            if self.answer is None:
                await reader.read()  # until the client gives up
            else:
                writer.write(self.answer)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client has gone
        finally:
            writer.close()


async def _stream(reader: asyncio.StreamReader) -> bytes:
    content = b""
    while size := int.from_bytes(await reader.readexactly(4), "big"):
        content += await reader.readexactly(size)
    return content


@asynccontextmanager
async def fake_clamd(answer: bytes | None = CLEAN, *, early: bool = False) -> AsyncIterator[FakeClamd]:
    """A running one, on a free port of its own."""
    clamd = FakeClamd(answer, early=early)
    server = await asyncio.start_server(clamd.serve, "127.0.0.1", 0)
    clamd.port = server.sockets[0].getsockname()[1]
    async with server:
        yield clamd
