"""The scanners, which decide about a message before the statistics: viruses, blocklists, blacklists.

    virus      ClamAVHost, ClamAVPort      once for all recipients, unless optOutClamAV
    blocklist  USER.blocklist              the domains that this user does not want
    blacklist  Lookup                      the source of the message, unless ignoreRBLLookups

The first scanner that finds something decides (reference/protocols.md 7, 10).  A lesson is scanned for
viruses only; a correction is not scanned, since its text has passed before.

If the virus scanner does not answer, mail passes or waits as `ClamAVOnFailure` says; the other
scanners never keep mail waiting for longer than their deadline.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple
from weakref import WeakKeyDictionary

from dspamd.config.config import Config
from dspamd.config.libraries import needed_by
from dspamd.engine.model import Label, Lesson, Result, Source
from dspamd.errors import ConfigError, TempFail
from dspamd.filter.scan.blocklist import Blocklists
from dspamd.filter.scan.clamav import ClamAV, NotScanned, TooLarge
from dspamd.filter.scan.rbl import Blacklists
from dspamd.filter.scan.source import Address, address, source
from dspamd.filter.transaction import InboundMessage
from dspamd.home.home import Home
from dspamd.telemetry import log
from dspamd.users.preferences import User


class ScanFailed(TempFail):
    """A scanner gave no answer, and the configuration says that mail waits for it."""

    enhanced = "4.7.1"


class Finding(NamedTuple):
    """A finding of a scanner about a message.

    result   the verdict
    status   the words of the logs for it; empty: those for spam
    lesson   what the message teaches; None: nothing, its words did not decide
    """

    result: Result
    status: str = ""
    lesson: Lesson | None = None


class _Scan(NamedTuple):
    """The virus that was found, or the failure for which mail waits."""

    virus: str | None = None
    failure: str = ""


def _finding(name: str, status: str = "", lesson: Lesson | None = None) -> Finding:
    return Finding(Result(True, name, 1.0, 1.0), status, lesson)


class Scanners:
    """The scanners that a configuration asks for.  Raises `ConfigError` if one cannot be used."""

    def __init__(self, config: Config, home: Home) -> None:
        self._clamav = clamav(config)
        self._pass_unscanned = config.ClamAVOnFailure == "accept"
        self._scans: WeakKeyDictionary[InboundMessage, asyncio.Task[_Scan]] = WeakKeyDictionary()
        self._blocklists = Blocklists(home)
        self._blacklists = blacklists(config)
        self._local = local_addresses(config)

    async def find(self, mail: InboundMessage, lesson: Lesson | None, user: User) -> Finding | None:
        """The finding about a message for one user, None if there is none.

        Raises `ScanFailed` if the virus scanner does not answer and mail waits for it.
        """
        if lesson is not None and lesson.source is Source.ERROR:
            return None
        if not user.skip_virus_scan and await self.infected(mail):
            return _finding("Virus", "A virus was detected in the message contents")
        if lesson is not None:
            return None
        if await self._blocklists.blocks(user.file_name, mail.message):
            return _finding("Blocklisted")
        return None if user.skip_blacklists else await self._blacklisted(mail, user)

    async def infected(self, mail: InboundMessage) -> bool:
        """Whether there is a virus in a message, for any recipient.  Raises `ScanFailed`."""
        if self._clamav is None:
            return False
        if mail not in self._scans:
            work = self._scan(self._clamav, mail.message.raw, mail.envelope.queue_id)
            self._scans[mail] = asyncio.ensure_future(work)
        scan = await asyncio.shield(self._scans[mail])
        if scan.failure:
            raise ScanFailed("Virus scanner is not available", detail=scan.failure)
        return scan.virus is not None

    async def _scan(self, clamav: ClamAV, content: bytes, queue_id: str | None) -> _Scan:
        try:
            virus = await clamav.scan(content)
        except TooLarge as error:  # which waiting does not change
            log.get().error("virus_scan", queue_id=queue_id, size=len(content), reason=str(error))
            return _Scan()
        except NotScanned as error:
            if not self._pass_unscanned:
                return _Scan(failure=str(error))
            log.get().error("virus_scan", queue_id=queue_id, reason=str(error))
            return _Scan()
        if virus:
            log.get().warning("virus_found", queue_id=queue_id, name=virus)
        return _Scan(virus)

    async def _blacklisted(self, mail: InboundMessage, user: User) -> Finding | None:
        if self._blacklists is None:
            return None
        found = source(mail.message, self._local)
        zone = await self._blacklists.listing(found) if found else None
        if zone is None:
            return None
        status = f"Blacklisted ({zone})"
        if user.learn_blacklisted:
            return _finding("Spam", status, Lesson(Label.SPAM, Source.INOCULATION))
        return _finding("Blacklisted", status)


def local_addresses(config: Config) -> frozenset[Address]:
    """The addresses of our own mail servers (LocalMX)."""
    return frozenset(filter(None, map(address, config.LocalMX)))


def clamav(config: Config) -> ClamAV | None:
    """The virus scanner of a configuration, if it names one."""
    host, port = config.ClamAVHost, config.ClamAVPort
    if not host or not (port or host.startswith("/")):
        return None
    return ClamAV(host, port, timeout_s=config.ClamAVTimeout)


def blacklists(config: Config) -> Blacklists | None:
    """The blacklists of a configuration, if it names any.  Raises `ConfigError` if they cannot be asked."""
    zones = config.Lookup
    if not zones:
        return None
    try:
        with needed_by(config, Config.Lookup, "dnspython"):
            return Blacklists(zones, server=config.DNSServer, timeout_s=config.DNSTimeout)
    except ValueError as error:
        raise ConfigError([config.problem("Lookup", f"Lookup: {error}")]) from error
