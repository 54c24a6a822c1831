"""The client's side of DLMTP, the daemon's own dialect of LMTP (reference/protocols.md 3).

`dspamc` starts once per message and must start fast: this module uses `_socket`, because `socket`
alone doubles the time of the start.
"""

from __future__ import annotations

import _socket
import errno
import os
import time
from select import POLLIN, POLLOUT

from dspamd.commands.complaint import Trouble, WrongUsage
from dspamd.commands.interruption import Interruption
from dspamd.commands.spool import CHUNK, Spool

TYPE_CHECKING = False  # typing takes too long to load
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

COMMAND_TIMEOUT_S = 300.0
RESULT_TIMEOUT_S = 1200.0  # the daemon waits for the next hop before it answers
RETRY_S = 0.05
BY_ACCOUNT = "dspamc"  # how we greet a daemon that is to ask the kernel who we are
LONGEST_LINE = 1 << 16  # bytes of a reply

END = b"\n.\r\n"
"""The end of the output, after the text of its last line."""


class Daemon:
    """A connection to the daemon: lines in, bytes out, each under a deadline, until a signal comes."""

    def __init__(self, host: str, port: str, interruption: Interruption) -> None:
        self._pending = b""
        self._lost = False
        self._interruption = interruption
        try:
            self._socket = _connect(host, port, interruption)
        except OSError as error:
            where = host if host.startswith("/") else f"{host}:{port}"
            text = f"cannot connect to {where}: {error.strerror or error}"
            if isinstance(error, PermissionError):
                text += " (its group, or SocketMode of the daemon, says who may)"
            raise Trouble(text) from None

    def send(self, data: bytes) -> None:
        deadline = time.monotonic() + COMMAND_TIMEOUT_S
        left = memoryview(data)
        try:
            while left:
                self._wait(POLLOUT, deadline)
                try:
                    left = left[self._socket.send(left) :]
                except BlockingIOError:
                    continue
        except OSError as error:
            self._lost = True
            raise Trouble(f"connection to the daemon lost: {error.strerror or error}") from None

    def line(self, timeout_s: float = 0) -> bytes:
        """The next line with its end; raises Trouble if there is none."""
        deadline = time.monotonic() + (timeout_s or COMMAND_TIMEOUT_S)
        while not (end := self._pending.find(b"\n") + 1):
            if len(self._pending) > LONGEST_LINE:
                raise Trouble("the daemon sent a line without end")
            self._pending += self._receive(deadline)
        line, self._pending = self._pending[:end], self._pending[end:]
        return line

    def output(self, first: bytes, *, stuffed: bool) -> Iterator[bytes]:
        """The output that begins with the line `first`, with LF, piece by piece to its end.

        A daemon without DSPAMSTUFFED sends a line with a lone dot as it is, but with LF
        alone; only the end of the output has CR LF.
        """
        data = b"\n" + first + self._pending  # its first byte is the one before the next piece
        while (end := data.find(END)) < 0:
            # Yield complete lines; the last byte of an endless line may be half a line end.
            cut = data.rfind(b"\n") + 1 or 1
            if cut == 1 and len(data) > LONGEST_LINE:
                cut = len(data) - 1
            yield _plain(data[:cut], stuffed=stuffed)
            data = data[cut - 1 :] + self._receive(time.monotonic() + COMMAND_TIMEOUT_S)
        yield _plain(data[: end + 1], stuffed=stuffed)
        self._pending = data[end + len(END) :]

    def _receive(self, deadline: float) -> bytes:
        try:
            self._wait(POLLIN, deadline)
            data = self._socket.recv(CHUNK)
        except OSError as error:
            self._lost = True
            raise Trouble(f"no answer from the daemon: {error.strerror or error}") from None
        if not data:
            self._lost = True
            raise Trouble("the daemon closed the connection")
        return data

    def _wait(self, event: int, deadline: float) -> None:
        """Until the socket is ready.  Raises TimeoutError, and Trouble if a signal comes."""
        try:
            self._interruption.wait(self._socket.fileno(), event, deadline)
        except Trouble:
            self._lost = True
            raise

    def reply(self, first: bytes = b"", timeout_s: float = 0) -> list[str]:
        """The lines of one reply without their ends; `first` is a line that was read already."""
        lines = [_text(first or self.line(timeout_s))]
        while lines[-1][3:4] == "-":
            lines.append(_text(self.line(timeout_s)))
        return lines

    def ask(self, command: str) -> list[str]:
        self.send(os.fsencode(command) + b"\r\n")
        return self.reply()

    def quit(self) -> None:
        """Say QUIT and close; failures do not matter any more."""
        try:
            if not self._lost:
                self.send(b"QUIT\r\n")
                self.line(5.0)
        except Trouble:
            pass
        self._socket.close()


def _connect(host: str, port: str, interruption: Interruption) -> _socket.socket:
    if host.startswith("/"):
        return _connected(_socket.AF_UNIX, 0, host, interruption)
    trouble: OSError = OSError("no address")
    for family, _, protocol, _, address in _socket.getaddrinfo(host, port, 0, _socket.SOCK_STREAM):
        try:
            connection = _connected(family, protocol, address, interruption)
        except OSError as error:
            trouble = error
            continue
        connection.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
        return connection
    raise trouble


def _connected(
    family: int, protocol: int, address: str | tuple[object, ...], interruption: Interruption
) -> _socket.socket:
    """A connection that does not block.  Raises OSError."""
    connection = _socket.socket(family, _socket.SOCK_STREAM, protocol)
    connection.setblocking(False)
    deadline = time.monotonic() + COMMAND_TIMEOUT_S
    try:
        while (trouble := connection.connect_ex(address)) == errno.EAGAIN:
            # The queue of a unix socket is full, and nothing tells when it is not.
            if time.monotonic() > deadline:
                break
            interruption.pause(RETRY_S)
        if trouble == errno.EINPROGRESS:
            interruption.wait(connection.fileno(), POLLOUT, deadline)
            trouble = connection.getsockopt(_socket.SOL_SOCKET, _socket.SO_ERROR)
        if trouble:
            raise OSError(trouble, os.strerror(trouble))
    except BaseException:
        connection.close()
        raise
    return connection


def _text(line: bytes) -> str:
    return os.fsdecode(line).rstrip("\r\n")


def _plain(text: bytes, *, stuffed: bool) -> bytes:
    """Output after its first byte, with LF and without the dots of the transport."""
    text = text.replace(b"\r\n", b"\n")
    return (text.replace(b"\n.", b"\n") if stuffed else text)[1:]


# -- the dialogue


def open_message(daemon: Daemon, ident: str, options: str, users: list[str], recipients: str = "") -> bool:
    """The dialogue up to 354.  Returns whether the output will be dot-stuffed, with CR LF.

    Without an ident the daemon must know us by our account.  Only our own daemon gets the options
    `recipients`.
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
    options = recipients + options if stuffed else options
    answer = daemon.ask(f'MAIL FROM: <{ident}> DSPAMPROCESSMODE="{options}"{asked}')[-1]
    if not answer.startswith("250"):
        raise Trouble(f"Authentication rejected: {answer}")
    for user in users:
        answer = daemon.ask(f"RCPT TO: <{user}>")[-1]
        if not answer.startswith("250"):
            raise Trouble(answer, os.EX_UNAVAILABLE if answer.startswith("5") else os.EX_TEMPFAIL)
    answer = daemon.ask("DATA")[-1]
    if not answer.startswith("354"):
        raise WrongUsage(answer) if answer.startswith("5") else Trouble(answer)
    return stuffed


def send_message(daemon: Daemon, pieces: Iterable[bytes]) -> None:
    """Send the message with CR LF, dot-stuffed, piece by piece."""
    start = True  # the next byte begins a line
    half = b""  # a CR whose LF may follow
    for piece in pieces:
        lines = half + piece
        half = b"\r" if lines.endswith(b"\r") else b""
        lines = lines.removesuffix(half)
        if not lines:
            continue
        if start and lines.startswith(b"."):
            daemon.send(b".")
        start = lines.endswith(b"\n")
        lines = lines.replace(b"\r\n", b"\n").replace(b"\n.", b"\n..")
        daemon.send(lines.replace(b"\n", b"\r\n"))
    daemon.send(half + (b".\r\n" if start and not half else b"\r\n.\r\n"))


# -- the answer


class Answer:
    """The daemon's answer to a message: the output, and whether it is spam."""

    def __init__(self) -> None:
        self.output = Spool()
        self.spam = False
        self.failed: list[str] = []  # replies
        self.refused = os.EX_UNAVAILABLE  # the exit status if all of these are permanent

    @property
    def trouble(self) -> Trouble | None:
        """The failure in the replies for the users, if any: temporary if one of them is."""
        if not self.failed:
            return None
        lasting = all(reply.startswith("5") for reply in self.failed)
        return Trouble(
            "; ".join(self.failed),
            self.refused if lasting else os.EX_TEMPFAIL,
            classic=256 - len(self.failed),
            # A size limit of the daemon, or an unknown signature, says nothing about the mail itself.
            final=lasting and (bool(self.output) or not all(map(_spares_the_mail, self.failed))),
        )


def _spares_the_mail(reply: str) -> bool:
    return reply.startswith(("552", "550 5.6.0"))


def read_answer(daemon: Daemon, users: int, *, stuffed: bool) -> Answer:
    """The daemon's answer: output, replies, or both.  Raises Trouble if it is incomplete."""
    answer = Answer()
    first = daemon.line(RESULT_TIMEOUT_S)
    # Output begins with a header line, a reply with its code.
    if first[:3].isdigit() and first[3:4] in (b" ", b"-"):
        _read_replies(daemon, first, users, answer)
        return answer
    _read_output(daemon, first, answer, stuffed=stuffed)
    if stuffed:
        # An old daemon does not report failed users if others have output.
        _read_replies(daemon, daemon.line(), users, answer)
    return answer


def _read_output(daemon: Daemon, first: bytes, answer: Answer, *, stuffed: bool) -> None:
    answer.spam = first.startswith(b"X-Daemon-Classification: SPAM")
    if first.startswith(b"X-Daemon-Classification: "):
        first = b""
    for piece in daemon.output(first, stuffed=stuffed):
        answer.spam = answer.spam or (b'; result="Spam"; ' in piece and _says_spam(piece))
        try:
            answer.output.write(piece)
        except OSError as error:
            raise Trouble(f"no room for the answer: {error.strerror or error}") from None


def _says_spam(text: bytes) -> bool:
    summaries = [line for line in text.split(b"\n") if line.startswith(b"X-DSPAM-Result: ")]
    return any(b'; result="Spam"; ' in summary for summary in summaries)


def _read_replies(daemon: Daemon, first: bytes, users: int, answer: Answer) -> None:
    """One reply per user."""
    replies = [daemon.reply(first)[-1]]
    replies += [daemon.reply(timeout_s=RESULT_TIMEOUT_S)[-1] for _ in range(users - 1)]
    answer.failed = [reply for reply in replies if not reply.startswith("250")]
    answer.spam = answer.spam or any(reply.endswith(": SPAM") for reply in replies)
