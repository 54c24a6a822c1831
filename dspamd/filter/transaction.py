"""One message as it came, with the values that all its recipients share.

The recipients of a message share its bytes, its parsed form, its tokens (those with the same
tokenizer settings) and the signature it brings back.  A thread does work that takes longer than
a few milliseconds; the kernel releases the GIL there, so other sessions do not wait.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import cached_property
from typing import Generic

from dspamd.engine.model import TokenOptions
from dspamd.engine.tokenizer import Tokens, tokenize
from dspamd.home.history import Fields
from dspamd.mail import signature
from dspamd.mail.message import Message
from dspamd.mail.signature import Reported, reported
from dspamd.mail.view import SignaturePass
from dspamd.mail.views import VIEWS, AnyView
from dspamd.offload.threads import T, brief
from dspamd.request.envelope import Envelope


class _Shared(Generic[T]):
    """The result of some work on a message; the first caller starts the work, all share the result."""

    def __init__(self, size: int, work: Callable[[], T]) -> None:
        self._result = work() if brief(size) else asyncio.ensure_future(asyncio.to_thread(work))

    async def get(self) -> T:
        # A task that gives up waiting must not take the result from the others.
        return await asyncio.shield(self._result) if isinstance(self._result, asyncio.Task) else self._result


class InboundMessage:
    """A message with its envelope."""

    def __init__(self, envelope: Envelope) -> None:
        self.envelope = envelope
        started = time.perf_counter()
        self.message = Message(envelope.content)
        self.parse_s = time.perf_counter() - started
        self._tokens: dict[tuple[TokenOptions, SignaturePass], _Shared[Tokens]] = {}
        self._signature: _Shared[str | None] | None = None
        self._reported: _Shared[list[Reported]] | None = None

    async def tokens(self, options: TokenOptions, signature_pass: SignaturePass) -> Tokens:
        """The tokens of the message as these settings see them; read-only, shared."""
        key = (options, signature_pass)
        if key not in self._tokens:
            self._tokens[key] = _Shared(
                len(self.message), lambda: tokenize(self._view(options, signature_pass), options)
            )
        return await self._tokens[key].get()

    def _view(self, options: TokenOptions, signature_pass: SignaturePass) -> AnyView:
        view = VIEWS[options.view]
        return view(
            self.message.lf,
            signature_pass=signature_pass,
            document=options.document,
            ignored=options.ignore_headers,
            our_hosts=options.our_hosts,
        )

    async def signature(self) -> str | None:
        """The signature id that the message brings back, if any."""
        if self._signature is None:
            self._signature = _Shared(len(self.message), lambda: signature.find(self.message))
        return await self._signature.get()

    async def reported(self) -> list[Reported]:
        """The messages that it is about, if it is a report."""
        if self._reported is None:
            self._reported = _Shared(len(self.message), lambda: reported(self.message))
        return await self._reported.get()

    @cached_property
    def fields(self) -> Fields:
        """The fields of its header that the logs show."""
        return Fields.of(self.message)
