"""Messages on the wire: dot-stuffing, the end of data, and stray line ends.

RFC 5321 calls the doubling of leading dots "transparency" (4.5.2).  `Collector`
undoes it for a message that arrives in arbitrary pieces, `stuffed` does it for
one that leaves.  Both work piece by piece, so that a message of many megabytes
never holds up the event loop.

Line ends.  A message ends at CR LF . CR LF and at nothing else.  Some servers
take a bare LF or a bare CR for a line end; if we passed one, a sender could
hide the end of one message and the start of another from one of two programs that
disagree (SMTP smuggling).  So inside a message a bare LF becomes CR LF and a
bare CR becomes a space, on the way in and on the way out.  A message with
proper line ends passes untouched, bit for bit, whatever else is in it: long
lines, eight-bit characters, NUL.
"""

from __future__ import annotations

from collections.abc import Iterator

from dspamd.mail._view import line_ends

END_OF_DATA = b"\r\n.\r\n"
PIECE = 1 << 18  # bytes handled at once: well below a millisecond of work


def _mended(text: bytes) -> bytes:
    """`text` with CR LF as its only line end."""
    return text.replace(b"\r\n", b"\n").replace(b"\r", b" ").replace(b"\n", b"\r\n")


def _without_stuffing(text: bytes) -> bytes:
    """Lines from the wire, as they were before the sender doubled leading dots."""
    bare, dots = line_ends(text)
    if dots:
        text = text.replace(b"\r\n.", b"\r\n")
    return _mended(text) if bare else text


def _with_stuffing(text: bytes) -> bytes:
    """Lines for the wire, without the dot that the first line may need."""
    bare, dots = line_ends(text)
    if bare:
        text, dots = _mended(text), True  # there may be new lines now
    return text.replace(b"\r\n.", b"\r\n..") if dots else text


class Collector:
    """Collects one message from the bytes that follow the answer to DATA.

    `limit` is the largest size in bytes to keep, 0 for any; a longer message is
    read to its end and thrown away, because the bytes after a refused message
    must not be taken for commands.
    """

    def __init__(self, limit: int = 0) -> None:
        self.size = 0  # of the message so far, kept or not
        self.held = 0  # bytes in memory
        self.complete = False
        self._limit = limit
        self._discarding = False
        self._pieces: list[bytes] = []
        # The reply to DATA puts the sender at the start of a line.
        self._pending = b"\r\n"
        self._first = True

    @property
    def discarding(self) -> bool:
        """The message is too large, or `discard` was called: nothing is kept."""
        return self._discarding

    def feed(self, data: bytes) -> bytes:
        """Take `data`; the bytes after the end of the message come back, else none."""
        data = self._pending + data
        end = data.find(END_OF_DATA)
        if end >= 0:
            self.complete = True
            self._keep(data[: end + 2])
            return data[end + 5 :]
        # A possible start of the end stays for the next call, so a piece
        # never parts a CR LF, nor a line end from the dot after it.
        held_back = next((n for n in (4, 3, 2, 1) if data.endswith(END_OF_DATA[:n])), 0)
        cut = len(data) - held_back
        self._pending = data[cut:]
        if cut:
            self._keep(data[:cut])
        return b""

    def discard(self) -> None:
        """Forget the message, but go on looking for its end."""
        self._discarding = True
        self._pieces.clear()
        self.held = 0

    def take(self) -> bytes:
        """Hand out the message, with CR LF line ends and no dot-stuffing."""
        pieces, self._pieces = self._pieces, []
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _keep(self, piece: bytes) -> None:
        piece = _without_stuffing(piece)
        if self._first:
            self._first = False
            piece = piece[2:]
        self.size += len(piece)
        if self._limit and self.size > self._limit:
            self.discard()
        if not self._discarding and piece:
            self._pieces.append(piece)
            self.held += len(piece)


def stuffed(content: bytes) -> Iterator[bytes]:
    """`content` in pieces, dot-stuffed, ending in CR LF and without the final dot."""
    line_start = True
    start, size = 0, len(content)
    while start < size:
        end = start + PIECE
        if content[end - 1 : end + 1] == b"\r\n":
            end += 1
        piece = _with_stuffing(content[start:end])
        if line_start and piece.startswith(b"."):
            piece = b"." + piece
        yield piece
        line_start = piece.endswith(b"\n")
        start = end
    if not line_start:
        yield b"\r\n"
