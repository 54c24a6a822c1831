"""DNS blacklists: asks zones (`Lookup`) whether they list the source of a message.

192.0.2.7 is listed in rbl.example.org if 7.2.0.192.rbl.example.org has an address
in 127.0.0.*; the name for an IPv6 address is made of its nibbles (RFC 5782 2.1, 2.4).
Other addresses, such as 127.255.255.254, say what is wrong with the question and
list nothing.

The resolver asks all zones at once, each under one deadline; if several list the source, the one that is
configured first counts.  Answers are kept as long as their zone allows.  A zone that gives no
answer lists nothing; it is logged and not asked for a while, since mail must not wait for it again
and again.

The DNS library is loaded only if there is a zone to ask.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import NamedTuple

from dspamd.config.option_types import parted
from dspamd.filter.scan.source import Address
from dspamd.telemetry import log

_REMEMBERED_ANSWERS = 100_000
_LEFT_ALONE_S = 60.0
_LISTED = ipaddress.ip_network("127.0.0.0/24")


class Answer(NamedTuple):
    """The answer of a zone: addresses, of which some say that it lists what was asked for."""

    addresses: tuple[str, ...]

    @property
    def lists(self) -> bool:
        return any(ipaddress.ip_address(each) in _LISTED for each in self.addresses)


class Blacklists:
    """Some zones, and the name server that is asked for them.

    `server` is its address, or address and port (`127.0.0.1:5353`, `[::1]:5353`);
    empty: those of the system.  Raises ValueError without a name server, ImportError without dnspython.
    """

    def __init__(
        self,
        zones: Sequence[str],
        *,
        server: str = "",
        timeout_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._zones = [zone.strip(".") for zone in zones]
        self._timeout_s, self._clock = timeout_s, clock
        self._left_alone: dict[str, float] = {}
        self._dns = _library()
        try:
            self._resolver = self._dns.asyncresolver.Resolver(configure=not server)
            if server:
                self._resolver.nameservers = [self._dns.nameserver.Do53Nameserver(*_place(server))]
        except self._dns.exception.DNSException as error:
            raise ValueError(str(error)) from error
        self._resolver.cache = self._dns.resolver.LRUCache(_REMEMBERED_ANSWERS)

    async def listing(self, source: Address) -> str | None:
        """The first of the zones that lists an address; None if none does.  Never fails."""
        listed = await asyncio.gather(*(self._lists(zone, source) for zone in self._zones))
        return next((zone for zone, yes in zip(self._zones, listed, strict=True) if yes), None)

    async def answers(self, address: Address) -> dict[str, Answer | str]:
        """What each zone says of an address, or why it does not answer."""
        found: dict[str, Answer | str] = {}
        for zone in self._zones:
            try:
                found[zone] = await self._asked(zone, address)
            except (self._dns.exception.DNSException, OSError) as error:
                found[zone] = str(error) or "no answer in time"
        return found

    async def _lists(self, zone: str, source: Address) -> bool:
        if self._clock() < self._left_alone.get(zone, 0.0):
            return False
        try:
            return (await self._asked(zone, source)).lists
        except (self._dns.exception.DNSException, OSError) as error:
            self._left_alone[zone] = self._clock() + _LEFT_ALONE_S
            log.get().warning("blacklist_silent", zone=zone, reason=str(error) or "no answer in time")
            return False

    async def _asked(self, zone: str, source: Address) -> Answer:
        """The answer of a zone.  Raises OSError, or what the DNS library raises."""
        resolver = self._dns.resolver
        try:
            async with asyncio.timeout(self._timeout_s):
                found = await self._resolver.resolve(
                    question(zone, source), "A", lifetime=self._timeout_s, search=False
                )
        except (resolver.NXDOMAIN, resolver.NoAnswer):
            return Answer(())
        return Answer(tuple(record.address for record in found))


def question(zone: str, source: Address) -> str:
    """The DNS name that exists if a zone lists an address."""
    reversed_, _, _ = source.reverse_pointer.rpartition(".in-addr." if source.version == 4 else ".ip6.")
    return f"{reversed_}.{zone}."


def _library() -> ModuleType:
    import dns.asyncresolver
    import dns.exception
    import dns.nameserver
    import dns.resolver

    return dns


def _place(server: str) -> tuple[str, int]:
    """Address and port of a name server.  Raises ValueError."""
    host, port = parted(server)
    return str(ipaddress.ip_address(host)), int(port or 53)
