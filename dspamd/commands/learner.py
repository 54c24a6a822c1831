"""A filter that learns labelled mail: the one in this process, or that of the daemon.

It judges a message as if it had just come; a wrong verdict is then corrected by its signature.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from dspamd.engine.model import Label
from dspamd.errors import Failure
from dspamd.filter.transaction import InboundMessage
from dspamd.request.envelope import Envelope
from dspamd.request.recipients import Delivery, recipient_of, requested

if TYPE_CHECKING:
    from dspamd.app import Parts
    from dspamd.filter.verdict import Outcome

RIGHT = {Label.SPAM: ("Spam", "Blacklisted"), Label.INNOCENT: ("Innocent", "Whitelisted")}
"""The verdicts that are right for mail of a label."""

_SUMMARY = re.compile(rb'class="([^"]*)".*signature=(\S+)')


class Verdict(NamedTuple):
    """The name of the verdict, and the signature for a correction."""

    name: str
    signature: str


class Learner(Protocol):
    """A filter that learns."""

    async def judge(self, user: str, message: bytes) -> Verdict | None:
        """Process a message as new mail; None if it got no verdict."""

    async def correct(self, user: str, label: Label, signature: str) -> None: ...


class Local:
    """The filter in this process.  `options` are further ones of each request, as words."""

    def __init__(self, parts: Parts, options: Sequence[str] = ()) -> None:
        self._parts, self._options = parts, options

    async def judge(self, user: str, message: bytes) -> Verdict | None:
        outcome = await self._process(user, message, "--deliver=summary")
        verdict = outcome.verdict
        return None if verdict is None else Verdict(verdict.result.name, verdict.signature or "")

    async def correct(self, user: str, label: Label, signature: str) -> None:
        options = (f"--class={label.value}", "--source=error", f"--signature={signature}")
        await self._process(user, b"\n\n", *options)

    async def feed(self, user: str, label: Label, message: bytes) -> None:
        """Teach a message of a corpus.  Raises `UnknownSignature` if it cannot be learned."""
        await self._process(user, message, f"--class={label.value}", "--source=corpus")

    async def _process(self, user: str, message: bytes, *options: str) -> Outcome:
        request = requested(self._parts.config, ("--user", user, *options, *self._options))
        mail = InboundMessage(Envelope(b"", (), message))
        return await self._parts.pipeline.process(mail, Delivery(user, recipient_of(user), request))


class Daemon:
    """The filter behind dspamc."""

    def __init__(self, profile: str, options: Sequence[str] = ()) -> None:
        self._options = [*options, *([f"--profile={profile}"] if profile else [])]

    async def judge(self, user: str, message: bytes) -> Verdict | None:
        printed = await self._ask(user, message, "--deliver=summary", "--stdout")
        found = _SUMMARY.search(printed)
        return Verdict(found[1].decode(), found[2].decode()) if found else None

    async def correct(self, user: str, label: Label, signature: str) -> None:
        await self._ask(user, b"", f"--class={label.value}", "--source=error", f"--signature={signature}")

    async def _ask(self, user: str, message: bytes, *options: str) -> bytes:
        """What dspamc prints.  Raises `Failure` if it fails; it said why on standard error."""
        words = ("-m", "dspamd.commands.dspamc", "--user", user, *options, *self._options)
        pipe = asyncio.subprocess.PIPE
        client = await asyncio.create_subprocess_exec(
            sys.executable,
            *words,
            stdin=pipe,
            stdout=pipe,
            start_new_session=True,  # the terminal's Ctrl-C is for us: the message in hand is learned whole
        )
        printed, _ = await client.communicate(message)
        if client.returncode:
            raise Failure("dspamc failed", detail=f"exit status {client.returncode}")
        return printed
