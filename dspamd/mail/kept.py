"""The form of a message in a quarantine, and its exact release.

    From QUARANTINE Fri Nov 20 08:56:05 2026
    <message, LF line ends; a line that begins with "From ", or with that after ">", gets one more ">">
    <empty lines>

This is the mbox of DSPAM (reference/protocols.md 5.1), with the quoting of mboxrd, which is reversible;
DSPAM quoted only "From ".  Empty lines after a message may be its own or ours.  So we add a header with the
number of bytes after the header block, the empty line included; a release uses it to restore the message.
Messages that DSPAM stored have no such header; we release them as DSPAM did.

A message that begins with an mbox line, as mail servers hand it to commands, keeps that line instead of
ours.
"""

from __future__ import annotations

import re

from dspamd.mail import headers
from dspamd.mail.message import Message

HEADER = b"X-DSPAM-Quarantined"
_END = b"\n\n\n"
_FROM_LINE = re.compile(rb"^(?=>*+From )", re.MULTILINE)
_QUOTED_LINE = re.compile(rb"^>(?=>*+From )", re.MULTILINE)
_SIZE = re.compile(rb"[0-9]{1,12}")


def entry(content: bytes, when: str) -> bytes:
    """The mailbox form of a message with either line ends; `when` has the form of `time.ctime`."""
    first, text = f"From QUARANTINE {when}\n".encode(), content.replace(b"\r\n", b"\n")
    if text.startswith(b"From "):
        line, _, text = text.partition(b"\n")
        first = line + b"\n"
    end = headers.block_end(text)
    head = headers.append(text[:end], [b"%s: %d" % (HEADER, len(text) - end)], b"\n")
    return first + _FROM_LINE.sub(b">", head + text[end:]) + _END


def released(message: Message) -> Message:
    """The original message; the same message if it does not come from our quarantine."""
    size = message.values(HEADER.decode())[-1:]
    if not size or not _SIZE.fullmatch(size[0]):
        return message
    text = _QUOTED_LINE.sub(b"", message.lf)
    end = headers.block_end(text)
    head, _ = headers.drop(text[:end], HEADER.lower() + b":")
    return Message(head + _cut(text[end:], int(size[0])))


def _cut(rest: bytes, size: int) -> bytes:
    """The bytes after a header block, without our empty lines; a mail program may have dropped some."""
    missing = size - len(rest)
    if missing > 0:
        return rest + b"\n" * missing if missing <= len(_END) else rest
    return rest if rest[size:].strip(b"\n") else rest[:size]
