"""A message as it stands in a quarantine, and as it leaves it again: unchanged.

    From QUARANTINE Fri Nov 20 08:56:05 2026
    <message, LF line ends; a line that begins with "From ", or with that after ">", gets one more ">">
    <empty lines>

This is the mbox of DSPAM (reference/protocols.md 5.1), with the quoting of mboxrd, which can be undone;
DSPAM quoted "From " alone.  Empty lines after a message may be its own or ours.  A message that is
kept has one header more, which tells a release what to undo: it says how many bytes follow the header
block, the empty line included.  Messages that DSPAM kept have no such header; they leave as they left DSPAM.

A message that begins with the line of an mbox, as mail servers hand it to commands, keeps that line
in place of ours.
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
    """A message with either line ends as it stands in a mailbox; `when` as `time.ctime` tells it."""
    first, text = f"From QUARANTINE {when}\n".encode(), content.replace(b"\r\n", b"\n")
    if text.startswith(b"From "):
        line, _, text = text.partition(b"\n")
        first = line + b"\n"
    end = headers.block_end(text)
    head = headers.append(text[:end], [b"%s: %d" % (HEADER, len(text) - end)], b"\n")
    return first + _FROM_LINE.sub(b">", head + text[end:]) + _END


def released(message: Message) -> Message:
    """The message as it was before it was kept; itself if it does not come from a quarantine of ours."""
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
