"""The scanners: clamd, DNS blacklists, and the names of servers that the DNS must know."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import time
from collections.abc import Iterator, Sequence

from dspamd.config.config import Config
from dspamd.diagnosis import Diagnosis, advice, fine, problem
from dspamd.doctor.site import Site
from dspamd.filter.scan.clamav import NotScanned, TooLarge
from dspamd.filter.scan.rbl import Answer
from dspamd.filter.scan.scanners import blacklists, clamav

_SCAN_S = 8.0
_LISTED, _NOT_LISTED = map(ipaddress.ip_address, ("127.0.0.2", "127.0.0.1"))  # in every zone, RFC 5782 5
_SLOW_S = 1.0
_HOSTS = (Config.DeliveryHost, Config.MySQLServer, Config.MySQLWriteServer, Config.PgSQLServer)


async def virus_scanner(site: Site) -> list[Diagnosis]:
    """Whether clamd scans."""
    scanner = clamav(site.config)
    if scanner is None:
        return []
    try:
        async with asyncio.timeout(_SCAN_S):
            await scanner.scan(b"Subject: a test by dspam_admin doctor\n\n")
    except TimeoutError:
        trouble = f"no answer within {_SCAN_S:g} s"
    except NotScanned as error:
        trouble = str(error)
    except TooLarge:
        trouble = "its StreamMaxLength is shorter than a short message"
    else:
        return [fine("clamd scans")]
    return [judged_silence(trouble, site.config.ClamAVOnFailure)]


def judged_silence(trouble: str, on_failure: str) -> Diagnosis:
    waits = on_failure == "defer"
    why = "all mail waits" if waits else "mail passes, and nobody looks for viruses in it"
    cure = "systemctl start clamav-daemon; see whether ClamAVHost and ClamAVPort are those of clamd.conf"
    return problem(f"clamd does not scan: {trouble}", f"{why} (ClamAVOnFailure {on_failure})", cure)


async def dns(site: Site) -> list[Diagnosis]:
    """Whether the blacklists answer, and the names of servers are known."""
    found: list[Diagnosis] = []
    if asked := blacklists(site.config):
        listed, others = await asyncio.gather(asked.answers(_LISTED), asked.answers(_NOT_LISTED))
        for zone in listed:
            found += judged_zone(zone, listed[zone], others[zone])
    found += [each for name in names(site.config) for each in await _resolved(name)]
    return found


def judged_zone(zone: str, listed: Answer | str, other: Answer | str) -> Iterator[Diagnosis]:
    """By what a zone says of the address that each must list, and of the one that none may list."""
    remove = f"remove the line Lookup {zone}, or use the zone as its owner says; then reload"
    if isinstance(listed, str):
        why = "each message waits for it, up to DNSTimeout, and nobody looks its source up"
        yield problem(
            f"the blacklist {zone} does not answer: {listed}", why, f"dig 2.0.0.127.{zone}; {remove}"
        )
    elif not isinstance(other, str) and other.lists:
        why = "a zone that lists every address makes spam of all mail"
        yield problem(f"the blacklist {zone} lists even 127.0.0.1", why, remove)
    elif not listed.lists:
        said = f": it says {', '.join(listed.addresses)}" if listed.addresses else ""
        why = "it lists nobody: perhaps it is closed, or refuses your name server, as it does public ones"
        cure = f"dig 2.0.0.127.{zone}; a name server of your own in DNSServer may help; else {remove}"
        yield problem(f"the blacklist {zone} does not list its test address 127.0.0.2{said}", why, cure)
    else:
        yield fine(f"the blacklist {zone} answers")


def names(config: Config) -> list[str]:
    """The names of hosts, as opposed to addresses and sockets, that the daemon connects to."""
    named = [config.value(option) for option in _HOSTS]
    named += [config.ClamAVHost, *config.suffixes(Config.DeliveryHost).values()]
    return sorted({name for name in named if name and not name.startswith("/") and not _is_address(name)})


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


async def _resolved(name: str) -> Sequence[Diagnosis]:
    started = time.monotonic()
    try:
        await asyncio.get_running_loop().getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        return [judged_name(name, str(error), 0.0)]
    return [judged_name(name, "", time.monotonic() - started)]


def judged_name(name: str, trouble: str, seconds: float) -> Diagnosis:
    """Whether the name of a server is known, and soon."""
    cure = f"getent hosts {name}; write its address instead, or a line into /etc/hosts"
    if trouble:
        why = "mail waits until the name is known"
        return problem(f"the name {name} is not known: {trouble}", why, cure)
    if seconds > _SLOW_S:
        why = "each new connection waits for it"
        return advice(f"it takes {seconds:.1f} s to look the name {name} up", why, cure)
    return fine(f"the name {name} is known")
