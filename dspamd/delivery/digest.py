"""The digest of a quarantine: a letter to its owner that lists the messages in it.

It is the administrator's text `quarantinesummary.txt`, in which these words are replaced:

    $u  the name of the user        $n  how many messages wait
    $d  how many came today         $l  the rows of a table in HTML, the newest message first

With the address of the web pages each row leads to its message, and to its release, by
the links of DSPAM's web interface (reference/cli.md 8, dspam_notify).

Subjects and senders come from spam: the digest decodes (RFC 2047), cuts and escapes them, so that
they are nothing but text.  It reads mailboxes without their lock, so that mail never waits
for a digest; a message that comes meanwhile may be missing.
"""

from __future__ import annotations

import contextlib
import html
import re
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.utils import format_datetime
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode

from dspamd.mail import headers, signature

TEXT = "quarantinesummary.txt"
LIMIT = 200
"""Rows of one digest."""

_SHOWN = 50  # characters of a subject or a sender
_READ = 1024  # bytes that we decode for these: email.header takes time in proportion to their square
_BEGINNING = b"From "
_STAMP = re.compile(rb"From QUARANTINE (\w{3} \w{3} [ \d]\d) [\d:]{8} (\d{4})\r?\n")
_PLACES = re.compile(rb"\$([undl])")


class Kept(NamedTuple):
    """One message of a quarantine; `day` as in "Fri Nov 20 2026", empty if unknown."""

    day: str
    sender: str
    subject: str
    signature: str


def read(mailbox: Path) -> list[Kept]:
    """The messages of a mailbox, the oldest first; none if there is no such file.  Blocks; raises OSError."""
    try:
        file = mailbox.open("rb")
    except FileNotFoundError:
        return []
    found = []
    with file:
        begun: list[bytes] = []
        for line in file:
            if line.startswith(_BEGINNING):
                begun = [line]
            elif begun and line.strip(b"\r\n"):
                begun.append(line)
            elif begun:
                found.append(_kept(begun))
                begun = []
        if begun:
            found.append(_kept(begun))
    return found


def compose(
    text: bytes, user: str, kept: Sequence[Kept], *, url: str, clock: Callable[[], float] = time.time
) -> bytes:
    """The letter to a user, with the line ends of `text`; `url` is the address of the web pages, or empty."""
    now = datetime.fromtimestamp(clock()).astimezone()
    today = f"{now:%a %b} {now.day:2} {now.year}"
    stands_for = {
        b"u": user.encode("utf-8", "surrogateescape"),
        b"n": b"%d" % len(kept),
        b"d": b"%d" % sum(each.day == today for each in kept),
        b"l": "\n".join(_row(each, user, url) for each in list(reversed(kept))[:LIMIT]).encode(),
    }
    letter = _PLACES.sub(lambda place: stands_for[place[1]], text)
    return b"Date: %s\n%s" % (format_datetime(now).encode(), letter)


def _kept(lines: list[bytes]) -> Kept:
    stamp = _STAMP.fullmatch(lines[0])
    block = b"".join(lines[1:])

    def value(name: bytes) -> bytes:
        return next(iter(headers.values(block, name)), b"")

    id_ = value(b"X-DSPAM-Signature").decode("ascii", "replace")
    return Kept(
        day=f"{stamp[1].decode()} {stamp[2].decode()}" if stamp else "",
        sender=_decoded(value(b"From")),
        subject=_decoded(value(b"Subject")) or "<None Specified>",
        signature=id_ if signature.valid(id_) else "",
    )


def _decoded(value: bytes) -> str:
    """A decoded value on one line."""
    text = value[:_READ].decode("utf-8", "replace")
    with contextlib.suppress(HeaderParseError, LookupError, ValueError):  # else as it is
        text = str(make_header(decode_header(text)))
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())


def _row(kept: Kept, user: str, url: str) -> str:
    day, sender, subject = (html.escape(each[:_SHOWN]) for each in (kept.day, kept.sender, kept.subject))
    if not (url and kept.signature):
        return f"<tr><td>{day}</td><td>{sender}</td><td>{subject}</td></tr>"
    view, release = (_link(url, user, kept, name) for name in ("viewMessage", "processFalsePositive"))
    return (
        f'<tr><td>{day}</td><td>{sender}</td><td><a href="{view}">{subject}</a></td>\n'
        f'<td><a href="{release}">Not spam</a></td></tr>'
    )


def _link(url: str, user: str, kept: Kept, command: str) -> str:
    asked = {"template": "quarantine", "user": user, "signatureID": kept.signature, "command": command}
    return html.escape(f"{url.rstrip('/')}/dspam.cgi?{urlencode(asked, errors='surrogateescape')}")
