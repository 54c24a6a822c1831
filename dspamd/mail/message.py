"""A message as bytes: its two line-end forms and its top header block.

It keeps the bytes as they came, with CR LF (from the network) or LF (from a
pipe).  Any bytes are a message: without headers, without a body, with NUL or
8-bit bytes, with an mbox "From " line.  Nothing here fails or re-serialises;
`dspamd.mail.rewrite` makes edits, as new bytes.

Only a first line that starts with `From QUARANTINE` is removed: the quarantine
wrote it (reference/engine.md 1.1).

A `Message` is parsed once and shared by all recipients of the mail; derived
values are computed on first use and kept.
"""

from __future__ import annotations

from functools import cached_property

from dspamd.mail import headers, mime
from dspamd.mail._view import with_crlf, with_lf

_QUARANTINE = b"From QUARANTINE"


class Message:
    """The bytes of one message, and facts that are cheap to read from them."""

    def __init__(self, raw: bytes) -> None:
        if raw.startswith(_QUARANTINE):
            raw = raw.partition(b"\n")[2]
        self.raw = raw
        self.head_end = headers.block_end(raw)

    def __len__(self) -> int:
        return len(self.raw)

    @cached_property
    def head(self) -> bytes:
        """The top header block, without the empty line that ends it."""
        return self.raw[: self.head_end]

    @cached_property
    def body_start(self) -> int:
        """Offset of the first byte after the empty line; `len(raw)` without a body."""
        return headers.after_empty_line(self.raw, self.head_end)

    @cached_property
    def newline(self) -> bytes:
        """The line end that the message uses: that of its first line, LF if it has none."""
        first = self.raw.find(b"\n")
        return b"\r\n" if first > 0 and self.raw[first - 1] == 0x0D else b"\n"

    @cached_property
    def lf(self) -> bytes:
        """The message with LF line ends, as the engine and files want it."""
        return with_lf(self.raw)

    @cached_property
    def crlf(self) -> bytes:
        """The message with CR LF line ends, as SMTP and LMTP want it (RFC 5321 2.3.8)."""
        return with_crlf(self.raw)

    @cached_property
    def parts(self) -> list[mime.Part]:
        """The leaves of the message, in order; at most `mime.MAX_PARTS`."""
        return mime.parts(self.raw)

    def values(self, name: str) -> list[bytes]:
        """The unfolded values of all top headers called `name`, from the top."""
        return headers.values(self.head, name.encode())

    def first(self, name: str) -> bytes | None:
        """The unfolded value of the first top header called `name`; None if there is none."""
        return next(iter(self.values(name)), None)
