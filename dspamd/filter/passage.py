"""A message on its way to one recipient, and the terms of the pipeline.

    InboundMessage  a message as it came, with its views and tokens (`transaction`)
    Delivery        one recipient of a message: user, address, request (`request.recipients`)
    Passage         the message on its way to that recipient, with the user's record
    Finding         the result of a scanner; it decides before the statistics do (`scan.scanners`)
    Scoring         the result of the dictionary for the tokens, and their lesson (`dictionary`)
    Decision        the verdict, and the change that the pipeline commits later (`decision`)
    Verdict         the part of a decision that recipient and client may see (`verdict`)
    Outcome         the answer to the client: reply, verdict, status (`verdict`)
    Processed       the part of a finished passage that observers see (`observers.observer`)

Each stage of the pipeline takes a complete value and returns a complete one; nothing is filled in later.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from dspamd.engine.model import Lesson, ScoreOptions, TokenOptions
from dspamd.engine.tokenizer import Tokens
from dspamd.filter.transaction import InboundMessage
from dspamd.request.recipients import Delivery
from dspamd.request.request import Request
from dspamd.telemetry.stopwatch import Stopwatch
from dspamd.users.preferences import User


@dataclass(frozen=True, slots=True)
class Passage:
    """A message on its way to one recipient.

    user       the owner of preferences and dictionary; for a correction the owner of the signature
    signature  the id in a correction or inoculation; None without one
    time       when the passage began, in the time zone of the site
    """

    mail: InboundMessage
    delivery: Delivery
    user: User
    signature: str | None = None
    time: datetime = field(default_factory=datetime.now)
    watch: Stopwatch = field(default_factory=Stopwatch)

    @property
    def request(self) -> Request:
        return self.delivery.request

    @property
    def lesson(self) -> Lesson | None:
        """The lesson that the client teaches with the message; None: it is plain mail or a question."""
        return self.delivery.request.lesson

    @property
    def token_options(self) -> TokenOptions:
        return self.user.token_options(self.delivery.request)

    @property
    def score_options(self) -> ScoreOptions:
        return self.user.score_options(self.delivery.request)

    async def tokens(self, lesson: Lesson | None) -> Tokens:
        """The tokens of the message as the user's options see them, for this lesson."""
        return await self.mail.tokens(self.token_options, self.user.signature_pass(lesson))
