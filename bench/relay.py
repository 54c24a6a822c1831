"""The program to compare the daemon with: a relay of stock parts that does nothing else.

    python -m bench.relay PORT NEXT_HOP

LMTP by aiosmtpd, SMTP by a pool of aiosmtplib connections, on the same event loop as ours.
"""

from __future__ import annotations

import asyncio
import sys

import aiosmtplib
import uvloop
from aiosmtpd.lmtp import LMTP
from aiosmtpd.smtp import SMTP, Envelope, Session

CONNECTIONS = 8


class Relay:
    """aiosmtpd's handler: a message is passed on before it is acknowledged."""

    def __init__(self, next_hop: int) -> None:
        self._next_hop = next_hop
        self._pool: asyncio.Queue[aiosmtplib.SMTP] = asyncio.Queue()

    async def open(self) -> None:
        for _ in range(CONNECTIONS):
            client = aiosmtplib.SMTP(hostname="127.0.0.1", port=self._next_hop, start_tls=False)
            await client.connect()
            self._pool.put_nowait(client)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.content, bytes)
        client = await self._pool.get()
        try:
            await client.sendmail(envelope.mail_from or "", envelope.rcpt_tos, envelope.content)
        finally:
            self._pool.put_nowait(client)
        return "250 2.0.0 passed on"


async def main(port: int, next_hop: int) -> None:
    relay = Relay(next_hop)
    await relay.open()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: LMTP(relay, hostname="relay", loop=loop), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), int(sys.argv[2])))
