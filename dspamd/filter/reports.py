"""Reports: mail by which users correct the filter, about one message or several.

The filter carries out a report to a retraining address if `RetrainFrom` admits its sender (`reporter`).
Each message in the report is a lesson of its own, with a line in the log and a record in the
history.  The signature of the message identifies the lesson.  From a message without one the filter
learns the text, as far as `mail.forward` can restore it, without the user's words around it; it does
so only if the mail server vouches for the client.  The text gets a signature first, the same for the
same text: so it counts once, and the opposite report takes it back.

A command that names the class itself needs no permission.  It corrects each original in a mail, too, and
refuses texts without a signature.

A message that its user moved to a folder is a lesson about itself, whatever is attached to it or quoted
in it.  If the user does not have its signature, because it is too old or the filter never saw the
message, the filter learns the text in the same way.

After that the report goes on to the user, as in DSPAM, or is dropped (`RetrainedMail drop`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable

from dspamd.config.config import Config
from dspamd.engine.arrival import Arrival, marked
from dspamd.engine.model import Learned, ScoreOptions, Source
from dspamd.engine.modes import effective
from dspamd.errors import PermFail
from dspamd.filter.dictionary import Dictionaries, Dictionary, Scoring
from dspamd.filter.disposition import Disposition
from dspamd.filter.observers.report import MessageLog
from dspamd.filter.passage import Passage
from dspamd.filter.training import UnknownSignature
from dspamd.filter.transaction import InboundMessage
from dspamd.filter.verdict import Outcome
from dspamd.mail.forward import forwarded
from dspamd.mail.signature import Reported, id_of_text, of_header
from dspamd.offload.threads import aside
from dspamd.request.envelope import Envelope
from dspamd.request.recipients import Delivery
from dspamd.request.reporter import NotAllowed, Reporter, reporter
from dspamd.request.request import Request
from dspamd.storage.contract import Change, Signature, Stored
from dspamd.telemetry import log
from dspamd.users.preferences import User
from dspamd.users.users import Users

Teach = Callable[[InboundMessage, Delivery], Awaitable[Outcome]]


class Reports:
    """Takes reports apart and has each of their lessons taught."""

    def __init__(
        self,
        config: Config,
        users: Users,
        dictionaries: Dictionaries,
        disposition: Disposition,
        log: MessageLog,
    ) -> None:
        self._config, self._users, self._disposition = config, users, disposition
        self._dictionaries = dictionaries
        self._log = log

    async def brings(self, mail: InboundMessage, request: Request) -> bool:
        """Whether a lesson is a report: to a retraining address, or about several messages."""
        if request.report is not None:
            return True
        if request.filed:
            return False
        if request.lesson is None or request.lesson.source is not Source.ERROR or request.signature:
            return False
        return sum(each.signature is not None for each in await mail.reported()) > 1

    async def carry_out(self, mail: InboundMessage, delivery: Delivery, teach: Teach) -> Outcome:
        """Teach every lesson of a report by `teach`, which delivers nothing; then deliver the report.

        Raises `NotAllowed`, and the exceptions of `teach`: then the client sends the report again, and
        lessons that were learned already count once.  Raises `UnknownSignature` if there is nothing to
        learn; also if a report by mail has a lesson that cannot be learned, since its sender sees no other
        answer: the mail comes back, and the other lessons stay learned.
        """
        lessons = await self._lessons(mail, delivery)
        outcomes: list[Outcome] = []
        unknown: UnknownSignature | None = None
        for lesson in lessons:
            try:
                outcomes.append(await teach(*lesson))
            except UnknownSignature as failure:
                unknown = failure
        if unknown is not None and not outcomes:
            raise UnknownSignature(f"{unknown.text}{_why(delivery)}", detail=unknown.detail)
        log.get().info(
            "report",
            queue_id=mail.envelope.queue_id,
            user=delivery.user,
            rcpt=delivery.recipient.text,
            messages=len(lessons),
            corrected=len(outcomes),
        )
        if unknown is not None and delivery.request.report:
            done = f"{len(outcomes)} of {len(lessons)} messages corrected"
            raise UnknownSignature(f"{done}; {unknown.text}{_why(delivery)}", detail=unknown.detail)
        return await self._answer(mail, delivery, outcomes, len(lessons))

    async def filed(self, mail: InboundMessage, delivery: Delivery) -> Delivery:
        """The delivery of a message that its user moved to a folder, with a signature that the user has.

        It never is the signature of another user, whose copy of the message is in another mailbox.
        Raises `UnknownSignature` for a user who has no dictionary: the mail server may have another name for
        them, and what it teaches under that one would serve nobody.
        """
        request = delivery.request
        user = await self._users.resolve(await self._users.verified(delivery.user))
        if not user.filtered:
            return delivery  # to be refused
        dictionary = await self._dictionaries.of(user, create=False)
        if dictionary.uid is None:
            text = f"No mail was filtered for {user.name} yet: is this the name of the user in dspamd?"
            raise UnknownSignature(text, detail=f"{user.owner} has no dictionary")
        id_ = None if user.train_pristine else of_header(mail.message)
        if id_ is None or await _stored(dictionary, id_) is None:
            new = id_ is None and not user.train_pristine
            id_ = await self._text_signature(mail.message.raw, dictionary, user, request, new=new)
        return dataclasses.replace(
            delivery, request=dataclasses.replace(request, signature=id_, trusted=False)
        )

    async def _lessons(
        self, mail: InboundMessage, delivery: Delivery
    ) -> list[tuple[InboundMessage, Delivery]]:
        """A message and a delivery for each lesson.  Raises `NotAllowed`, `UnknownSignature`."""
        request = delivery.request
        try:
            who = reporter(self._config, mail.envelope, request.report) if request.report else None
            user = await self._users.resolve(await self._users.verified(delivery.user))
            if who is not None and request.report and user.train_pristine:
                if not who.for_others:
                    raise NotAllowed(mail.envelope, request.report)
                found = await _pristine(mail)
            else:
                found = [await self._signed(each, request, user) for each in await _found(mail, who)]
        except PermFail as failure:
            if request.lesson is not None:
                self._log.turned_down(request.lesson, failure)
            raise
        for_others = request.trusted and (who is None or who.for_others)
        return [_lesson(mail, delivery, each, trusted=for_others) for each in found]

    async def _signed(self, each: Reported, request: Request, user: User) -> Reported:
        """A message with its signature, or with one made of its text, which is stored."""
        if each.signature is not None:
            return each
        dictionary = await self._dictionaries.of(user, create=False)
        if dictionary.uid is None:
            raise UnknownSignature("Nothing to correct", detail=f"{user.owner} has no dictionary")
        id_ = await self._text_signature(each.content, dictionary, user, request)
        return Reported(id_, each.content)

    async def _text_signature(
        self, content: bytes, dictionary: Dictionary, user: User, request: Request, *, new: bool = False
    ) -> str:
        """The id of a signature made of a text, which is stored; `new`: we have not seen it before."""
        id_ = id_of_text(content)
        if dictionary.uid is not None and await _stored(dictionary, id_) is None:
            text = InboundMessage(Envelope(b"", (), content))
            tokens = await text.tokens(user.token_options(request), user.signature_pass(None))
            options = user.score_options(request)
            scoring = await dictionary.score(tokens, options)
            stored = Signature(
                id_, await aside(8 * len(scoring.run), lambda: _data(scoring, options, new=new))
            )
            await dictionary.storage.apply(dictionary.uid, Change(Learned.nothing(), stored))
        return id_

    async def _answer(
        self, mail: InboundMessage, delivery: Delivery, outcomes: list[Outcome], lessons: int
    ) -> Outcome:
        """Deliver the report, if the site wants that; say how many messages were corrected."""
        first, count = outcomes[0], str(len(outcomes))
        said = f"{count if len(outcomes) == lessons else f'{count} of {lessons}'} messages corrected"
        if lessons == 1:
            said = "1 message corrected"
        summary = b"".join(outcome.summary for outcome in outcomes)
        if delivery.request.report is not None and self._config.RetrainedMail != "deliver":
            return dataclasses.replace(first, summary=summary, said=said)
        if first.verdict is None:
            raise RuntimeError("a lesson without a verdict")
        owner = await self._users.resolve(first.recipient.text)
        said = f"Message accepted for delivery, {said}"
        passage = Passage(mail, delivery, owner)
        return await self._disposition.send(passage, first.verdict, summary=summary, said=said)


async def _stored(dictionary: Dictionary, id_: str) -> Stored | None:
    """What the owner of a dictionary has under an id."""
    return None if dictionary.uid is None else await dictionary.storage.signature(dictionary.uid, id_)


def _data(scoring: Scoring, options: ScoreOptions, *, new: bool) -> bytes:
    """The content of the signature of a text whose verdict nobody knows any more, if there was one.

    In a mode that takes nothing back by itself the text was not learned, or nothing keeps what it taught.
    """
    seen = not new and effective(scoring.snapshot.totals, options, None).takes_back
    if options.strict or seen:
        return scoring.run.signature
    return marked(scoring.run.signature, Arrival(None, learned=False))


def _why(delivery: Delivery) -> str:
    """An explanation of an unknown signature for the sender of a report; commands need none."""
    report = delivery.request.report
    return f": the message is too old, or did not come to {report.address}" if report else ""


async def _found(mail: InboundMessage, who: Reporter | None) -> list[Reported]:
    """The messages in a report that can be learned.  Raises `UnknownSignature` if there are none."""
    found = await mail.reported()
    if who is None or not who.vouched:
        found = [each for each in found if each.signature]
    elif not found and (text := await aside(len(mail.message), lambda: forwarded(mail.message))):
        found = [Reported(None, text)]
    if not found:
        raise UnknownSignature(
            "Unable to find a valid signature: forward the message as an attachment",
            detail="neither a signature nor a forwarded text",
        )
    return found


async def _pristine(mail: InboundMessage) -> list[Reported]:
    """The messages as they were: for users without signatures (`TrainPristine`)."""
    found = await mail.reported() or [Reported(None, mail.message.raw)]
    return [Reported(None, each.content) for each in found]


def _lesson(
    mail: InboundMessage, delivery: Delivery, each: Reported, *, trusted: bool
) -> tuple[InboundMessage, Delivery]:
    """The lesson that one message of a report makes; it delivers nothing."""
    request = dataclasses.replace(
        delivery.request,
        report=None,
        signature=each.signature,
        deliver_innocent=False,
        deliver_spam=False,
        stdout=False,
        trusted=trusted,
    )
    envelope = dataclasses.replace(mail.envelope, content=each.content)
    return InboundMessage(envelope), dataclasses.replace(delivery, request=request)
