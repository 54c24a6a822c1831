"""The LMTP dialogue without a socket: command lines in, replies out.

LMTP (RFC 2033) and, for clients that have a password, DLMTP (dlmtp.py).  The replies
follow reference/protocols.md 2, with DSPAM's words where that quotes them, because site
scripts match on them.

A dialogue promises exactly one reply for each accepted recipient after DATA, whatever
became of the message (RFC 2033 4.2): only `answered` writes these replies, and an `Answer`
has one for each recipient.

It reads no bytes itself: `receiving` says that a message follows, `delayed` that
the client has failed to log in too often, `closed` that the client has left.
"""

from __future__ import annotations

import enum
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

from dspamd.errors import Reply
from dspamd.request.envelope import Envelope, Recipient
from dspamd.server import dlmtp
from dspamd.server.command import (
    XFORWARD_ATTRIBUTES,
    SyntaxFault,
    declared_size,
    mail_path,
    rcpt_path,
    xforward_attributes,
)
from dspamd.server.filter import Answer, Caller, Filter

LOGIN_ATTEMPTS = 3

START_INPUT = b'354 Enter mail, end with "." on a line by itself\r\n'
TOO_LARGE = Reply(552, "5.3.4", "Message size exceeds fixed limit")

_BREAKS = re.compile(r"[\x00-\x1f\x7f]+")


class ServerMode(enum.Enum):
    """The clients that we serve (`ServerMode`): dspamc alone, mail servers alone, or both."""

    DSPAM = "dspam"
    STANDARD = "standard"
    AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Terms:
    """The name and limits of a server, and the clients that may speak DLMTP.

    `passwords` maps idents in lower case to passwords; `size_limit` is in bytes
    of the message, 0 for any.
    """

    mode: ServerMode
    version: str
    ident: str = "localhost.localdomain"
    passwords: Mapping[str, str] = field(default_factory=dict)
    size_limit: int = 0
    recipient_limit: int = 1000


@dataclass(slots=True)
class Transaction:
    """The arguments of MAIL and RCPT; `options` is None for standard LMTP."""

    sender: bytes = b""
    parameters: tuple[bytes, ...] = ()
    recipients: list[Recipient] = field(default_factory=list)
    options: str | None = None
    stuffed: bool = False


def written(reply: Reply) -> bytes:
    """A reply as one line; no text can break out of the line."""
    text = _BREAKS.sub(" ", str(reply))
    return text.encode("utf-8", "surrogateescape") + b"\r\n"


class Dialogue:
    """One connection's state, from the greeting to QUIT; `caller` as in `Filter`."""

    def __init__(self, terms: Terms, filter: Filter) -> None:
        self.caller: Caller | None = None
        self.receiving = False
        self.delayed = False
        self.closed = False
        self.transaction: Transaction | None = None
        self._terms = terms
        self._filter = filter
        self._greeted = False
        self._dlmtp = terms.mode is ServerMode.DSPAM
        self._failures = 0
        self._attributes: dict[str, str] = {}

    def greeting(self) -> bytes:
        version = self._terms.version
        if self._dlmtp:
            return f"220 DSPAM DLMTP {version} Authentication Required\r\n".encode()
        return f"220 DSPAM LMTP {version} Ready\r\n".encode()

    def command(self, line: bytes) -> bytes:
        """Carry out one command line; the reply, with its line end."""
        verb, _, argument = line.strip().partition(b" ")
        try:
            return self._carry_out(verb.upper(), argument)
        except SyntaxFault as fault:
            return written(fault.reply)

    def envelope(self, content: bytes) -> Envelope:
        """The transaction with its message."""
        transaction = self._open()
        return Envelope(
            transaction.sender,
            tuple(transaction.recipients),
            content,
            transaction.parameters,
            dict(self._attributes),
        )

    async def answered(self, answer: Answer) -> AsyncIterator[bytes]:
        """The replies or the output for a message, each as soon as it is known; ends the transaction.

        Raises `RuntimeError` if the answer is not for our recipients.
        """
        transaction = self._open()
        if len(answer) != len(transaction.recipients):
            raise RuntimeError(f"{len(answer)} replies for {len(transaction.recipients)} recipients")
        output = b"" if transaction.options is None else await answer.output()
        if output:
            for piece in dlmtp.output_phase(output, transaction.stuffed):
                yield piece
        if not output or transaction.stuffed:
            old = transaction.options is not None and not transaction.stuffed
            write, end = dlmtp.without_output(transaction.options or "", written) if old else (written, b"")
            async for replies in answer.replies():
                yield b"".join(map(write, replies))
            yield end
        self._reset()

    def refused(self, reply: Reply) -> AsyncIterator[bytes]:
        """The replies for a message that was not processed; ends the transaction."""
        answer = Answer(len(self._open().recipients))
        answer.finish(reply)
        return self.answered(answer)

    def _carry_out(self, verb: bytes, argument: bytes) -> bytes:
        match verb:
            case b"LHLO":
                return self._lhlo(argument)
            case b"XFORWARD":
                return self._xforward(argument)
            case b"MAIL":
                return self._login(argument) if self._dlmtp else self._mail(argument)
            case b"RCPT":
                return self._rcpt(argument)
            case b"DATA":
                return self._data()
            case b"RSET":
                self._reset()
                return b"250 2.0.0 OK\r\n"
            case b"NOOP":
                return b"250 2.0.0 OK\r\n"
            case b"VRFY":
                return b"252 2.5.0 Send some mail and we will see\r\n"
            case b"HELP":
                return b"214 2.0.0 This is LMTP, see RFC 2033\r\n"
            case b"QUIT":
                self.closed = True
                return b"221 2.0.0 OK\r\n"
            case b"GET" | b"POST" | b"CONNECT" if not self._greeted:
                # A browser that a web page sent here: the rest of its request must not count as commands.
                self.closed = True
                return b"421 4.7.0 This is LMTP, not HTTP\r\n"
            case _:
                return self._misplaced()

    # The commands, in the order in which a client gives them.

    def _lhlo(self, argument: bytes) -> bytes:
        if self._greeted:
            return self._misplaced()
        self._greeted = True
        if self._terms.mode is ServerMode.AUTO:
            self._dlmtp = dlmtp.is_known(argument.strip(), self._terms.passwords, local=self._local)
        limit = self._terms.size_limit
        keywords = [
            self._terms.ident,
            "PIPELINING",
            "ENHANCEDSTATUSCODES",
            *(("DSPAMPROCESSMODE", dlmtp.CAPABILITY.decode()) if self._dlmtp else ()),
            "8BITMIME",
            "SMTPUTF8",
            "XFORWARD " + " ".join(XFORWARD_ATTRIBUTES),
        ]
        # dspamc takes "250 " for the end and has always seen SIZE there.
        last = f"250 SIZE {limit}\r\n" if limit else "250 SIZE\r\n"
        return ("".join(f"250-{keyword}\r\n" for keyword in keywords) + last).encode()

    def _xforward(self, argument: bytes) -> bytes:
        if not self._greeted or self.transaction is not None:
            return self._misplaced()
        self._attributes.update(xforward_attributes(argument))
        return b"250 2.0.0 OK\r\n"

    def _mail(self, argument: bytes) -> bytes:
        if not self._greeted or self.transaction is not None:
            return self._misplaced()
        path = mail_path(argument)
        if 0 < self._terms.size_limit < declared_size(path.parameters):
            return written(TOO_LARGE)
        self.transaction = Transaction(path.address, path.parameters)
        return b"250 2.1.0 OK\r\n"

    def _login(self, argument: bytes) -> bytes:
        if not self._greeted or self.transaction is not None:
            return self._misplaced()
        login = dlmtp.login(argument)
        if not dlmtp.is_admitted(login, self._terms.passwords, local=self._local):
            self._failures += 1
            self.delayed = self._failures >= LOGIN_ATTEMPTS
            return b"503 5.1.0 Authentication Required\r\n"
        # The address was the password; the sender, if any, is among the options.
        self.transaction = Transaction(options=login.options, stuffed=login.stuffed)
        return b"250 2.1.0 OK\r\n"

    def _rcpt(self, argument: bytes) -> bytes:
        if self.transaction is None:
            return self._misplaced()
        if len(self.transaction.recipients) >= self._terms.recipient_limit:
            return b"452 4.5.3 Too many recipients\r\n"
        path = dlmtp.user_path(argument) if self._dlmtp else rcpt_path(argument)
        self.transaction.recipients.append(Recipient(path.address, path.parameters))
        return b"250 2.1.5 OK\r\n"

    def _data(self) -> bytes:
        if self.transaction is None:
            return self._misplaced()
        if not self.transaction.recipients:
            return b"554 5.1.1 Unable to determine the destination user\r\n"
        refusal = self._filter.check(self.transaction.recipients, self.transaction.options, self.caller)
        if refusal is not None:
            return written(refusal)
        self.receiving = True
        return START_INPUT

    def _misplaced(self) -> bytes:
        """The answer to an unknown or misplaced command: which command we expect."""
        if not self._greeted:
            return b"503 5.0.0 Need LHLO here.\r\n"
        if self.transaction is None:
            return b"503 5.0.0 Need MAIL FROM here.\r\n"
        if not self.transaction.recipients:
            return b"503 5.0.0 Need RCPT TO here.\r\n"
        return b"503 5.0.0 Need DATA here.\r\n"

    @property
    def _local(self) -> bool:
        """Whether the client came through a unix socket, so that the kernel knows its account."""
        return self.caller is not None

    def _open(self) -> Transaction:
        if self.transaction is None:
            raise RuntimeError("no transaction is open")
        return self.transaction

    def _reset(self) -> None:
        # XFORWARD is about one message; Postfix sends it again for the next.
        self.transaction = None
        self.receiving = False
        self._attributes = {}
