"""Reading a delivered message: our additions, and the rest, byte for byte."""

from __future__ import annotations

import re

FIELD = re.compile(rb"[^\n]*\n(?:[ \t][^\n]*\n)*")
TRACE = (b"return-path", b"x-original-to", b"delivered-to", b"received")


def ours(delivered: bytes) -> dict[str, str]:
    """Our header fields, unfolded; a field that is there twice is a failure."""
    found: dict[str, str] = {}
    for field in _fields(delivered)[0]:
        name, _, value = field.decode("latin-1").partition(":")
        if name.startswith("X-DSPAM-"):
            assert name not in found, f"{name} twice"
            found[name] = value.strip()
    return found


def as_sent(delivered: bytes) -> bytes:
    """The message without our fields and without those that Postfix put on top."""
    fields, body = _fields(delivered)
    while fields and fields[0].partition(b":")[0].lower() in TRACE:
        del fields[0]
    return b"".join(field for field in fields if not field.startswith(b"X-DSPAM-")) + body


def compose(subject: str, body: str, *headers: str) -> bytes:
    """A small message with CR LF line ends."""
    fields = ["From: sender@example.net", "Date: Fri, 20 Nov 2026 08:00:00 +0000", *headers]
    return "\r\n".join([*fields, f"Subject: {subject}", "", *body.splitlines(), ""]).encode("latin-1")


def _fields(delivered: bytes) -> tuple[list[bytes], bytes]:
    """The header fields, each with its line ends, and the body with the empty line before it."""
    head, _, body = delivered.partition(b"\n\n")
    return FIELD.findall(head + b"\n"), b"\n" + body
