"""The filter behind the servers: an envelope in, one reply for each recipient out.

It turns the options of a session (ServerParameters, or those of dspamc) into a `Request`, and
the recipients into deliveries.  The pipeline processes these concurrently, and the outcomes get
the texts of reference/protocols.md 2.5.

Mail by standard LMTP always arrives somewhere: parameters that would make it vanish
(`--stdout`, `--classify`, no `--deliver=innocent`) do not apply to it.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache

from dspamd.config.config import Config, contains
from dspamd.errors import INTERNAL, Failure, Reply, UsageError
from dspamd.filter.pipeline import Pipeline
from dspamd.filter.transaction import InboundMessage
from dspamd.filter.verdict import Outcome
from dspamd.request.command_line import split
from dspamd.request.envelope import Envelope, Recipient
from dspamd.request.recipients import Delivery, addressed, deliveries, readdress, reports, requested
from dspamd.request.request import Misconfigured, Request
from dspamd.server.filter import Answer, Caller
from dspamd.telemetry import log
from dspamd.telemetry.metrics import Metrics
from dspamd.users.trust import trusted

SIDE_BY_SIDE = 20
"""Recipients of one message that the pipeline processes at once.  With a slow next hop the client
could otherwise run out of patience, and send everything again."""


class MailFilter:
    """Implements `server.filter.Filter`; `pipeline_of` gives the pipeline of a storage profile."""

    def __init__(
        self,
        config: Config,
        pipeline_of: Callable[[str | None], Awaitable[Pipeline]],
        metrics: Metrics | None = None,
    ) -> None:
        self._config, self._pipeline_of = config, pipeline_of
        self._replies = (metrics or Metrics()).lmtp_replies
        self._parse = lru_cache(maxsize=64)(self._parsed)

    def check(
        self, recipients: Sequence[Recipient], options: str | None, caller: Caller | None
    ) -> Reply | None:
        """Refuse options that make no sense (protocols.md 2.2, DATA), or that `caller` may not use."""
        if options is None and caller is not None and not self._is_mail_server(caller):
            log.get().warning("not_a_mail_server", account=caller.name, uid=caller.uid, option="SocketLMTP")
            return Reply(
                450, "4.7.1", f"Account {caller.name or caller.uid} may not speak LMTP on this socket"
            )
        try:
            self._request(recipients, options, caller)
        except UsageError as error:
            log.get().error("bad_options", options=options, reason=str(error))
            if isinstance(error, Misconfigured):
                return Reply(503, "5.3.5", f"DSPAM agent misconfigured: aborting ({error})")
            return Reply(554, "5.1.0", f"Unable to initialize agent context ({error})")
        return None

    async def filter(
        self, envelope: Envelope, options: str | None, caller: Caller | None, answer: Answer
    ) -> None:
        """Process a message for all its recipients; answer each when its outcome is known."""
        request = self._request(envelope.recipients, options, caller)
        if options is not None:
            envelope = dataclasses.replace(envelope, sender=request.sender)
        mail = InboundMessage(envelope)
        request = readdress(self._config, mail.message, request)
        lane = asyncio.Semaphore(SIDE_BY_SIDE)
        pipeline = await self._pipeline_of(request.profile)
        wanted = reports(self._config, mail.message, self._deliveries(request, envelope, options))
        if not (request.stdout or request.summary or request.classify):
            answer.show(b"")

        async def work(number: int, delivery: Delivery) -> Outcome:
            outcome = await self._process(pipeline, mail, delivery, lane)
            self._replies.add(f"{outcome.reply.code // 100}xx")
            answer.give(number, self._answered(outcome, told=options is not None))
            return outcome

        works = [work(number, delivery) for number, delivery in enumerate(wanted)]
        # Most mail has one recipient, which needs no task of its own.
        outcomes = [await works[0]] if len(works) == 1 else await asyncio.gather(*works)
        answer.show(b"".join(map(_shown, outcomes)))

    def _deliveries(self, request: Request, envelope: Envelope, options: str | None) -> list[Delivery]:
        recipients = addressed(self._config, envelope.recipients)
        if options is None:
            return deliveries(self._config, request, recipients)
        users = request.users or tuple(recipient.text for recipient in recipients)
        # RCPT of dspamc names users; --rcpt-to says where the mail of each goes.
        given = [Recipient(os.fsencode(address)) for address in request.recipients[: len(recipients)]]
        recipients[: len(given)] = given
        return deliveries(self._config, dataclasses.replace(request, users=users), recipients)

    async def _process(
        self, pipeline: Pipeline, mail: InboundMessage, delivery: Delivery, lane: asyncio.Semaphore
    ) -> Outcome:
        async with lane:
            try:
                return await pipeline.process(mail, delivery)
            except Failure as failure:
                log.get().warning(
                    "refused" if failure.reply.code >= 500 else "deferred",
                    queue_id=mail.envelope.queue_id,
                    user=delivery.user,
                    rcpt=delivery.recipient.text,
                    reply=str(failure.reply),
                    reason=failure.detail,
                )
                return Outcome(delivery.recipient, failure.reply, None)
            except Exception:
                log.get().exception("bug", queue_id=mail.envelope.queue_id, user=delivery.user)
                return Outcome(delivery.recipient, INTERNAL, None)

    def _answered(self, outcome: Outcome, *, told: bool) -> Reply:
        """The reply for one recipient; for dspamc it also has the verdict."""
        reply, name = outcome.reply, outcome.recipient.text
        if not reply.ok:
            code = reply.code
            if self._config.StrictCompatibility:  # DSPAM's codes, which mean something else
                code = 530 if code >= 500 else 421
            return dataclasses.replace(reply, code=code, text=f"<{name}> {reply.text}")
        text = f"<{name}> {outcome.said or 'Message accepted for delivery'}"
        if told:
            text += ": SPAM" if outcome.verdict is not None and outcome.verdict.result.spam else ": INNOCENT"
        return Reply(250, "2.6.0", text)

    def _is_mail_server(self, caller: Caller) -> bool:
        """Whether an account may deliver mail to anybody, as any client that speaks LMTP can."""
        return (
            caller.uid == os.geteuid()
            or trusted(self._config, caller.uid, caller.name)
            or contains(self._config.SocketLMTP, "*")
            or contains(self._config.SocketLMTP, caller.name)
        )

    def _request(
        self, recipients: Sequence[Recipient], options: str | None, caller: Caller | None
    ) -> Request:
        """The request of a message; an untrusted local client may act for its own user only (cli.md 2).

        Raises UsageError.
        """
        if options is None or caller is None or trusted(self._config, caller.uid, caller.name):
            return self._parse(options)
        words = [*split(options), "--user", *(recipient.text for recipient in recipients)]
        return requested(self._config, words, trusted=False, login=caller.name, uid=caller.uid)

    def _parsed(self, options: str | None) -> Request:
        """The request of these options; None means those of ServerParameters."""
        words = split(self._config.ServerParameters if options is None else options)
        request = requested(self._config, words)
        if request.profile is not None:
            self._config.with_profile(request.profile)  # raises UsageError for an unknown profile
        for warning in request.warnings:
            log.get().warning("options", options=" ".join(words), text=warning)
        if options is not None:
            return request
        return dataclasses.replace(
            request, deliver_innocent=True, stdout=False, classify=False, summary=False
        )


def _shown(outcome: Outcome) -> bytes:
    """The output for dspamc: the summary, and the message after the line that says its class."""
    if not outcome.printed:
        return outcome.summary
    spam = outcome.verdict is not None and outcome.verdict.result.spam
    head = b"X-Daemon-Classification: " + (b"SPAM" if spam else b"INNOCENT") + b"\n"
    return outcome.summary + head + outcome.printed
