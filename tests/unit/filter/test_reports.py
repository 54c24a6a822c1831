"""Mail to retraining addresses, from the envelope to the reply: permissions, lessons, deliveries."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from dspamd.engine.model import Label, Lesson, Source
from dspamd.engine.tokenizer import crc64
from dspamd.filter.pipeline import Pipeline
from dspamd.filter.training import UnknownSignature
from dspamd.request.envelope import Envelope, Recipient
from dspamd.request.request import Request
from dspamd.server.filter import Answer
from dspamd.server.mailfilter import MailFilter
from tests.support.counters import counted
from tests.support.logged import Logged
from tests.support.pipeline import BOTH, HAM, SPAM, PipelineFixture, header, open_pipeline, signature_of

BOB, CAROL = "bob@example.net", "carol@example.net"
LINES = ("ParseToHeaders on", "ChangeModeOnParse on", "ChangeUserOnParse full", "RetrainedMail drop")
LOCAL = {"SOURCE": "LOCAL", "IDENT": "4Qx"}
REMOTE = {"SOURCE": "REMOTE"}
LOG_IN = f"Not allowed: send the report as {BOB}, logged in to the mail server of that account"
NOT_ALLOWED = f"550 5.7.1 <spam-{BOB}> {LOG_IN}"
ATTACH = "Unable to find a valid signature: forward the message as an attachment"
NO_SIGNATURE = f"550 5.6.0 <spam-{BOB}> {ATTACH}"


class Desk:
    """A filter as mail servers see it, and the mail of some users."""

    def __init__(self, fixture: PipelineFixture) -> None:
        self.fixture, self.metrics = fixture, fixture.parts.metrics
        self._filter = MailFilter(fixture.parts.config, self._pipeline_of)

    async def _pipeline_of(self, profile: str | None) -> Pipeline:
        return self.fixture.pipeline

    async def inbound(self, *mails: bytes, user: str = BOB) -> list[bytes]:
        """Mail as the user finds it in the mailbox."""
        for mail in mails:
            await self.fixture.process(mail, BOTH, user)
        found = [each.content for each in self.fixture.outlet.delivered]
        self.fixture.outlet.delivered.clear()
        return found

    async def send(
        self, content: bytes, *to: str, sender: str = BOB, xforward: dict[str, str] | None = None
    ) -> list[str]:
        recipients = tuple(Recipient(each.encode()) for each in to or (f"spam-{BOB}",))
        envelope = Envelope(sender.encode(), recipients, content, xforward=xforward or {})
        answer = Answer(len(recipients))
        await self._filter.filter(envelope, None, None, answer)
        return [str(reply) async for batch in answer.replies() for reply in batch]

    async def corrected(self, user: str = BOB) -> tuple[int, int]:
        totals = await self.fixture.totals(user)
        return totals.spam_misclassified, totals.innocent_misclassified

    @property
    def delivered(self) -> list[str]:
        return [each.recipient.decode() for each in self.fixture.outlet.delivered]


@asynccontextmanager
async def desk(home: Path, *lines: str) -> AsyncIterator[Desk]:
    async with open_pipeline(home, *LINES, *lines) as made:
        yield Desk(made)


def attached(*originals: bytes, kind: bytes = b"mixed", to: str = f"spam-{BOB}") -> bytes:
    """A report with originals attached."""
    head = b"From: bob@example.net\r\nTo: %b\r\nSubject: Fwd\r\nMIME-Version: 1.0\r\n" % to.encode()
    head += b"Content-Type: multipart/%b; boundary=b\r\n\r\n" % kind
    type_ = b"" if kind == b"digest" else b"Content-Type: message/rfc822\r\n"
    return head + b"".join(b"--b\r\n%b\r\n%b\r\n" % (type_, each) for each in originals) + b"--b--\r\n"


def inline(mail: bytes) -> bytes:
    """A mail forwarded within the text, by a mail program that leaves out our headers."""
    body = mail.partition(b"\r\n\r\n")[2]
    return (
        b"From: Bob <bob@example.net>\r\nTo: spam-bob@example.net\r\nSubject: Fwd: pills\r\n\r\n"
        b"zebra quagga\r\n\r\n-------- Forwarded Message --------\r\nSubject: \tpills\r\n"
        b"Date: \tSun, 1 Nov 2026 10:00:00 +0000\r\nFrom: \tx@spam.example\r\nTo: \tbob@example.net\r\n\r\n"
        + body
    )


# --- who may -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("allowed", "sender", "xforward", "admitted"),
    [
        ("", BOB, REMOTE, True),
        ("", "Bob@Example.NET", {}, True),
        ("", "eve@elsewhere.example", REMOTE, False),
        ("", "eve@elsewhere.example", {}, False),
        ("", "", REMOTE, False),
        ("", "bob@elsewhere.example", REMOTE, False),
        ("", "robert@example.net", LOCAL, True),
        ("local", BOB, REMOTE, False),
        ("local", BOB, {}, False),
        ("local", BOB, LOCAL, True),
        ("user", "robert@example.net", LOCAL, False),
        ("user", BOB, REMOTE, True),
        ("any", "eve@elsewhere.example", REMOTE, True),
        ("any", "", {}, True),
    ],
)
async def test_who_may_correct(
    tmp_path: Path, logged: Logged, allowed: str, sender: str, xforward: dict[str, str], admitted: bool
) -> None:
    async with desk(tmp_path, f"RetrainFrom {allowed}" if allowed else "") as d:
        (stolen,) = await d.inbound(SPAM)
        logged.take()
        (reply,) = await d.send(attached(stolen), sender=sender, xforward=xforward)
        assert await d.corrected() == ((1, 0) if admitted else (0, 0))
        assert d.delivered == []
    assert reply == (f"250 2.6.0 <{BOB}> 1 message corrected" if admitted else NOT_ALLOWED)
    outcome = "learned" if admitted else "forbidden"
    assert counted(d.metrics.training) == {("spam", "error", outcome): 1}
    if not admitted:
        told = logged.take()
        assert f'user={BOB} rcpt=spam-{BOB} reply="550 5.7.1 Not allowed: ' in told
        assert f'reason="sender <{sender}>, source {xforward.get("SOURCE", "unknown")}"' in told


async def test_the_detail_of_a_sender_does_not_count(tmp_path: Path) -> None:
    async with desk(tmp_path, "EnablePlusedDetail on") as d:
        (mail,) = await d.inbound(SPAM)
        await d.send(attached(mail), sender="bob+lists@example.net")
        assert await d.corrected() == (1, 0)


async def test_a_user_corrects_nothing_of_another(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        (bobs,) = await d.inbound(SPAM)
        await d.inbound(HAM, user=CAROL)
        (reply,) = await d.send(attached(bobs), f"spam-{CAROL}", sender=CAROL)
        assert reply.startswith("550 5.6.0 ")
        assert (await d.corrected(), await d.corrected(CAROL)) == ((0, 0), (0, 0))


# --- corrections ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [b"mixed", b"digest"])
async def test_every_attached_mail_is_corrected_and_the_answer_says_how_many(
    tmp_path: Path, logged: Logged, kind: bytes
) -> None:
    async with desk(tmp_path) as d:
        mails = await d.inbound(SPAM, SPAM.replace(b"pills", b"watches"), SPAM.replace(b"pills", b"loans"))
        for _ in range(2):  # the second report changes nothing
            assert await d.send(attached(*mails, kind=kind)) == [f"250 2.6.0 <{BOB}> 3 messages corrected"]
            assert await d.corrected() == (3, 0)
        assert d.delivered == []
    assert f"event=report user={BOB} rcpt=spam-{BOB} messages=3 corrected=3" in logged.take()


async def test_what_is_unknown_in_a_report_does_not_hinder_the_others(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        known, other = await d.inbound(SPAM, HAM)
        other = other.replace(b"X-DSPAM-Signature: ", b"X-DSPAM-Signature: 0")
        unknown, why = "Unable to find a valid signature", f"the message is too old, or did not come to {BOB}"
        for report in (attached(known, other), attached(other, known)):
            (reply,) = await d.send(report)
            assert reply == f"550 5.6.0 <spam-{BOB}> 1 of 2 messages corrected; {unknown}: {why}"
            assert await d.corrected() == (1, 0)
        (reply,) = await d.send(attached(other, other.replace(b"Signature: 0", b"Signature: 1")))
        assert reply == f"550 5.6.0 <spam-{BOB}> Unable to find a valid signature: {why}"


async def test_each_recipient_of_a_message_has_his_own(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        (mail,) = await d.inbound(SPAM)
        replies = await d.send(attached(mail), f"spam-{BOB}", CAROL, f"notspam-{CAROL}")
        assert replies[:2] == [
            f"250 2.6.0 <{BOB}> 1 message corrected",
            f"250 2.6.0 <{CAROL}> Message accepted for delivery",
        ]
        assert replies[2].startswith("550 5.7.1 ")
        assert d.delivered == [CAROL]
        assert await d.corrected() == (1, 0)


@pytest.mark.parametrize(
    "to", [b"To: spam-bob@example.net, carol@example.net", b"To: <notspam-l@lists.example>"]
)
async def test_nobodys_mail_disappears(tmp_path: Path, to: bytes) -> None:
    async with desk(tmp_path) as d:
        (reply,) = await d.send(to + b"\r\n" + HAM, CAROL, sender="eve@elsewhere.example")
        assert reply == f"250 2.6.0 <{CAROL}> Message accepted for delivery"
        assert d.delivered == [CAROL]


async def test_several_attached_mails_are_corrected_for_a_command_too(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        mails = await d.inbound(SPAM, SPAM.replace(b"pills", b"loans"))
        request = Request(lesson=Lesson(Label.SPAM, Source.ERROR), deliver_spam=True)
        outcome = await d.fixture.process(attached(*mails), request, BOB)
        assert await d.corrected() == (2, 0)
        assert outcome.said == "Message accepted for delivery, 2 messages corrected"
        assert d.delivered == [BOB]
        assert signature_of(outcome).encode() in mails[0]


# --- mail without a signature --------------------------------------------------------------


async def learned(d: Desk, *words: str) -> list[tuple[int, int]]:
    """Hits in spam and innocent mail of words in a text."""
    hits = await d.fixture.dump(BOB)
    return [hits.get(crc64(word.encode()), (0, 0)) for word in words]


async def test_a_text_forwarded_inline_is_learned_without_what_is_around_it(tmp_path: Path) -> None:
    async with desk(tmp_path, "Tokenizer word") as d:
        await d.inbound(SPAM)
        assert await learned(d, "casino", "Subject*pills", "quagga") == [(0, 1), (0, 1), (0, 0)]
        words = ("casino", "Subject*pills", "quagga", "zebra", "Forwarded", "Subject*Fwd")
        for to, hits, corrected in (
            ("spam-", (1, 0), (1, 0)),
            ("spam-", (1, 0), (1, 0)),  # the second report changes nothing
            ("notspam-", (0, 1), (0, 0)),
        ):
            assert await d.send(inline(SPAM), to + BOB, xforward=LOCAL) == [
                f"250 2.6.0 <{BOB}> 1 message corrected"
            ]
            assert await learned(d, *words) == [hits, hits, *[(0, 0)] * 4]
            assert await d.corrected() == corrected


async def test_a_text_for_who_has_no_dictionary_makes_none(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        (reply,) = await d.send(inline(SPAM), xforward=LOCAL)
        assert reply.startswith("550 5.6.0 ")
        assert await d.fixture.parts.storage.uid(BOB, create=False) is None


async def test_an_attached_original_without_signature_is_learned(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        await d.inbound(HAM)
        assert await d.send(attached(SPAM, SPAM), xforward=LOCAL) == [
            f"250 2.6.0 <{BOB}> 2 messages corrected"
        ]
        assert await d.corrected() == (1, 0)  # they are the same


@pytest.mark.parametrize(
    ("allowed", "sender"), [("any", "eve@elsewhere.example"), ("local user", BOB), ("user", BOB)]
)
async def test_who_may_be_a_stranger_teaches_no_text(tmp_path: Path, allowed: str, sender: str) -> None:
    """The sender may be forged, and a text needs no signature."""
    async with desk(tmp_path, f"RetrainFrom {allowed}") as d:
        await d.inbound(HAM)
        for report in (inline(SPAM), attached(SPAM)):
            assert await d.send(report, sender=sender, xforward=REMOTE) == [NO_SIGNATURE]
        assert await d.corrected() == (0, 0)


async def test_a_report_of_nothing_is_answered_with_what_to_do(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        await d.inbound(HAM)
        assert await d.send(b"Subject: Fwd\r\n\r\nlook at this\r\n", xforward=LOCAL) == [NO_SIGNATURE]
        assert await d.corrected() == (0, 0)


@pytest.mark.parametrize(
    ("allowed", "xforward", "answer"),
    [
        ("local user", REMOTE, NOT_ALLOWED),
        ("local user", LOCAL, f"250 2.6.0 <{BOB}> 1 message corrected"),
        ("any", REMOTE, f"250 2.6.0 <{BOB}> 1 message corrected"),
    ],
)
async def test_pristine_mail_is_learned_as_it_was(
    tmp_path: Path, allowed: str, xforward: dict[str, str], answer: str
) -> None:
    async with desk(tmp_path, "TrainPristine on", f"RetrainFrom {allowed}") as d:
        await d.inbound(SPAM)
        assert await d.send(attached(SPAM), xforward=xforward) == [answer]
        assert await d.corrected() == (int(answer.startswith("250")), 0)


# --- deliveries ----------------------------------------------------------------------------


async def test_the_user_gets_the_report_back_as_with_dspam(tmp_path: Path) -> None:
    async with open_pipeline(tmp_path, *LINES[:-1]) as made:
        d = Desk(made)
        mails = await d.inbound(SPAM, HAM)
        assert await d.send(attached(*mails), f"notspam-{BOB}") == [
            f"250 2.6.0 <{BOB}> Message accepted for delivery, 2 messages corrected"
        ]
        assert d.delivered == [BOB]
        assert b"\r\nX-DSPAM-Reclassified: Innocent\r\n" in made.outlet.delivered[0].content


# --- mail that its user moved to a folder ---------------------------------------------------


async def file(d: Desk, content: bytes, label: Label, user: str = BOB) -> None:
    """What the mail server tells when a user moves a message."""
    await d.fixture.process(content, Request(lesson=Lesson(label, Source.ERROR), filed=True), user)


async def test_a_moved_message_is_corrected_by_its_header_and_the_last_move_counts(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        (delivered,) = await d.inbound(SPAM)
        for label, corrected in ((Label.SPAM, 1), (Label.INNOCENT, 0), (Label.SPAM, 1), (Label.SPAM, 1)):
            await file(d, delivered, label)
            assert (await d.corrected())[0] == corrected
        assert d.delivered == []


@pytest.mark.parametrize("known", [True, False])
async def test_a_moved_message_is_a_lesson_about_itself_not_about_what_it_brings(
    tmp_path: Path, known: bool
) -> None:
    async with desk(tmp_path, "Tokenizer word") as d:
        ham, spam = await d.inbound(HAM, SPAM)
        brings = attached(ham).replace(b"Subject: Fwd", b"Subject: zebra")
        id_ = header(spam, "X-DSPAM-Signature").encode()
        moved = brings.replace(b"\r\n", b"\r\nX-DSPAM-Signature: %b\r\n" % id_, 1)
        await file(d, moved if known else brings, Label.SPAM)
        assert await learned(d, "casino") == ([(1, 0)] if known else [(0, 1)])
        assert await learned(d, "Subject*zebra") == ([(0, 0)] if known else [(1, 0)])
        assert await d.corrected() == (1, 0)


async def test_a_moved_message_without_a_signature_of_its_user_is_learned_by_its_text_once(
    tmp_path: Path,
) -> None:
    async with desk(tmp_path) as d:
        await d.inbound(HAM)
        (delivered,) = await d.inbound(SPAM, user=CAROL)
        for mail, before in ((SPAM, 0), (delivered, 1)):  # Bob does not have Carol's signature
            for label, corrected in ((Label.SPAM, 1), (Label.SPAM, 1), (Label.INNOCENT, 0), (Label.SPAM, 1)):
                await file(d, mail, label)
                assert (await d.corrected())[0] == before + corrected
        assert await d.corrected(CAROL) == (0, 0)


async def test_the_last_folder_of_a_message_that_we_never_judged_counts(tmp_path: Path) -> None:
    async with desk(tmp_path, "Tokenizer word") as d:
        await d.inbound(HAM)
        for label, hits in ((Label.SPAM, (1, 0)), (Label.INNOCENT, (0, 1)), (Label.SPAM, (1, 0))):
            await file(d, SPAM, label)
            assert await learned(d, "casino") == [hits]


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("Opt in", "Nothing to learn from"),
        ("MaxMessageSize 10", "Nothing to learn from"),
        ("Opt out", f"No mail was filtered for {BOB} yet: is this the name of the user in dspamd?"),
    ],
)
async def test_a_moved_message_of_somebody_without_filtered_mail_teaches_nothing(
    tmp_path: Path, line: str, text: str
) -> None:
    async with desk(tmp_path, line) as d:
        with pytest.raises(UnknownSignature, match=re.escape(text)):
            await file(d, SPAM, Label.SPAM)
        assert await d.fixture.parts.storage.uid(BOB, create=False) is None
