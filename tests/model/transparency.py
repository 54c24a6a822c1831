"""A message on the wire: RFC 5321 4.5.2, and the rules of dspamd/mail/transparency.py for stray line ends."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

ALPHABET = b"\r\n.\0x"
"""The bytes that matter on the wire, one that mattered to DSPAM, and one that does not matter."""


def mixes(size: int) -> Iterator[bytes]:
    """All strings of `size` bytes over the alphabet."""
    return map(bytes, itertools.product(ALPHABET, repeat=size))


def all_mixes(size: int) -> bytes:
    """One text in which each string of `size` bytes over the alphabet occurs (de Bruijn's sequence).

    It is made of the Lyndon words whose length divides `size`, in their order.
    """
    letters = sorted(ALPHABET)
    text, word = bytearray(), [0]
    while word:
        if size % len(word) == 0:
            text += bytes(letters[each] for each in word)
        word = [word[at % len(word)] for at in range(size)]
        while word and word[-1] == len(letters) - 1:
            word.pop()
        if word:
            word[-1] += 1
    return bytes(text + text[: size - 1])


def mended(text: bytes) -> bytes:
    """`text` whose only line end is CR LF: a bare LF becomes one, a bare CR a space."""
    lines = text.split(b"\r\n")
    return b"\r\n".join([line.replace(b"\r", b" ").replace(b"\n", b"\r\n") for line in lines])


def received(wire: bytes) -> tuple[bytes, bytes] | None:
    """The message that follows the answer to DATA, and the bytes after its end; None if it has none.

    Only CR LF ends a line here: a dot after a bare LF is no dot at the start of a line.
    """
    lines = wire.split(b"\r\n")
    if b"." not in lines[:-1]:
        return None
    end = lines.index(b".")
    content = b"".join([line.removeprefix(b".") + b"\r\n" for line in lines[:end]])
    return mended(content), b"\r\n".join(lines[end + 1 :])


def sent(content: bytes) -> bytes:
    """A message as it goes over the wire, without the dot at its end."""
    lines = mended(content).split(b"\r\n")
    if lines[-1] == b"":
        lines.pop()
    return b"".join([b"." * line.startswith(b".") + line + b"\r\n" for line in lines])
