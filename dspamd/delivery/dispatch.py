"""Sends messages to the next hop, to a delivery agent, or into quarantine.

The next hop is `DeliveryHost` if there is one (reference/protocols.md 4), else the
delivery agent (cli.md 3.10).  Quarantined spam goes to `QuarantineAgent`, or, without one,
into the mailbox of its user below Home.  With a `QuarantineMailbox`, delivered spam goes to
another address of its recipient (protocols.md 5).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from dspamd.config.config import Config
from dspamd.config.option import Text
from dspamd.delivery.agent import Agent
from dspamd.delivery.connection import Connection, Deadlines, Target, Tls, connect
from dspamd.delivery.quarantine import Quarantine
from dspamd.delivery.smtp import SmtpDelivery
from dspamd.errors import ConfigError, Failure, Reply, TempFail
from dspamd.file_errors import explained
from dspamd.filter.outlet import Handover
from dspamd.home.home import Home
from dspamd.telemetry.metrics import Metrics


class Dispatch:
    """Implements `Outlet`, for one of `workers` processes that share the connections to the next hop."""

    def __init__(self, config: Config, home: Home, workers: int = 1, metrics: Metrics | None = None) -> None:
        self._config, self._home = config, home
        self._metrics = metrics or Metrics()
        self._timeout_s = config.DeliveryTimeout
        self._quarantine = Quarantine(timeout_s=self._timeout_s)
        self._next_hop = _next_hop(config, workers, self._metrics)

    async def deliver(self, handover: Handover) -> Reply:
        """Hand over to the next hop or the delivery agent.  Raises `TempFail`, `PermFail`."""
        with self._measured():
            return await self._deliver(handover)

    async def _deliver(self, handover: Handover) -> Reply:
        if handover.spam and (mailbox := self._config.QuarantineMailbox):
            handover = replace(handover, recipient=self._mailbox(handover.recipient, mailbox))
        if self._next_hop is not None:
            return await self._next_hop.deliver(handover)
        agent = Config.TrustedDeliveryAgent if handover.trusted else Config.UntrustedDeliveryAgent
        return await self._run(agent, handover, handover.arguments if handover.trusted else ())

    async def quarantine(self, handover: Handover, owner: str) -> Reply:
        """Put into the quarantine of `owner`.  Raises `TempFail`, `PermFail` from an agent."""
        if self._config.QuarantineAgent:
            return await self._run(Config.QuarantineAgent, handover, ())
        mailbox = self._home.file(owner, "mbox")
        try:
            await asyncio.to_thread(self._home.prepare, mailbox)
        except OSError as error:
            raise TempFail("Unable to quarantine", detail=explained(error, mailbox)) from error
        return await self._quarantine.keep(mailbox, handover.content)

    async def close(self) -> None:
        """Close the idle connections."""
        if self._next_hop is not None:
            await self._next_hop.close()
        await self._quarantine.close()

    @contextmanager
    def _measured(self) -> Iterator[None]:
        """Time a hand-over, and count why it failed, if it did."""
        metrics, started = self._metrics, time.perf_counter()
        try:
            yield
            metrics.last_handover.set(time.time())
        except Failure as failure:
            metrics.handover_failures.add(failure.reason)
            away = failure.reason in ("unreachable", "broken")
            (metrics.last_unreached if away else metrics.last_handover).set(time.time())
            raise
        finally:
            metrics.handover_seconds.observe(time.perf_counter() - started)

    async def _run(self, agent: Text, handover: Handover, arguments: tuple[str, ...]) -> Reply:
        command = self._config.value(agent)
        if not command.strip():
            raise TempFail(f"No {agent.name} configured, and --stdout not specified")
        program = Agent(
            command,
            arguments,
            user=handover.user,
            timeout_s=self._timeout_s,
            errors_permanent=self._config.LMTPLDAErrorsPermanent,
        )
        return await program.deliver(handover)

    def _mailbox(self, recipient: bytes, mailbox: str) -> bytes:
        """The recipient's address for spam: `bob+detail@domain` becomes `bob+quarantine@domain`."""
        local, at, domain = recipient.rpartition(b"@")
        if not at:
            local, domain = recipient, b""
        separator = self._config.PlusedCharacter[:1].encode()
        return local.split(separator, 1)[0] + mailbox.encode() + at + domain


def _next_hop(config: Config, workers: int, metrics: Metrics) -> SmtpDelivery | None:
    hosts = _hosts(config)
    if not hosts:
        return None
    ports = config.suffixes(Config.DeliveryPort)
    timeout = config.DeliveryTimeout
    return SmtpDelivery(
        hosts,
        {**ports, "": config.DeliveryPort},
        lmtp=_speaks_lmtp(config),
        ident=config.DeliveryIdent,
        connections=max(1, config.DeliveryConnections // workers),
        deadlines=Deadlines(command=timeout, reply=max(timeout, Deadlines().reply)),
        tls=_tls(config),
        metrics=metrics,
    )


def targets(config: Config) -> list[Target]:
    """Each next hop of a configuration once."""
    ports = config.suffixes(Config.DeliveryPort)
    found = (Target(host, ports.get(domain, config.DeliveryPort)) for domain, host in _hosts(config).items())
    return list(dict.fromkeys(found))


async def reach(config: Config, target: Target, deadline_s: float) -> Connection:
    """A connection of our own to a next hop, introduced as for mail.

    Raises what `connect` does, and `ConfigError`.
    """
    deadlines = Deadlines(connect=deadline_s)
    return await connect(target, config.DeliveryIdent, _speaks_lmtp(config), deadlines, _tls(config))


def _hosts(config: Config) -> dict[str, str]:
    """The host of each domain; the empty one stands for all others."""
    hosts = config.suffixes(Config.DeliveryHost)
    if host := config.DeliveryHost:
        hosts[""] = host
    return hosts


def _speaks_lmtp(config: Config) -> bool:
    return config.DeliveryProto.upper() == "LMTP"


def _tls(config: Config) -> Tls | None:
    """The encryption of the next hop.  Raises `ConfigError`."""
    file = config.DeliveryTLSCAFile
    try:
        return Tls.of(config.DeliveryTLS, file)
    except OSError as error:
        raise ConfigError(
            [config.problem("DeliveryTLSCAFile", f"DeliveryTLSCAFile {file}: {error}")]
        ) from error
