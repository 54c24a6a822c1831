"""A message on its way to one recipient, and the words of that way.

    InboundMessage  a message as it came, and what is derived from it once (`transaction`)
    Delivery        one recipient of a message: user, address, request (`request.recipients`)
    Passage         the message on its way to that recipient, with the user's record
    Finding         what a scanner found; it decides before the statistics do (`scan.scanners`)
    Scoring         what a dictionary says of the tokens, and what they teach it (`dictionary`)
    Decision        the verdict, and what the pipeline commits after the hand-over (`decision`)
    Verdict         what the recipient and the client may see of a decision (`verdict`)
    Outcome         what the client is answered: reply, verdict, status (`verdict`)
    Processed       what observers see of a passage that is over (`observers.observer`)

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

    user       whose preferences and dictionary apply; for a correction the owner of the signature
    signature  the id that a correction or inoculation names or brings back, None if there is none
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
