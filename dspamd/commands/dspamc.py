"""dspamc: hands a message to the daemon and shows what became of it.

Takes the options of `dspam`, reads the message from standard input and talks to
the daemon at ClientHost (a socket path, or a host with ClientPort) in its own
dialect of LMTP (reference/protocols.md 3).  Over the network ClientIdent is our
password; a socket needs none, for there the daemon asks the kernel which account is
calling.  The daemon checks the options and does all the work; its refusal is our usage
error.  Nothing is printed that was not asked for; trouble is one line on standard error.

Exit status: 0 done; 1 wrong usage or empty message; 69 refused for good; 75 try
again, which includes a daemon that is down and a configuration that is wrong,
because the mail server then keeps the mail; 99 spam, with `Broken returnCodes`
(a failure wins over spam).  `StrictCompatibility on` gives the numbers of 3.10.2:
22, 251, 255 and below.

The program starts once per message, so start-up is its cost: it uses `_socket`
(`socket` alone doubles the start), no argparse, and `dspamd.settings` instead of
the option table.
"""

from __future__ import annotations

import _socket
import os
import sys
import time
from itertools import chain

from dspamd import words
from dspamd.settings import Settings, config_path
from dspamd.words import Item

TYPE_CHECKING = False  # typing takes too long to load
if TYPE_CHECKING:
    from collections.abc import Iterator

COMMAND_TIMEOUT_S = 300.0
RESULT_TIMEOUT_S = 1200.0  # the daemon waits for the next hop before it answers
CHUNK = 65536
BY_ACCOUNT = "dspamc"  # how we greet a daemon that is to ask the kernel who we are


class Trouble(Exception):
    """Why it did not work, with our exit status and that of 3.10.2."""

    def __init__(self, text: str, status: int = os.EX_TEMPFAIL, classic: int = 251) -> None:
        super().__init__(text)
        self.status = status
        self.classic = classic


def usage(text: str) -> Trouble:
    return Trouble(text, status=1, classic=1)


# -- the dialogue


class Daemon:
    """A connection to the daemon: lines in, bytes out, each under a deadline."""

    def __init__(self, host: str, port: str) -> None:
        self._pending = b""
        try:
            self._socket = _connect(host, port)
        except OSError as error:
            where = host if host.startswith("/") else f"{host}:{port}"
            text = f"cannot connect to {where}: {error.strerror or error}"
            if isinstance(error, PermissionError):
                text += " (its group, or SocketMode of the daemon, says who may)"
            raise Trouble(text) from None

    def send(self, data: bytes) -> None:
        try:
            self._socket.settimeout(COMMAND_TIMEOUT_S)
            self._socket.sendall(data)
        except OSError as error:
            raise Trouble(f"connection to the daemon lost: {error.strerror or error}") from None

    def line(self, timeout_s: float = COMMAND_TIMEOUT_S) -> bytes:
        """The next line with its end; raises Trouble if there is none."""
        deadline = time.monotonic() + timeout_s
        parts = []
        while not (end := self._pending.find(b"\n") + 1):
            parts.append(self._pending)
            self._pending = self._receive(deadline)
        parts.append(self._pending[:end])
        self._pending = self._pending[end:]
        return b"".join(parts)

    def _receive(self, deadline: float) -> bytes:
        try:
            self._socket.settimeout(max(0.001, deadline - time.monotonic()))
            data = self._socket.recv(CHUNK)
        except OSError as error:
            raise Trouble(f"no answer from the daemon: {error.strerror or error}") from None
        if not data:
            raise Trouble("the daemon closed the connection")
        return data

    def reply(self, first: bytes = b"", timeout_s: float = COMMAND_TIMEOUT_S) -> list[str]:
        """The lines of one reply, `first` read already, without their ends."""
        lines = [_text(first or self.line(timeout_s))]
        while lines[-1][3:4] == "-":
            lines.append(_text(self.line(timeout_s)))
        return lines

    def ask(self, command: str) -> list[str]:
        self.send(os.fsencode(command) + b"\r\n")
        return self.reply()

    def quit(self) -> None:
        """Take leave; what happens to it does not matter any more."""
        try:
            self.send(b"QUIT\r\n")
            self.line(5.0)
        except Trouble:
            pass
        self._socket.close()


def _connect(host: str, port: str) -> _socket.socket:
    if host.startswith("/"):
        connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        connection.settimeout(COMMAND_TIMEOUT_S)
        connection.connect(host)
        return connection
    trouble: OSError = OSError("no address")
    for family, kind, protocol, _, address in _socket.getaddrinfo(host, port, 0, _socket.SOCK_STREAM):
        connection = _socket.socket(family, kind, protocol)
        connection.settimeout(COMMAND_TIMEOUT_S)
        try:
            connection.connect(address)
            connection.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
            return connection
        except OSError as error:
            connection.close()
            trouble = error
    raise trouble


def _text(line: bytes) -> str:
    return os.fsdecode(line).rstrip("\r\n")


def open_message(daemon: Daemon, ident: str, options: str, users: list[str]) -> bool:
    """The dialogue up to 354.  Returns whether output will come dot-stuffed, with CR LF.

    Without an ident the daemon is to know us by our account.
    """
    name = ident.partition("@")[2] or BY_ACCOUNT
    while not daemon.reply()[-1].startswith("220"):
        continue
    features = daemon.ask(f"LHLO {name}")
    if not features[-1].startswith("250"):
        raise Trouble(features[-1])
    offers = [line[4:] for line in features]
    if "DSPAMPROCESSMODE" not in offers:
        # Without it the daemon would take a correction for new mail and deliver it.
        raise Trouble(f"Authentication rejected: the daemon knows no client {name}")
    stuffed = "DSPAMSTUFFED" in offers
    asked = " DSPAMSTUFFED" if stuffed else ""
    answer = daemon.ask(f'MAIL FROM: <{ident}> DSPAMPROCESSMODE="{options}"{asked}')[-1]
    if not answer.startswith("250"):
        raise Trouble(f"Authentication rejected: {answer}")
    for user in users:
        answer = daemon.ask(f"RCPT TO: <{user}>")[-1]
        if not answer.startswith("250"):
            raise Trouble(answer, os.EX_UNAVAILABLE if answer.startswith("5") else os.EX_TEMPFAIL)
    answer = daemon.ask("DATA")[-1]
    if not answer.startswith("354"):
        raise usage(answer) if answer.startswith("5") else Trouble(answer)
    return stuffed


def send_message(daemon: Daemon, pieces: Iterator[bytes]) -> None:
    """Send the message with CR LF, dot-stuffed, piece by piece."""
    start = True  # the next byte begins a line
    for piece in pieces:
        if start and piece.startswith(b"."):
            daemon.send(b".")
        start = piece.endswith(b"\n")
        lines = piece.replace(b"\r\n", b"\n").replace(b"\n.", b"\n..")
        daemon.send(lines.replace(b"\n", b"\r\n"))
    daemon.send(b".\r\n" if start else b"\r\n.\r\n")


# -- the result


def show_output(daemon: Daemon, first: bytes, *, stuffed: bool) -> bool:
    """Copy the daemon's output to standard output with LF; returns whether it says spam.

    A daemon without DSPAMSTUFFED sends a line with a lone dot as it is, but with LF
    alone; only the end of the output has CR LF.
    """
    spam = first.startswith(b"X-Daemon-Classification: SPAM")
    line = daemon.line() if first.startswith(b"X-Daemon-Classification: ") else first
    out = sys.stdout.buffer
    while line != b".\r\n":
        spam = spam or (line.startswith(b"X-DSPAM-Result: ") and b'; result="Spam"; ' in line)
        if stuffed and line.startswith(b"."):
            line = line[1:]
        out.write(line[:-2] + b"\n" if line.endswith(b"\r\n") else line)
        line = daemon.line()
    out.flush()
    return spam


def read_replies(daemon: Daemon, first: bytes, users: int, refused: int) -> bool:
    """One reply per user; returns whether one says spam.

    Raises Trouble if any failed, with the status `refused` if all of these did for good.
    """
    replies = [daemon.reply(first)[-1]]
    replies += [daemon.reply(timeout_s=RESULT_TIMEOUT_S)[-1] for _ in range(users - 1)]
    failed = [reply for reply in replies if not reply.startswith("250")]
    if failed:
        final = all(reply.startswith("5") for reply in failed)
        raise Trouble("; ".join(failed), refused if final else os.EX_TEMPFAIL, classic=256 - len(failed))
    return any(reply.endswith(": SPAM") for reply in replies)


def read_result(daemon: Daemon, refused: int, users: int, *, stuffed: bool) -> bool:
    """What became of the message: output, replies, or both; returns whether it is spam."""
    first = daemon.line(RESULT_TIMEOUT_S)
    # Output begins with a header line, a reply with its code.
    if first[:3].isdigit() and first[3:4] in (b" ", b"-"):
        return read_replies(daemon, first, users, refused)
    spam = show_output(daemon, first, stuffed=stuffed)
    if stuffed:
        # An old daemon does not tell of users that failed if others have output.
        spam |= read_replies(daemon, daemon.line(), users, refused)
    return spam


# -- the program


def message_pieces() -> Iterator[bytes]:
    """Standard input as it comes; no CR is cut off from its LF."""
    while piece := os.read(0, CHUNK):
        while piece.endswith(b"\r") and (more := os.read(0, CHUNK)):
            piece += more
        yield piece


def check_caller(items: list[Item], settings: Settings) -> list[Item]:
    """The options that this caller may use; an untrusted one asks for himself only."""
    uid = os.getuid()
    if uid == 0 or not settings.flag("TrustedUserSecurity", "on"):
        return items
    import pwd

    try:
        login = pwd.getpwuid(uid).pw_name
    except KeyError:
        raise usage("Unable to determine the runtime user") from None
    if settings.matches("Trust", login):
        return items
    if problem := words.untrusted(items, login, uid):
        raise usage(problem)
    return [("user", login), *(item for item in items if item[0] not in ("user", "rcpt-to", ""))]


def addressed_user(settings: Settings, beginning: bytes) -> list[str]:
    """The retraining address in the message, which the daemon knows for one (protocols.md 6)."""
    if not settings.flag("ParseToHeaders"):
        return []
    # Only mail to a retraining address, with no user on the command line, pays for these.
    from pathlib import Path

    from dspamd.config import Config
    from dspamd.jobs import unnamed
    from dspamd.mail.message import Message

    return list(unnamed(Config.load(Path(settings.path)), Message(beginning)))


def run(items: list[Item], settings: Settings) -> int:
    """One message; returns the exit status of success.  Raises Trouble."""
    items = check_caller(items, settings)
    host, ident = settings.text("ClientHost"), settings.text("ClientIdent")
    by_account = host.startswith("/") and not ident and not settings.flag("StrictCompatibility")
    if not host or not (by_account or "@" in ident):
        raise Trouble("Invalid client configuration: ClientHost and ClientIdent are needed", classic=22)
    users = words.values(items, "user")
    if not users and not settings.flag("ParseToHeaders"):
        raise usage("Unable to determine the destination user")
    # With a signature there is no message, and two line ends stand for it.
    pieces = iter((b"\n\n",)) if words.values(items, "signature") else message_pieces()
    beginning = next(pieces, b"")
    if not beginning:
        raise usage("empty message (no data received)")
    users = users or addressed_user(settings, beginning)
    if not users:
        raise usage("Unable to determine the destination user")
    if any(character in user for user in users for character in "\r\n<>"):
        raise usage("Illegal username")
    try:
        options = words.join(items)
    except ValueError as error:
        raise usage(str(error)) from None
    refused = os.EX_UNAVAILABLE
    if "error" in words.values(items, "source"):
        refused = int(settings.text("CorrectionFailureExit", "1"))
    daemon = Daemon(host, settings.text("ClientPort", "24"))
    try:
        stuffed = open_message(daemon, ident, options, users)
        send_message(daemon, chain((beginning,), pieces))
        spam = read_result(daemon, refused, len(users), stuffed=stuffed)
    finally:
        daemon.quit()
    return 99 if spam and settings.matches("Broken", "returnCodes") else 0


def show_version(settings: Settings) -> None:
    parameters = words.parameters(
        settings.text("Home"),
        settings.text("StorageDriver"),
        settings.path,
        settings.text("DirectoryLayout").lower(),
    )
    sys.stdout.write(words.version(parameters))


def main(arguments: list[str] | None = None) -> int:
    """Run the program, by default with the words of its command line; returns the exit status."""
    settings = None
    try:
        items = words.divide(sys.argv[1:] if arguments is None else arguments)
        if words.values(items, "help"):
            sys.stderr.write(words.SYNTAX)
            return 0
        path = config_path()
        try:
            settings = Settings(path)
        except OSError as error:
            from dspamd.trouble import explained  # which costs every start

            raise Trouble(explained(error, path)) from None
        if words.values(items, "version"):
            show_version(settings)
            return 0
        return run(items, settings)
    except Trouble as trouble:
        sys.stderr.write(f"dspamc: {trouble}\n")
        return trouble.classic if settings and settings.flag("StrictCompatibility") else trouble.status
    except OSError as error:  # standard input or output broke
        sys.stderr.write(f"dspamc: {error.strerror or error}\n")
        return os.EX_TEMPFAIL
    except Exception as error:  # a bug of ours must not return anybody's mail
        sys.stderr.write(f"dspamc: {type(error).__name__}: {error}\n")
        return os.EX_TEMPFAIL


if __name__ == "__main__":
    sys.exit(main())
