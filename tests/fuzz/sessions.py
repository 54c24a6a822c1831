"""Hostile sessions: bytes of a client that a grammar made and chance damaged.

A session is a few bursts of bytes.  The client sends a burst, reads the replies to it, and goes on;
so a burst of several commands is a pipeline, and the bytes after the end of a message may be
another transaction.  The same seed and number make the same session.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

SIZE_LIMIT = 200_000
"""Bytes of the largest message that the daemon takes; some are larger."""

_USERS = (b"ann", b"bob", b"no-such", b"later", b"-x", b"j\xc3\xbcrgen", b'"a b"', b"spam-ann", b"x" * 70)
_DOMAINS = (b"@example.org", b"@Example.ORG", b"", b"@[127.0.0.1]", b"@x.invalid")
_PARAMETERS = (
    b"BODY=8BITMIME", b"SMTPUTF8", b"SIZE=%d", b"RET=HDRS", b"ENVID=a+2Bb", b"AUTH=<>", b"X=\xff", b"=",
    b"SIZE=x",
)  # fmt: skip
_OPTIONS = (
    b"--deliver=innocent,spam", b"--deliver=summary", b"--classify", b"--deliver=innocent,spam --stdout",
    b"--class=spam --source=corpus --deliver=summary", b"--class=spam --source=error --signature=none",
    b"--class=none", b"--profile=none", b"--user", b'\\"', b"",
    b"--mode=toe --feature=no,wh --deliver=summary", b"--daemon --debug --version --help", b"-- -x %u $(id)",
)  # fmt: skip
_BESIDES = (
    b"NOOP", b"RSET", b"VRFY ann", b"HELP", b"EHLO x", b"LHLO again", b"STARTTLS", b"", b" ", b"\0", b"MAIL",
    b"RCPT TO:", b"MAIL FROM:", b"DATA now", b"BDAT 10 LAST", b"GET / HTTP/1.1", b"QUIT", b"AUTH PLAIN AAAA",
    b"XFORWARD NAME=a ADDR=1.2.3.4 IDENT=4abc", b"XFORWARD NAME", b"XFORWARD X=1", b"x" * 9000, b"\xff\xfe",
    b"MAIL FROM:<" + b"a" * 8000 + b">", b"MAIL FROM:<a@b", b'RCPT TO:<"a>', b"RCPT TO:<@a,@b:c@d>", b"DATA",
    b"MAIL FROM:<@> " + b"A=1 " * 500, b"XCLIENT ADDR=1.1.1.1", b"RCPT TO:<a>\rDATA",
)  # fmt: skip
_LINES = (
    b"", b".", b"..", b". ", b".x", b"From ann", b"To: ann@example.org", b"To: spam-ann@example.org",
    b"X-DSPAM-Signature: x",
    b"\xff\x00\x80", b"a\rb", b"a\nb", b"\n.\n", b"\r.\r", b"x" * 3000,
    b"Content-Type: multipart/mixed; boundary=b",
    b"--b", b"!DSPAM:1,2!", b"words of a letter", b"MAIL FROM:<evil@example.org>", b"=?utf-8?q?=ff?=",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Session:
    """The work of one client.  `ending` says how it leaves after `cut` bytes; None: by QUIT."""

    number: int
    local: bool  # through the unix socket
    bursts: tuple[bytes, ...]
    pace: int  # bytes in one write, 0: all
    cut: int | None
    ending: str  # close, reset, half, silence

    @property
    def polite(self) -> bool:
        return self.cut is None


def session(seed: str, number: int) -> Session:
    """The session of that number."""
    chance = random.Random(f"{seed}/{number}")
    bursts = tuple(_broken(chance, each) for each in _bursts(chance, number))
    length = sum(map(len, bursts))
    cut = chance.randrange(length + 1) if chance.random() < 0.3 else None
    pace = chance.choice((0, 0, 0, 7, 100, 3000))
    if length > 20_000:
        pace = max(pace, 3000) if pace else 0
    ending = chance.choice(("close", "reset", "half")) if chance.random() < 0.95 else "silence"
    return Session(number, chance.random() < 0.5, bursts, pace, cut, ending)


def _bursts(chance: random.Random, number: int) -> list[bytes]:
    """The parts of a session, still in order."""
    dlmtp = chance.random() < 0.4
    greeting = b"LHLO " + (chance.choice((b"relay1", b"dspamc")) if dlmtp else b"client.example.net")
    parts = [greeting + b"\r\n"]
    for count in range(chance.randrange(4)):
        head, message = _transaction(chance, dlmtp), _message(chance, b"fz-%d-%d" % (number, count))
        parts += [head + b"DATA\r\n" + message] if chance.random() < 0.1 else [head, b"DATA\r\n", message]
    if chance.random() < 0.4:  # together, where they belong together
        parts = [b"".join(parts)]
    return parts


def _transaction(chance: random.Random, dlmtp: bool) -> bytes:
    lines = []
    if chance.random() < 0.2:
        lines.append(chance.choice(_BESIDES))
    lines.append(_login(chance) if dlmtp else b"MAIL FROM:<" + _address(chance) + b">" + _parameters(chance))
    for _ in range(chance.choice((1, 1, 1, 2, 3, 20, 0))):
        address = chance.choice((b"ann", b"bob", b"eve")) if dlmtp else _address(chance)
        lines.append(b"RCPT TO:<" + address + b">" + (_parameters(chance) if chance.random() < 0.1 else b""))
    if chance.random() < 0.1:
        lines.insert(chance.randrange(len(lines) + 1), chance.choice(_BESIDES))
    return b"".join(line + b"\r\n" for line in lines)


def _login(chance: random.Random) -> bytes:
    login = chance.choice((b"secret@relay1", b"secret@Relay1", b"", b"", b"wrong@relay1", b"secret"))
    stuffed = b" DSPAMSTUFFED" if chance.random() < 0.7 else b""
    options = chance.choice(_OPTIONS)
    if b"--stdout" in options:
        stuffed = b" DSPAMSTUFFED"  # else nothing marks the end of a message in the output
    return b"MAIL FROM: <" + login + b'> DSPAMPROCESSMODE="' + options + b'"' + stuffed


def _address(chance: random.Random) -> bytes:
    return chance.choice(_USERS) + chance.choice(_DOMAINS)


def _parameters(chance: random.Random) -> bytes:
    some = chance.sample(_PARAMETERS, chance.choice((0, 0, 1, 2)))
    return b"".join(
        b" " + (each % chance.choice((0, 300, SIZE_LIMIT * 2)) if b"%d" in each else each) for each in some
    )


def _message(chance: random.Random, name: bytes) -> bytes:
    """A message with its end; `name` is how the next hop knows it again."""
    lines = [b"From: eve@example.net", b"X-Fuzz: " + name]
    lines += [chance.choice(_LINES) for _ in range(chance.choice((0, 1, 5, 40)))]
    if chance.random() < 0.03:
        lines += [b"more words to fill the room"] * (chance.choice((SIZE_LIMIT // 2, SIZE_LIMIT * 2)) // 29)
    text = b"".join(line + b"\r\n" for line in lines)
    if chance.random() < 0.9:
        text = (b"\r\n" + text).replace(b"\r\n.", b"\r\n..")[2:]
    return (b"" if chance.random() < 0.03 else text) + b".\r\n"


def _broken(chance: random.Random, burst: bytes) -> bytes:
    """The burst with some of its bytes changed, lost, doubled, or moved."""
    if chance.random() < 0.75:
        return burst
    data = bytearray(burst)
    for _ in range(chance.choice((1, 1, 2, 5))):
        at = chance.randrange(len(data) + 1)
        end = min(len(data), at + chance.choice((1, 2, 10, 50)))
        match chance.randrange(5):
            case 0:
                data[at:at] = chance.randbytes(chance.choice((1, 4, 30)))
            case 1:
                del data[at:end]
            case 2:
                data[at:at] = data[at:end]
            case 3:
                data[at:at] = chance.choice(
                    (b"\r\n", b"\n", b"\r", b"\0", b".\r\n", b"\r\n.\r\n", b"<", b'"', b" ")
                )
            case _:
                data[at:at] = chance.choice(_BESIDES) + b"\r\n"
    return bytes(data)
