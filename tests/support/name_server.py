"""A name server for tests, on a free UDP port: it knows some names, and records the questions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import cast

import dns.message
import dns.rcode
import dns.rrset

SILENT = "silent"
BROKEN = "broken"


class NameServer(asyncio.DatagramProtocol):
    """`records` are addresses by name; `SILENT` gets no answer, `BROKEN` gets SERVFAIL.

    A name without a record that ends in the name of a silent or broken one is like it.
    """

    def __init__(self, records: Mapping[str, str]) -> None:
        self._records = records
        self.asked: list[str] = []
        self._transport: asyncio.DatagramTransport | None = None

    @property
    def place(self) -> str:
        assert self._transport is not None
        host, port = self._transport.get_extra_info("sockname")
        return f"{host}:{port}"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, client: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True)
        self.asked.append(name)
        record = next((value for key, value in self._records.items() if name.endswith(key)), None)
        if record == SILENT:
            return
        response = dns.message.make_response(query)
        if record == BROKEN:
            response.set_rcode(dns.rcode.SERVFAIL)
        elif record is None:
            response.set_rcode(dns.rcode.NXDOMAIN)
        else:
            response.answer.append(dns.rrset.from_text(question.name, 300, "IN", "A", *record.split()))
        assert self._transport is not None
        self._transport.sendto(response.to_wire(), client)


@asynccontextmanager
async def name_server(records: Mapping[str, str]) -> AsyncIterator[NameServer]:
    """A running one."""
    transport, server = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: NameServer(records), local_addr=("127.0.0.1", 0)
    )
    try:
        yield server
    finally:
        transport.close()
