"""One message on its way, with what is derived from it once for all its recipients.

The recipients of a message share its bytes, its parsed form, its tokens (those
with the same tokenizer settings) and the signature it brings back.  Work that
takes longer than a few milliseconds is done in a thread; the kernel releases the
GIL there, so other sessions do not wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from dspamd.engine import Tokens, tokenize
from dspamd.engine.model import TokenOptions
from dspamd.envelope import Envelope
from dspamd.mail import signature
from dspamd.mail.classic import SignaturePass, view
from dspamd.mail.message import Message

T = TypeVar("T")

_BRIEF = 64 * 1024
"""Bytes of a message, or of its tokens, that take less than a few milliseconds."""


async def aside(size: int, work: Callable[[], T]) -> T:
    """Do some work: here if it is brief for its size in bytes, else in a thread."""
    return work() if size <= _BRIEF else await asyncio.to_thread(work)


class Incoming:
    """A message with its envelope."""

    def __init__(self, envelope: Envelope) -> None:
        self.envelope = envelope
        self.message = Message(envelope.content)
        self._tokens: dict[tuple[TokenOptions, SignaturePass], asyncio.Task[Tokens]] = {}
        self._signature: asyncio.Task[str | None] | None = None

    async def tokens(self, options: TokenOptions, signature_pass: SignaturePass) -> Tokens:
        """The tokens of the message as these settings see them; read-only, shared."""
        key = (options, signature_pass)
        if key not in self._tokens:
            work = aside(
                len(self.message),
                lambda: tokenize(view(self.message.lf, signature_pass=signature_pass), options),
            )
            self._tokens[key] = asyncio.ensure_future(work)
        return await asyncio.shield(self._tokens[key])

    async def signature(self) -> str | None:
        """The signature id that the message brings back, if any."""
        if self._signature is None:
            work = aside(len(self.message), lambda: signature.find(self.message))
            self._signature = asyncio.ensure_future(work)
        return await asyncio.shield(self._signature)
