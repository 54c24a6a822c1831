"""Hand-over by SMTP or LMTP, over connections that are kept.

Addresses and content leave as they are: raw bytes, dot-stuffed, nothing folded,
requoted or re-encoded.  Parameters of the message leave if the next hop offers their extension;
SIZE is the size of what we send.  A message with SMTPUTF8 may go to a next hop without that
extension, unless an address needs it.

The meaning of a failure (reference/protocols.md 4.3):

* The next hop refuses, 4xx or 5xx: that is the answer, temporary or permanent.
* It is down, slow, closes, or talks nonsense: temporary, always.
* A kept connection turns out dead or out of step before we sent any of the message:
  we try one new connection.
* The next hop does not answer the final dot: temporary.  It may have taken the message; no
  protocol can tell, and a second copy is the lesser evil.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial

from aiosmtplib import SMTPResponse

from dspamd.delivery.connection import Connection, Deadlines, Refused, Target, Tls, connect
from dspamd.delivery.pool import Pool
from dspamd.delivery.replies import accepted, deferred, refusal, unwelcome
from dspamd.errors import PermFail, Reply, TempFail
from dspamd.filter.outlet import Handover
from dspamd.mail.transparency import stuffed
from dspamd.telemetry.metrics import Metrics

# The extension (RFC 6152, 6531, 3461, 4954) that allows a parameter.
MAIL_EXTENSIONS = {
    b"BODY": "8bitmime",
    b"SMTPUTF8": "smtputf8",
    b"RET": "dsn",
    b"ENVID": "dsn",
    b"AUTH": "auth",
}
RCPT_EXTENSIONS = {b"NOTIFY": "dsn", b"ORCPT": "dsn"}

_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")


class _StaleError(Exception):
    """A kept connection was dead."""


class SmtpDelivery:
    """Delivers to the host of the recipient's domain.

    `hosts` and `ports` map domains in lower case to `DeliveryHost.<domain>` and
    `DeliveryPort.<domain>`, independently of each other; the empty domain means
    all others.  A host that begins with `/` is a unix socket.  `ident` is
    our name in EHLO; `connections` the most to one target; `tls` encrypts them.
    """

    def __init__(
        self,
        hosts: Mapping[str, str],
        ports: Mapping[str, int],
        *,
        lmtp: bool = False,
        ident: str = "localhost",
        connections: int = 20,
        idle_s: float = 60,
        deadlines: Deadlines | None = None,
        tls: Tls | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self._hosts = hosts
        self._ports = ports
        self._lmtp = lmtp
        self._ident = ident
        self._connections = connections
        self._idle_s = idle_s
        self._deadlines = deadlines or Deadlines()
        self._tls = tls
        self._counted = (metrics or Metrics()).delivery_connections
        self._pools: dict[Target, Pool] = {}

    async def deliver(self, handover: Handover) -> Reply:
        """Hand over and return the next hop's reply.  Raises `TempFail`, `PermFail`."""
        target = self._target(handover.recipient)
        pool = self._pool(target)
        try:
            async with pool.slot(self._deadlines.command):
                return await self._hand_over(target, pool, handover)
        except TimeoutError:
            raise deferred("the next hop is busy with other messages") from None

    async def close(self) -> None:
        """Close the connections that wait for the next message."""
        for pool in self._pools.values():
            pool.close()
        self._pools.clear()

    def _target(self, recipient: bytes) -> Target:
        _, at, name = recipient.rpartition(b"@")
        domain = name.decode("utf-8", "surrogateescape").lower() if at else ""
        host = self._hosts.get(domain) or self._hosts.get("")
        if not host:
            # The fault of our configuration; the mail should not suffer for it.
            raise deferred(f"no DeliveryHost for {domain or 'local users'}")
        return Target(host, self._ports.get(domain) or self._ports.get("", 24))

    def _pool(self, target: Target) -> Pool:
        if target not in self._pools:
            new = partial(connect, target, self._ident, self._lmtp, self._deadlines, self._tls)
            self._pools[target] = Pool(new, self._connections, self._idle_s, self._counted)
        return self._pools[target]

    async def _hand_over(self, target: Target, pool: Pool, handover: Handover) -> Reply:
        kept = pool.reuse()
        if kept is not None:
            try:
                return await self._converse(pool, kept, handover)
            except _StaleError:
                pass
        try:
            connection = await pool.connect()
        except Refused as error:
            raise unwelcome(error.command, error.reply) from error
        except (OSError, UnicodeError) as error:
            # UnicodeError: a host name that no DNS query can be made of.
            detail = f"{target}: {error}"
            raise TempFail(
                "Unable to connect to server", detail=detail, code=450, reason="unreachable"
            ) from error
        return await self._converse(pool, connection, handover)

    async def _converse(self, pool: Pool, connection: Connection, handover: Handover) -> Reply:
        """Send a message over a connection, and keep that if it is in order afterwards."""
        try:
            await _open(connection, handover)
            verdict = await _send(connection, handover.content)
        except (TempFail, PermFail):
            pool.keep(connection)
            raise
        except BaseException:
            connection.abort()
            raise
        pool.keep(connection)
        if verdict.code >= 400:
            raise refusal(verdict)
        return accepted(verdict)


async def _open(connection: Connection, handover: Handover) -> None:
    """Send everything up to the go-ahead for DATA.  Raises `_StaleError`, `TempFail`, `PermFail`."""
    commands = [_mail(connection.offers, handover), _rcpt(connection.offers, handover), b"DATA"]
    if any(map(_CONTROL.search, commands)):
        raise PermFail("Fatal: control character in an address", enhanced="5.1.3")
    try:
        xforward = _xforward(connection.offers, handover.xforward)
        if xforward:
            await connection.commands(*xforward)  # useful, but no reason to refuse mail
        replies = await connection.commands(*commands)
    except TimeoutError:
        connection.abort()
        raise deferred("no answer") from None
    except ConnectionError as error:
        if connection.used:
            raise _StaleError from error
        raise deferred(str(error)) from error
    if connection.used and replies[0].code == 421:
        raise _StaleError
    refused = next((reply for reply in replies if reply.code >= 400), None)
    if refused is not None:
        await _back_out(connection, replies)
        raise refusal(refused)


async def _back_out(connection: Connection, replies: list[SMTPResponse]) -> None:
    """End a refused transaction, so that the next one can begin."""
    if replies[-1].code == 354:
        # It takes a message without sender or recipient: only leaving is safe.
        connection.abort()
        return
    try:
        (reply,) = await connection.commands(b"RSET")
    except (ConnectionError, TimeoutError):
        connection.abort()
    else:
        if reply.code >= 400:
            connection.abort()


async def _send(connection: Connection, content: bytes) -> SMTPResponse:
    """Send the message; returns the reply of the next hop.  Raises `TempFail`."""
    try:
        await connection.data(stuffed(content))
    except (ConnectionError, TimeoutError) as error:
        last_words = connection.said()
        connection.abort()
        if last_words is not None and last_words.code >= 400:
            return last_words
        raise TempFail("Packet send failure", detail=str(error), code=450, reason="broken") from error
    try:
        return await connection.end_data()
    except TimeoutError:
        connection.abort()
        raise deferred("no answer") from None
    except ConnectionError as error:
        raise deferred(str(error)) from error


def _mail(offers: Mapping[str, str], handover: Handover) -> bytes:
    """The MAIL command.  Raises `PermFail` if an address can't pass the next hop at all."""
    parameters = _offered(handover.mail_parameters, MAIL_EXTENSIONS, offers)
    if "smtputf8" not in offers and b"SMTPUTF8" in map(bytes.upper, handover.mail_parameters):
        if not (handover.sender.isascii() and handover.recipient.isascii()):
            raise PermFail("Fatal: the next hop does not offer SMTPUTF8", enhanced="5.6.7")
        # Postfix says SMTPUTF8 whenever a mail may need it; for a server without it, UTF-8 in header
        # fields is 8-bit text, and arrives unharmed.
        if "8bitmime" in offers and not handover.content.isascii():
            parameters = [each for each in parameters if not each.upper().startswith(b"BODY=")]
            parameters.append(b"BODY=8BITMIME")
    if "size" in offers:
        parameters.insert(0, b"SIZE=%d" % len(handover.content))
    return b" ".join([b"MAIL FROM:<" + handover.sender + b">", *parameters])


def _rcpt(offers: Mapping[str, str], handover: Handover) -> bytes:
    parameters = _offered(handover.rcpt_parameters, RCPT_EXTENSIONS, offers)
    return b" ".join([b"RCPT TO:<" + handover.recipient + b">", *parameters])


def _offered(
    parameters: tuple[bytes, ...], extensions: Mapping[bytes, str], offers: Mapping[str, str]
) -> list[bytes]:
    """The parameters whose extension the next hop offers; those in UTF-8 need SMTPUTF8 (RFC 6533 3)."""
    return [
        parameter
        for parameter in parameters
        if extensions.get(parameter.partition(b"=")[0].upper()) in offers
        and (parameter.isascii() or "smtputf8" in offers)
    ]


def _xforward(offers: Mapping[str, str], attributes: Mapping[str, str]) -> list[bytes]:
    """An XFORWARD command for each attribute that the next hop offers, to keep lines short."""
    wanted = offers.get("xforward", "").upper().split()
    return [
        f"XFORWARD {name}={value}".encode("ascii", "replace")
        for name, value in attributes.items()
        if name in wanted
    ]
