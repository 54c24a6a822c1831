"""The way out of a message: what is written into it, where it goes, and that it has arrived.

    verdict  ->  action (deliver, print, quarantine, refuse, nothing)  ->  our headers, tags and the
    signature  ->  the next hop, a quarantine, or whoever asked

It ends when the next hop has answered; what it refuses, or cannot take now, is raised as
`PermFail` or `TempFail`.  Nothing is learned and nothing is logged here: that comes afterwards
(`pipeline`).  What an action is, is decided by `action`; how a message is edited, by
`mail.rewrite`; how it gets there, by the `Outlet`.
"""

from __future__ import annotations

import dataclasses

from dspamd.config.config import Config
from dspamd.engine.model import Source
from dspamd.errors import Reply
from dspamd.filter.action import Action, choose, status, untouched
from dspamd.filter.outlet import Handover, Outlet
from dspamd.filter.transaction import InboundMessage
from dspamd.filter.verdict import Outcome, Verdict, header_lines
from dspamd.home.templates import Texts
from dspamd.mail.kept import released
from dspamd.mail.message import Message
from dspamd.mail.rewrite import Rewrite, rewrite
from dspamd.offload.threads import aside
from dspamd.request.recipients import Delivery, recipient_of
from dspamd.users.preferences import User

PRINTED = Reply(250, "2.6.0", "Message printed")
KEPT = Reply(250, "2.6.0", "Nothing to deliver")
INFECTED = Reply(550, "5.3.0", "A virus was detected in the message contents")


class Disposition:
    """Sends messages off.  The methods raise `TempFail` and `PermFail` if they do not arrive."""

    def __init__(self, config: Config, outlet: Outlet, texts: Texts) -> None:
        self._config, self._outlet, self._texts = config, outlet, texts

    async def send(self, mail: InboundMessage, delivery: Delivery, user: User, verdict: Verdict) -> Outcome:
        """Bring a message where its verdict sends it, with what is to be written into it."""
        corrects = verdict.source is Source.ERROR
        if (
            corrects and not delivery.request.recipients
        ):  # it came to an alias, and goes on to the user himself
            delivery = dataclasses.replace(delivery, recipient=recipient_of(user.name))
        action = choose(
            verdict,
            delivery.request,
            user.spam_action,
            self._config.ClamAVResponse,
            agent=bool(self._config.QuarantineAgent),
            next_hop=bool(self._config.DeliveryHost or self._config.suffixes(Config.DeliveryHost)),
        )
        content = b""
        if action not in (Action.NOTHING, Action.REFUSE):
            changes = self._changes(mail, user, verdict)
            release = corrects and not verdict.result.spam
            content = await aside(
                len(mail.message),
                lambda: rewrite(released(mail.message) if release else mail.message, changes),
            )
        outcome = await self._send(
            mail, delivery, action, content, spam=verdict.result.spam, owner=user.file_name
        )
        return dataclasses.replace(outcome, verdict=verdict, status=status(action, verdict, user.spam_action))

    async def pass_on(self, mail: InboundMessage, delivery: Delivery, content: bytes) -> Outcome:
        """Deliver a message that was not judged, with this content."""
        return await self._send(mail, delivery, untouched(delivery.request), content)

    def _changes(self, mail: InboundMessage, user: User, verdict: Verdict) -> Rewrite:
        """What we write into the message: our headers, and what the user's options ask for."""
        spam = verdict.result.spam
        inbound = verdict.source is None
        embed = inbound and verdict.signature and not user.signature_in_headers and not user.train_pristine
        tagged = user.tag_spam if spam else user.tag_nonspam
        return Rewrite(
            lines=tuple(header_lines(verdict)),
            utf8=b"SMTPUTF8" in map(bytes.upper, mail.envelope.parameters),
            subject_tag=user.spam_subject if spam and user.spam_action == "tag" else b"",
            text_tag=self._texts.text("msgtag.spam" if spam else "msgtag.nonspam") if tagged else b"",
            signature=verdict.signature if embed else None,
        )

    async def _send(
        self,
        mail: InboundMessage,
        delivery: Delivery,
        action: Action,
        content: bytes,
        *,
        spam: bool = False,
        owner: str = "",
    ) -> Outcome:
        """Hand the finished message to the next hop, the quarantine of `owner`, or our caller."""
        if action in (Action.NOTHING, Action.REFUSE):
            return Outcome(delivery.recipient, INFECTED if action is Action.REFUSE else KEPT, None)
        if action is Action.PRINT:
            return Outcome(delivery.recipient, PRINTED, None, printed=content)
        handover = Handover(
            sender=mail.envelope.sender,
            recipient=delivery.recipient.address,
            content=await aside(len(content), lambda: Message(content).crlf),
            mail_parameters=mail.envelope.parameters,
            rcpt_parameters=delivery.recipient.parameters,
            xforward=mail.envelope.xforward,
            spam=spam,
            user=delivery.user,
            arguments=delivery.request.agent_arguments,
            trusted=delivery.request.trusted,
        )
        if action is Action.QUARANTINE:
            return Outcome(delivery.recipient, await self._outlet.quarantine(handover, owner), None)
        return Outcome(delivery.recipient, await self._outlet.deliver(handover), None)
