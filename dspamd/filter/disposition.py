"""The disposition of a message: our changes to it, its destination, and its arrival.

    verdict  ->  action (deliver, print, quarantine, refuse, nothing)  ->  our headers, tags and the
    signature  ->  the next hop, a quarantine, or the client

It ends when the next hop has answered; a refusal raises `PermFail`, a failure that may pass
`TempFail`.  The pipeline learns and logs afterwards.  `action` chooses the action,
`mail.rewrite` edits the message, the `Outlet` delivers it.
"""

from __future__ import annotations

import dataclasses

from dspamd.config.config import Config
from dspamd.engine.model import Source
from dspamd.errors import Reply
from dspamd.filter.action import Action, choose, status, untouched
from dspamd.filter.outlet import Handover, Outlet
from dspamd.filter.passage import Passage
from dspamd.filter.transaction import InboundMessage
from dspamd.filter.verdict import Outcome, Verdict, header_lines, twin_lines
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
    """Sends messages off.  The methods raise `TempFail` and `PermFail` if a message does not arrive."""

    def __init__(self, config: Config, outlet: Outlet, texts: Texts) -> None:
        self._config, self._outlet, self._texts = config, outlet, texts

    async def send(
        self, passage: Passage, verdict: Verdict, *, found: str = "", summary: bytes = b"", said: str = ""
    ) -> Outcome:
        """Send a message to the destination of its verdict, with our headers.

        `found` is a scanner's word for it in the logs, `summary` and `said` go to the client (`Outcome`).
        """
        mail, delivery, user = passage.mail, passage.delivery, passage.user
        corrects, spam = verdict.source is Source.ERROR, verdict.result.spam
        if corrects and not delivery.request.recipients:  # it came to an alias, and goes on to the user
            delivery = dataclasses.replace(delivery, recipient=recipient_of(user.name))
        action = choose(
            verdict,
            delivery.request,
            _spam_action(user, verdict),
            self._config.ClamAVResponse,
            agent=bool(self._config.QuarantineAgent),
            next_hop=bool(self._config.DeliveryHost or self._config.suffixes(Config.DeliveryHost)),
        )
        content = b""
        if action not in (Action.NOTHING, Action.REFUSE):
            changes = self._changes(mail, user, verdict)
            release = corrects and not spam
            content = await aside(
                len(mail.message),
                lambda: rewrite(released(mail.message) if release else mail.message, changes),
            )
        return Outcome(
            delivery.recipient,
            await self._bring(mail, delivery, action, content, spam=spam, owner=user.file_name),
            verdict,
            summary,
            content if action is Action.PRINT else b"",
            found or status(action, verdict, _spam_action(user, verdict)),
            said,
        )

    async def pass_on(self, mail: InboundMessage, delivery: Delivery, content: bytes, status: str) -> Outcome:
        """Deliver a message without a verdict, with this content; `status` is for the logs."""
        action = untouched(delivery.request)
        reply = await self._bring(mail, delivery, action, content)
        printed = content if action is Action.PRINT else b""
        return Outcome(delivery.recipient, reply, None, printed=printed, status=status)

    def _changes(self, mail: InboundMessage, user: User, verdict: Verdict) -> Rewrite:
        """The changes to the message: our headers, and those that the user's options ask for."""
        spam = verdict.result.spam
        inbound = verdict.source is None
        embed = inbound and verdict.signature and not user.signature_in_headers and not user.train_pristine
        tagged = user.tag_spam if spam else user.tag_nonspam
        twins = self._config.SpamHeaders
        return Rewrite(
            lines=(*header_lines(verdict), *(twin_lines(verdict) if twins else ())),
            utf8=b"SMTPUTF8" in map(bytes.upper, mail.envelope.parameters),
            subject_tag=user.spam_subject if spam and _spam_action(user, verdict) == "tag" else b"",
            text_tag=self._texts.text("msgtag.spam" if spam else "msgtag.nonspam") if tagged else b"",
            signature=verdict.signature if embed else None,
            drop_twins=twins,
        )

    async def _bring(
        self,
        mail: InboundMessage,
        delivery: Delivery,
        action: Action,
        content: bytes,
        *,
        spam: bool = False,
        owner: str = "",
    ) -> Reply:
        """Hand the finished message to the next hop or to the quarantine of `owner`; the caller prints it."""
        match action:
            case Action.NOTHING:
                return KEPT
            case Action.REFUSE:
                return INFECTED
            case Action.PRINT:
                return PRINTED
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
            return await self._outlet.quarantine(handover, owner)
        return await self._outlet.deliver(handover)


def _spam_action(user: User, verdict: Verdict) -> str:
    """The action for spam: it is tagged, not quarantined, where little is known of its user."""
    return "tag" if verdict.unproven and user.spam_action == "quarantine" else user.spam_action
