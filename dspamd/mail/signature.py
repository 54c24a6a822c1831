"""The signature id of a message: creation, check, search.

A delivered message carries the id of its signature in the header
`X-DSPAM-Signature` and, if the user wants, as `!DSPAM:id!` in its text
(`dspamd.mail.rewrite` puts it there).  When the user corrects us, the id comes
back: with the message itself, quoted in a forwarded text, in a re-encoded part,
or in an attached original (reference/protocols.md 8, engine.md 8.3).

Which id wins, if there are several:

1. The outermost message wins over the originals attached to it: deeper ones
   came from others, or are older.
2. Within one message the header wins, then a tag, then a quoted header line.
   Others cannot have written the header: inbound ones are dropped.
3. Of several headers the last one: ours is appended at the end.  Of several
   parts the last one that has an id, as in the original; within a part the first.
4. If no part has one, the bytes as they came are searched: a forwarded message with
   a broken structure is still a correction.

We skip ids that are not `[0-9A-Za-z,]{1,127}`, because ids become file names and
keys.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Iterator
from typing import NamedTuple

from dspamd.mail import headers, mime
from dspamd.mail.message import Message

MAX_DEPTH = 8
"""Levels of originals attached to originals; deeper ones are not searched."""

HEADER = b"X-DSPAM-Signature"

_ID = re.compile(rb"[0-9A-Za-z,]{1,127}")
_LONE_ID = rb"([0-9A-Za-z,]{1,127}+)(?![0-9A-Za-z,])"
TAG = re.compile(rb"!DSPAM:[ ]*+" + _LONE_ID + rb"!?")
"""A tag in a text; the mark at its end may have got lost on the way."""

# Mail programs show the headers of a forwarded message in a table, a quote, or bold.  It matches without an
# id as well: so no byte after the name is looked at twice, however often the name stands there.
_QUOTED = re.compile(HEADER + rb":(?:[\s>*|]|&nbsp;|<[^<>]{0,256}>)*+(?:" + _LONE_ID + rb")?+")


def new_id(time: int, pid: int, first: int, second: int, uid: int | None = None) -> str:
    """The id of a new signature (engine.md 8.1).

    `time` is in seconds of the epoch, `first` and `second` are random numbers of
    which five digits count; `uid` names the owner of the dictionary
    (`MySQLUIDInSignature`).  At most 32 characters with a uid below seven digits.
    """
    owner = "" if uid is None else f"{uid},"
    return f"{owner}{time:08x}{pid}{str(first)[:5]}{str(second)[:5]}"


def id_of_text(content: bytes) -> str:
    """The id of a text that has none: 31 characters, the same for the same text with CR LF or LF."""
    return "t" + hashlib.blake2b(content.replace(b"\r\n", b"\n"), digest_size=15).hexdigest()


def valid(id_: str) -> bool:
    """Whether this can be an id at all: `[0-9A-Za-z,]{1,127}`."""
    return id_.isascii() and _ID.fullmatch(id_.encode()) is not None


def tag(id_: str) -> bytes:
    """The form of an id in a text."""
    return b"!DSPAM:" + id_.encode() + b"!"


def find(message: Message, headers_only: bool = False) -> str | None:
    """The id that a message brings back, or None; see above which one wins.

    `headers_only` passes over all texts: only headers count, of the message and
    of the originals attached to it.
    """
    found = _search(message.raw, message.parts, MAX_DEPTH, headers_only)
    if found is None and not headers_only:
        found = _in_text(message.raw[message.body_start :])
    return None if found is None else found.decode()


def of_header(message: Message) -> str | None:
    """The id in the header of the message itself, which only we write; None if there is none."""
    found = _in_header(message.raw[: headers.block_end(message.raw)])
    return None if found is None else found.decode()


class Reported(NamedTuple):
    """A message that a report is about: its id, if it brought one, and all that is left of it."""

    signature: str | None
    content: bytes


def reported(message: Message) -> list[Reported]:
    """The messages that a report is about, in its order.

    That is the message itself if it has an id, by the rules above, else each original attached
    to it, by the same rules.  An original is passed over for those attached to it only if one of
    these has an id and it has none.  At most 1,000.
    """
    found = list(itertools.islice(_reported(message.raw, message.parts, MAX_DEPTH), mime.MAX_PARTS))
    if not any(each.signature for each in found):
        id_ = _in_text(message.raw[message.body_start :])
        return [Reported(id_.decode(), message.raw)] if id_ else found
    return found


def _reported(data: bytes, leaves: list[mime.Part], depth: int) -> Iterator[Reported]:
    if id_ := _own(data, leaves):
        yield Reported(id_.decode(), data)
        return
    for original in _originals(data, leaves) if depth else ():
        inner = list(_reported(original, mime.parts(original), depth - 1))
        signed = [each for each in inner if each.signature]
        yield from signed or [Reported(None, original)]


def every(message: Message, *, in_headers: bool = True, in_texts: bool = True) -> list[str]:
    """All ids that a message and the originals attached to it bring back, each once, as they stand.

    `in_headers`: those of headers, also quoted ones; `in_texts`: those of tags.
    """
    found = list(_every(message.raw, message.parts, MAX_DEPTH, in_headers, in_texts))
    if not found and in_texts:
        found = TAG.findall(message.raw[message.body_start :])
    return [id_.decode() for id_ in dict.fromkeys(found)]


def _every(
    data: bytes, leaves: list[mime.Part], depth: int, in_headers: bool, in_texts: bool
) -> Iterator[bytes]:
    if in_headers:
        for value in headers.values(data[: headers.block_end(data)], HEADER):
            if _ID.fullmatch(value):
                yield value
            elif match := TAG.match(value):
                yield match[1]
    for part in leaves:
        shown = part.type == b"text" or (part.top and not part.encodes)
        original = part.type == b"message" or part.filename.endswith(b".eml")
        content = mime.decoded(part.encoding, data[part.body : part.end]) if shown or original else b""
        if shown and in_headers:
            yield from _quoted(content)
        if shown and in_texts:
            yield from TAG.findall(content)
        if original and depth:
            yield from _every(content, mime.parts(content), depth - 1, in_headers, in_texts)


def _search(data: bytes, leaves: list[mime.Part], depth: int, headers_only: bool) -> bytes | None:
    """The id in a message: in its header block, its texts, the originals attached to it."""
    if found := _own(data, leaves, headers_only):
        return found
    for original in _originals(data, leaves[::-1]) if depth else ():
        if found := _search(original, mime.parts(original), depth - 1, headers_only):
            return found
    return None


def _own(data: bytes, leaves: list[mime.Part], headers_only: bool = False) -> bytes | None:
    """The id that a message itself has, whatever is attached to it."""
    return _in_header(data[: headers.block_end(data)]) or (None if headers_only else _in_texts(data, leaves))


def _originals(data: bytes, leaves: list[mime.Part]) -> Iterator[bytes]:
    """The messages attached to a message."""
    for part in leaves:
        if part.type == b"message" or part.filename.endswith(b".eml"):
            yield mime.decoded(part.encoding, data[part.body : part.end])


def _in_header(block: bytes) -> bytes | None:
    for value in reversed(headers.values(block, HEADER)):
        if _ID.fullmatch(value):
            return value
        if match := TAG.match(value):
            return match[1]
    return None


def _in_texts(data: bytes, leaves: list[mime.Part]) -> bytes | None:
    quoted = None
    for part in reversed(leaves):
        if part.type == b"text" or (part.top and not part.encodes and part.type != b"message"):
            text = mime.decoded(part.encoding, data[part.body : part.end])
            if match := TAG.search(text):
                return match[1]
            quoted = quoted or next(_quoted(text), None)
    return quoted


def _in_text(text: bytes) -> bytes | None:
    match = TAG.search(text)
    return match[1] if match else next(_quoted(text), None)


def _quoted(text: bytes) -> Iterator[bytes]:
    """The ids in header lines that a text quotes."""
    return (match[1] for match in _QUOTED.finditer(text) if match[1])
