"""DLMTP: the additions of dspamc's protocol to LMTP.

dspamc logs in with every message: the address of MAIL is `password@ident`, and
`DSPAMPROCESSMODE="..."` after it carries the words of its command line.  Through a unix
socket it needs no password: it greets as `BY_ACCOUNT`, its address is empty, and the kernel
names its account, which decides for whom it may act.  The server sends the output that the
command line asks for in place of the replies, and ends it with a line that holds a lone dot
(reference/protocols.md 3).

A client that waits for output always gets its end, even without any output (`without_output`).

DSPAM sends that output with LF line ends and without dot-stuffing, so it cuts a message with
a lone dot short.  Its clients rely on the form, so they get it unchanged.  A client that saw
`DSPAMSTUFFED` among our capabilities may put that word after MAIL's address.  It then gets
CR LF and dot-stuffing, and the replies after the output.  Otherwise the client could not
learn that one of two users' mails was shown and the other could not be delivered.

Pure: bytes in, values out.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from dspamd.errors import Reply
from dspamd.mail.transparency import PIECE, stuffed
from dspamd.request.command_line import divide, split, values
from dspamd.server.command import Path, SyntaxFault, mail_path, rcpt_path

CAPABILITY = b"DSPAMSTUFFED"
BY_ACCOUNT = b"dspamc"

_REPLY_LINE = 512
"""Bytes of a reply with its end (RFC 5321 4.5.3.1.5)."""

_OPTIONS = re.compile(rb'DSPAMPROCESSMODE="((?:[^"\\]|\\.)*)"', re.IGNORECASE)


class Login(NamedTuple):
    """The parameters of dspamc in MAIL: its ident, its command line, the form of its output."""

    password: bytes
    ident: bytes
    options: str
    stuffed: bool


def login(argument: bytes) -> Login:
    """Read the argument of MAIL.  Raises `SyntaxFault`."""
    match = _OPTIONS.search(argument)
    options = b""
    if match:
        options = match[1].replace(b'\\"', b'"')
        argument = argument[: match.start()].rstrip(b" ") + argument[match.end() :]
    path = mail_path(argument)
    words = [parameter.upper() for parameter in path.parameters]
    if any(word.startswith(b"DSPAMPROCESSMODE") for word in words):
        # The quote is missing or never closed; without the options we would treat the message wrongly.
        raise SyntaxFault("5.5.4", 'Invalid DSPAMPROCESSMODE. Use DSPAMPROCESSMODE="options"')
    password, _, ident = path.address.partition(b"@")
    return Login(password, ident, options.decode("utf-8", "surrogateescape"), CAPABILITY in words)


def is_known(ident: bytes, passwords: Mapping[str, str], *, local: bool = False) -> bool:
    """Whether `ident` is a known client: a key of `passwords`, in any case, or an account (`local`)."""
    return (local and ident == BY_ACCOUNT) or ident.decode("utf-8", "surrogateescape").lower() in passwords


def is_admitted(login: Login, passwords: Mapping[str, str], *, local: bool = False) -> bool:
    """Whether the password is that of the ident (`ServerPass.<ident>`); `local` clients need none."""
    if local and not login.password and not login.ident:
        return True
    expected = passwords.get(login.ident.decode("utf-8", "surrogateescape").lower())
    return expected is not None and hmac.compare_digest(
        login.password, expected.encode("utf-8", "surrogateescape")
    )


def user_path(argument: bytes) -> Path:
    """Read the argument of RCPT, which names a user here.  Raises `SyntaxFault`."""
    path = rcpt_path(argument)
    if path.address.startswith(b"-"):
        # A user that looks like an option; the original refuses it, too.
        raise SyntaxFault("5.1.3", "Invalid RCPT TO. Use RCPT TO: <recipient>")
    return path


def without_output(options: str, written: Callable[[Reply], bytes]) -> tuple[Callable[[Reply], bytes], bytes]:
    """The replies in a form that ends the wait of an old client for output: each of them, and the end.

    Its options decide what it reads (protocols.md 3.2), and it would never stop waiting:

    * a verdict: every line is shown, up to the lone dot;
    * the mail: a line `250 ...` says that none comes; the client exits with 251.  It drops any other
      line, and goes on to the lone dot.  If that came at once, it would print an empty mail.
    """
    items = divide(split(options))
    delivered = [name for value in values(items, "deliver") for name in value.split(",")]

    def short(reply: Reply) -> bytes:
        return written(reply)[: _REPLY_LINE - 2].rstrip(b"\r\n") + b"\r\n"

    def none_comes(reply: Reply) -> bytes:
        return short(reply if reply.code == 250 else Reply(250, "2.0.0", f"Nothing to print: {reply}"))

    if values(items, "classify") or "summary" in delivered:
        return short, b".\r\n"
    if values(items, "stdout") or "stdout" in delivered:
        return none_comes, b""
    return written, b""


def output_phase(output: bytes, stuffing: bool) -> Iterator[bytes]:
    """`output` as the client reads it, in pieces, with its end."""
    if stuffing:
        yield from stuffed(output)
    else:
        for start in range(0, len(output), PIECE):
            piece = output[start : start + PIECE]
            # A CR at the end of a piece may belong to a LF at the start of the next.
            if piece.endswith(b"\r") and output[start + PIECE : start + PIECE + 1] == b"\n":
                piece = piece[:-1]
            yield piece.replace(b"\r\n", b"\n")
        if not output.endswith(b"\n"):
            yield b"\n"
    yield b".\r\n"
