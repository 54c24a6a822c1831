"""The path of a message, on a real SQLite store, with an outlet that records.

The expected decisions are those of reference/cli.md 3.5; the expected lessons those of
engine.md 7.
"""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

import pytest

from dspamd.engine.model import Label, Lesson, Source, Totals
from dspamd.engine.tokenizer import crc64
from dspamd.errors import Failure, InvalidName, PermFail, TempFail
from dspamd.filter.training import UnknownSignature
from dspamd.filter.transaction import InboundMessage
from dspamd.mail.kept import entry
from dspamd.request.envelope import Envelope, Recipient
from dspamd.request.recipients import Delivery
from dspamd.request.request import Request
from dspamd.storage.contract import Signature, Stored, Uid
from dspamd.telemetry.recurring import AGAIN_S, WELL_S, Recurring
from tests.support.logged import Logged
from tests.support.pipeline import (
    BASE,
    BOTH,
    CORPUS_INNOCENT,
    ERROR_INNOCENT,
    ERROR_SPAM,
    HAM,
    INNOCENT_ONLY,
    SPAM,
    header,
    open_pipeline,
    signature_of,
)


async def test_mail_goes_on_with_our_headers_and_is_learned(tmp_path: Path) -> None:
    async with open_pipeline(tmp_path) as b:
        outcome = await b.process(HAM)
        (sent,) = b.outlet.delivered
        assert outcome.reply.ok
        assert header(sent.content, "X-DSPAM-Result") == "Innocent"
        assert header(sent.content, "X-DSPAM-Signature") == signature_of(outcome)
        assert sent.content.endswith(b"\r\n\r\nproject meeting minutes agenda review lunch\r\n")
        assert await b.totals() == Totals(innocent_learned=1)
        assert all(hits == (0, 1) for hits in (await b.dump()).values())


async def test_nothing_is_learned_from_mail_that_the_next_hop_did_not_take(tmp_path: Path) -> None:
    async with open_pipeline(tmp_path) as b:
        b.outlet.failure = TempFail("Unable to connect to server")
        with pytest.raises(TempFail):
            await b.process(HAM)
        assert (await b.totals(), await b.dump()) == (Totals(), {})


@pytest.mark.parametrize("on_fail", ["error", "unlearn"])
@pytest.mark.parametrize("source", [Source.ERROR, Source.CORPUS, Source.INOCULATION])
async def test_a_lesson_that_could_not_be_delivered_is_learned_when_it_is_repeated(
    tmp_path: Path, source: Source, on_fail: str
) -> None:
    lesson = dataclasses.replace(BOTH, lesson=Lesson(Label.SPAM, source))
    async with open_pipeline(tmp_path, f"OnFail {on_fail}") as b:
        await b.process(SPAM)
        mail = b.outlet.delivered.pop().content
        before = (await b.totals(), await b.dump())
        for b.outlet.failure in (TempFail("Unable to connect to server"), PermFail("Fatal: 550 no")):
            with pytest.raises(Failure):
                await b.process(mail, lesson)
            assert (await b.totals(), await b.dump()) == before
        b.outlet.failure = None
        await b.process(mail, lesson)
        totals, dump = await b.totals(), await b.dump()
        counted = (totals.spam_misclassified, totals.spam_corpusfed, totals.spam_learned)
        assert len(b.outlet.delivered) == 1
        assert counted == ((1, 0, 1) if source is Source.ERROR else (0, 1, 1))
        assert sum(spam for spam, _ in dump.values()) > sum(spam for spam, _ in before[1].values())


@pytest.mark.parametrize("algorithm", ["graham burton", "joint"])
async def test_spam_is_tagged_until_enough_is_known_of_a_user_and_quarantined_then(
    tmp_path: Path, algorithm: str
) -> None:
    """Seven lessons of each class: `feed` teaches six."""
    base = BASE.replace("graham burton", algorithm)
    async with open_pipeline(tmp_path, "QuarantineAfter 7", base=base) as b:
        await b.feed()
        await b.process(SPAM, INNOCENT_ONLY)
        (tagged,) = b.outlet.delivered
        assert header(tagged.content, "X-DSPAM-Result") == "Spam"
        assert header(tagged.content, "Subject") == "[SPAM] pills"
        await b.process(SPAM, INNOCENT_ONLY)  # eight spams by now, but six innocent messages
        assert len(b.outlet.delivered) == 2
        assert b.outlet.quarantined == []
        await b.process(HAM, Request(lesson=CORPUS_INNOCENT))
        await b.process(SPAM, INNOCENT_ONLY)
        ((owner, _),) = b.outlet.quarantined
        assert (owner, len(b.outlet.delivered)) == ("bob", 2)


async def test_what_little_is_known_changes_only_quarantine(tmp_path: Path) -> None:
    """The action that a user chose stays, and so does that of a site that quarantines at once."""
    async with open_pipeline(tmp_path, "QuarantineAfter 7") as b:
        await b.parts.storage.set_preference("bob", "spamAction", "deliver")
        await b.feed()
        await b.process(SPAM, INNOCENT_ONLY)
        (sent,) = b.outlet.delivered
        assert header(sent.content, "Subject") == "pills"
    async with open_pipeline(tmp_path) as b:
        await b.feed("ann")
        await b.process(SPAM, INNOCENT_ONLY, "ann")
        assert [owner for owner, _ in b.outlet.quarantined] == ["ann"]


def files(home: Path, pattern: str) -> list[Path]:
    return list(home.rglob(pattern))


async def test_mail_that_could_not_be_delivered_leaves_no_dictionary(tmp_path: Path) -> None:
    """A hash file is as large as HashRecMax says, even with few records."""
    config = BASE.replace("sqlite3_drv", "hash_drv\nHashRecMax 6291469")
    async with open_pipeline(tmp_path, base=config) as b:
        for b.outlet.failure in (TempFail("Unable to connect to server"), PermFail("Fatal: 550 no")):
            with pytest.raises(Failure):
                await b.process(HAM)
        assert files(tmp_path, "*.css") == []
        b.outlet.failure = None
        await b.process(HAM)
        (file,) = files(tmp_path, "*.css")
        assert file.stat().st_blocks * 512 < file.stat().st_size // 10
        assert (await b.totals()).innocent_learned == 1


async def test_a_delivery_that_failed_is_on_record(tmp_path: Path) -> None:
    async with open_pipeline(tmp_path, "SystemLog on", "UserLog on") as b:
        b.outlet.failure = TempFail("Unable to connect to server")
        with pytest.raises(TempFail):
            await b.process(HAM)
    (line,) = (tmp_path / "system.log").read_text().splitlines()
    fields = line.split("\t")
    assert (fields[1], fields[7]) == ("E", "Delivery Failed (Unable to connect to server)")


async def test_forged_headers_do_not_survive(tmp_path: Path) -> None:
    async with open_pipeline(tmp_path) as b:
        await b.process(b"X-DSPAM-Result: Innocent\r\nX-DSPAM-Signature: 1234\r\n" + SPAM)
        (sent,) = b.outlet.delivered
        assert header(sent.content, "X-DSPAM-Signature") != "1234"
        assert b"\r\nX-DSPAM-Result: " in sent.content
        assert sent.content.count(b"X-DSPAM-Result") == 1


async def test_spam_is_recognized_and_kept_back(tmp_path: Path) -> None:
    async with open_pipeline(tmp_path) as b:
        await b.feed()
        outcome = await b.process(SPAM, INNOCENT_ONLY)
        assert outcome.status == "Quarantined"
        ((owner, handover),) = b.outlet.quarantined
        assert owner == "bob"
        assert header(handover.content, "X-DSPAM-Result") == "Spam"
        assert b.outlet.delivered == []


async def test_spam_is_tagged_for_who_wants_it_tagged(tmp_path: Path) -> None:
    async with open_pipeline(tmp_path, 'Preference "spamAction=tag" "spamSubject=[JUNK]" "tagSpam=on"') as b:
        await b.feed()
        outcome = await b.process(SPAM, INNOCENT_ONLY)
        (sent,) = b.outlet.delivered
        assert header(sent.content, "Subject") == "[JUNK] pills"
        assert b"-- spam --" in sent.content
        assert outcome.status == "Tagged"


async def test_a_tag_without_its_text_is_told_and_changes_nothing(tmp_path: Path, logged: Logged) -> None:
    async with open_pipeline(tmp_path, 'Preference "tagNonspam=on"') as b:
        await b.process(HAM)
        (sent,) = b.outlet.delivered
        assert header(sent.content, "X-DSPAM-Result") == "Innocent"
        assert sent.content.endswith(HAM.partition(b"\r\n\r\n")[2])
        assert "msgtag.nonspam" in logged.take()


async def test_two_users_have_two_dictionaries(tmp_path: Path) -> None:
    async with open_pipeline(tmp_path) as b:
        await b.feed("bob")
        spam_for_bob = await b.process(SPAM, user="bob")
        spam_for_ann = await b.process(SPAM, user="ann")
        assert spam_for_bob.verdict is not None
        assert spam_for_ann.verdict is not None
        assert (spam_for_bob.verdict.result.spam, spam_for_ann.verdict.result.spam) == (True, False)


async def test_classifying_changes_nothing(tmp_path: Path) -> None:
    async with open_pipeline(tmp_path) as b:
        await b.feed()
        before = (await b.totals(), await b.dump())
        outcome = await b.process(SPAM, Request(classify=True))
        assert outcome.summary.startswith(b'X-DSPAM-Result: bob; result="Spam"; class="Spam"; ')
        assert outcome.summary.endswith(b"signature=N/A\n")
        assert (await b.totals(), await b.dump()) == before
        assert b.outlet.delivered == []


async def test_classifying_names_the_tokens_for_who_shows_factors(tmp_path: Path) -> None:
    async with open_pipeline(tmp_path, 'Preference "showFactors=on"') as b:
        await b.feed()
        told = (await b.process(SPAM, Request(classify=True))).summary.splitlines()
        assert told[0].startswith(b"X-DSPAM-Result: bob; ")
        assert b"S: 00006  I: 00000  P: 0.9900  cheap+pills" in told[1:]
        assert len(told) <= 1 + 27
        (line,) = (await b.process(HAM, Request(summary=True))).summary.splitlines()
        assert line.startswith(b"X-DSPAM-Result: bob; ")


async def test_classifying_answers_for_unknown_users_and_makes_none(tmp_path: Path) -> None:
    async with open_pipeline(tmp_path) as b:
        outcome = await b.process(SPAM, Request(classify=True), user="nobody")
        assert b'result="Innocent"' in outcome.summary
        assert await b.parts.storage.uid("nobody", create=False) is None


FORGED = b"X-Spam-Status: No, score=-9\r\nX-Spam-Level: \r\n"


@pytest.mark.parametrize("strict", ["on", "off"])
async def test_the_fields_of_spamassassin_beside_ours(tmp_path: Path, strict: str) -> None:
    """Forged ones go; a message that is learned from its text teaches nothing by ours."""
    lines = ("SpamHeaders on", f"StrictCompatibility {strict}")
    async with open_pipeline(tmp_path, *lines) as b:
        await b.feed()
        await b.process(FORGED + SPAM)
        content = b.outlet.delivered[-1].content
        assert header(content, "X-DSPAM-Result") == "Spam"
        assert header(content, "X-Spam-Flag") == "YES"
        assert header(content, "X-Spam-Status") == "Yes, score=9.9 required=5.0 tests=DSPAM_SPAM"
        assert content.count(b"X-Spam-") == 4
        known = await b.dump()
        await b.process(b"".join(content.partition(b"X-Spam-Flag")[1:]), Request(lesson=CORPUS_INNOCENT))
        assert (await b.dump()).keys() == known.keys()


async def test_the_fields_of_spamassassin_are_those_of_others_by_default(tmp_path: Path) -> None:
    async with open_pipeline(tmp_path) as b:
        await b.process(FORGED + HAM)
        assert b.outlet.delivered[-1].content.startswith(FORGED)
        assert b.outlet.delivered[-1].content.count(b"X-Spam-") == 2


@pytest.mark.parametrize(
    ("parameters", "tag"), [((), b"=?utf-8?b?W1NQw4RNXQ==?="), ((b"smtputf8",), "[SPÄM]".encode())]
)
async def test_a_subject_tag_that_is_not_ascii(
    tmp_path: Path, parameters: tuple[bytes, ...], tag: bytes
) -> None:
    lines = ('Preference "spamAction=tag"', 'Preference "spamSubject=[SPÄM]"')
    async with open_pipeline(tmp_path, *lines) as b:
        await b.feed()
        recipient = Recipient(b"bob")
        mail = InboundMessage(Envelope(b"x@example.org", (recipient,), SPAM, parameters))
        await b.pipeline.process(mail, Delivery("bob", recipient, BOTH))
        assert b"Subject: " + tag + b" pills\r\n" in b.outlet.delivered[0].content


async def test_a_signature_without_room_is_not_promised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logged: Logged
) -> None:
    async def has_room(uid: Uid, signature: Signature) -> bool:
        return len(signature.data) <= 100

    async with open_pipeline(tmp_path, 'Preference "signatureLocation=message"') as b:
        monkeypatch.setattr(b.parts.storage, "has_room", has_room)
        outcome = await b.process(HAM)
        (sent,) = b.outlet.delivered
        assert outcome.verdict is not None
        assert outcome.verdict.signature is None
        assert header(sent.content, "X-DSPAM-Result") == "Innocent"
        assert b"X-DSPAM-Signature" not in sent.content
        assert b"!DSPAM" not in sent.content
        assert await b.totals() == Totals(innocent_learned=1)
        assert "signature_not_kept" in logged.take()


class TestCorrection:
    """By signature: exact, once, and back again."""

    async def test_moves_counters_exactly(self, tmp_path: Path) -> None:
        async with open_pipeline(tmp_path) as b:
            seen = await b.process(SPAM)  # innocent for an empty dictionary
            known = await b.dump()
            request = Request(lesson=ERROR_SPAM, signature=signature_of(seen))
            await b.process(b"\n\n", request)
            assert await b.totals() == Totals(spam_learned=1, spam_misclassified=1)
            assert await b.dump() == dict.fromkeys(known, (1, 0))

    async def test_looks_its_signature_up_once(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        async with open_pipeline(tmp_path) as b:
            seen, look_up = await b.process(SPAM), b.parts.storage.signature
            asked: list[str] = []

            async def signature(uid: Uid, id_: str) -> Stored | None:
                asked.append(id_)
                return await look_up(uid, id_)

            monkeypatch.setattr(b.parts.storage, "signature", signature)
            await b.process(b"\n\n", Request(lesson=ERROR_SPAM, signature=signature_of(seen)))
            assert asked == [signature_of(seen)]
            assert await b.totals() == Totals(spam_learned=1, spam_misclassified=1)

    async def test_counts_once_and_the_opposite_restores(self, tmp_path: Path) -> None:
        async with open_pipeline(tmp_path) as b:
            await b.feed()
            seen = await b.process(SPAM + b"something new\r\n")
            spam = Request(lesson=ERROR_SPAM, signature=signature_of(seen))
            innocent = dataclasses.replace(spam, lesson=ERROR_INNOCENT)
            before = (await b.totals(), await b.dump())
            await b.process(b"\n\n", innocent)
            corrected = (await b.totals(), await b.dump())
            assert corrected != before
            await b.process(b"\n\n", innocent)
            assert (await b.totals(), await b.dump()) == corrected
            await b.process(b"\n\n", spam)
            assert (await b.totals(), await b.dump()) == before
            await b.process(b"\n\n", spam)
            assert (await b.totals(), await b.dump()) == before
            await b.process(b"\n\n", innocent)
            assert (await b.totals(), await b.dump()) == corrected

    async def test_counts_every_time_in_strict_compatibility(self, tmp_path: Path) -> None:
        async with open_pipeline(tmp_path, "StrictCompatibility on") as b:
            seen = await b.process(SPAM)
            request = Request(lesson=ERROR_SPAM, signature=signature_of(seen))
            await b.process(b"\n\n", request)
            await b.process(b"\n\n", request)
            assert await b.totals() == Totals(spam_learned=2, spam_misclassified=2)

    @pytest.mark.parametrize("user", ["bob", "ann", "stranger"])
    async def test_of_what_is_not_there_changes_nothing_for_anyone(self, tmp_path: Path, user: str) -> None:
        async with open_pipeline(tmp_path) as b:
            seen = await b.process(SPAM, user="bob")
            await b.process(HAM, user="ann")
            before = [(await b.totals(who), await b.dump(who)) for who in ("bob", "ann")]
            signature = "6b000a80122151437417508" if user == "bob" else signature_of(seen)
            with pytest.raises(UnknownSignature) as caught:
                await b.process(b"\n\n", Request(lesson=ERROR_SPAM, signature=signature), user=user)
            assert caught.value.reply.code == 550
            assert [(await b.totals(who), await b.dump(who)) for who in ("bob", "ann")] == before

    async def test_finds_the_signature_in_the_mail_and_hands_it_on_if_asked(self, tmp_path: Path) -> None:
        async with open_pipeline(tmp_path) as b:
            await b.feed()
            await b.process(SPAM)
            returned = b.outlet.delivered.pop().content
            outcome = await b.process(returned, dataclasses.replace(INNOCENT_ONLY, lesson=ERROR_INNOCENT))
            (sent,) = b.outlet.delivered
            assert header(sent.content, "X-DSPAM-Reclassified") == "Innocent"
            assert b"X-DSPAM-Result" not in sent.content
            assert sent.recipient == b"bob"
            assert outcome.status == "Retrained"
            assert (await b.totals()).innocent_misclassified == 1

    async def test_releases_a_message_as_it_was_before_its_quarantine(self, tmp_path: Path) -> None:
        body = b"\r\n".join([b"", b"From here", b">From there", b">>From where", b"", b"", b""])
        async with open_pipeline(tmp_path) as b:
            await b.feed()
            await b.process(SPAM + body, INNOCENT_ONLY)
            (_, taken), *_ = b.outlet.quarantined
            kept = entry(taken.content, "Fri Nov 20 09:16:09 2026")
            await b.process(kept, dataclasses.replace(INNOCENT_ONLY, lesson=ERROR_INNOCENT))
            (sent,) = b.outlet.delivered
            assert sent.content.endswith(SPAM.partition(b"\r\n\r\n")[2] + body)
            assert b"X-DSPAM-Quarantined" not in sent.content
            assert sent.recipient == b"bob"

    async def test_hands_on_to_the_recipient_that_is_named(self, tmp_path: Path) -> None:
        release = dataclasses.replace(INNOCENT_ONLY, lesson=ERROR_INNOCENT, recipients=("bob@example.net",))
        async with open_pipeline(tmp_path) as b:
            await b.feed()
            await b.process(SPAM, INNOCENT_ONLY)
            (_, taken), *_ = b.outlet.quarantined
            await b.process(entry(taken.content, "Fri Nov 20 09:16:09 2026"), release)
            assert [sent.recipient for sent in b.outlet.delivered] == [b"bob@example.net"]

    async def test_without_any_signature_is_refused(self, tmp_path: Path) -> None:
        async with open_pipeline(tmp_path) as b:
            with pytest.raises(UnknownSignature):
                await b.process(SPAM, Request(lesson=ERROR_SPAM))

    async def test_of_pristine_mail_takes_its_text(self, tmp_path: Path) -> None:
        async with open_pipeline(tmp_path, "TrainPristine on") as b:
            await b.process(SPAM)
            await b.process(SPAM, Request(lesson=ERROR_SPAM))
            assert await b.totals() == Totals(spam_learned=1, spam_misclassified=1)


async def test_mail_without_tokens_passes_untouched(tmp_path: Path) -> None:
    async with open_pipeline(tmp_path) as b:
        outcome = await b.process(b"\r\nno header\r\n")
        (sent,) = b.outlet.delivered
        assert sent.content == b"\r\nno header\r\n"
        assert outcome.verdict is None


async def test_documents_are_text_and_leave_as_they_came(tmp_path: Path) -> None:
    text = b"\r\nno header, many pills\r\n"
    async with open_pipeline(tmp_path, "DataSource document", "Tokenizer word") as b:
        outcome = await b.process(text)
        (sent,) = b.outlet.delivered
        assert header(sent.content, "X-DSPAM-Signature") == signature_of(outcome)
        assert sent.content.endswith(b"\r\n" + text)
        assert set(await b.dump()) == {crc64(word) for word in (b"no", b"header", b"many", b"pills")}
        outcome = await b.process(SPAM)
        assert crc64(b"Subject*pills") not in await b.dump()
        assert crc64(b"Subject") in await b.dump()


async def test_who_opted_out_gets_his_mail_as_it_came(tmp_path: Path, logged: Logged) -> None:
    async with open_pipeline(tmp_path, 'Preference "optOut=on"') as b:
        await b.process(HAM)
        assert b.outlet.delivered[0].content == HAM
        assert "reason=opted_out" in logged.take()


@pytest.mark.parametrize("name", ["sales/east", "..", "x" * 300])
async def test_who_cannot_have_a_dictionary_gets_his_mail_as_it_came(
    tmp_path: Path, name: str, logged: Logged
) -> None:
    async with open_pipeline(tmp_path) as b:
        assert (await b.process(SPAM, INNOCENT_ONLY, name)).reply.ok
        assert [sent.content for sent in b.outlet.delivered] == [SPAM]
        assert "event=passed_by" in (told := logged.take())
        assert "Invalid user name" in told
        for request in (Request(lesson=ERROR_SPAM), Request(classify=True)):
            with pytest.raises(InvalidName):
                await b.process(SPAM, request, name)
        assert len(b.outlet.delivered) == 1


async def test_big_mail_passes_untouched(tmp_path: Path) -> None:
    async with open_pipeline(tmp_path, f"MaxMessageSize {len(HAM) - 1}") as b:
        await b.process(HAM)
        assert b.outlet.delivered[0].content == HAM
        assert await b.totals() == Totals()


class TestStorageDown:
    """The store fails: mail waits, or passes with a mark, as the configuration says."""

    async def test_mail_waits(self, tmp_path: Path) -> None:
        async with open_pipeline(tmp_path) as b:
            (tmp_path / "data").write_text("a file where the store wants a directory")
            with pytest.raises(TempFail):
                await b.process(HAM)
            assert b.outlet.delivered == []

    async def test_mail_passes_marked(self, tmp_path: Path) -> None:
        async with open_pipeline(tmp_path, "OnStorageFailure deliver") as b:
            (tmp_path / "data").write_text("a file where the store wants a directory")
            outcome = await b.process(HAM)
            (sent,) = b.outlet.delivered
            assert header(sent.content, "X-DSPAM-Result") == "Unfiltered"
            assert outcome.status == "Unfiltered"

    async def test_delivered_mail_is_not_refused_when_learning_fails(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with open_pipeline(tmp_path) as b:

            async def broken(*_: object) -> None:
                raise RuntimeError("a bug in the driver")

            monkeypatch.setattr(b.parts.storage, "apply", broken)
            outcome = await b.process(HAM)
            assert outcome.reply.ok
            assert len(b.outlet.delivered) == 1

    async def test_why_mail_cannot_be_learned_is_told_once_and_each_mail_is_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logged: Logged
    ) -> None:
        now = 5.0
        by_our_clock = functools.partial(Recurring, clock=lambda: now)
        monkeypatch.setattr("dspamd.filter.learning.Recurring", by_our_clock)
        async with open_pipeline(tmp_path) as b:
            apply = b.parts.storage.apply
            trouble: Exception = TempFail("Storage is down", detail="database or disk is full")

            async def broken(*_: object) -> None:
                raise trouble

            monkeypatch.setattr(b.parts.storage, "apply", broken)
            for _ in range(5):
                await b.process(HAM)
            trouble = RuntimeError("a bug in the driver")
            for _ in range(3):
                await b.process(HAM)
            now += AGAIN_S
            await b.process(HAM)
            signatures = [header(sent.content, "X-DSPAM-Signature") for sent in b.outlet.delivered]
            named = [(level, line) for level, line in logged.lines if " event=not_learned " in line]
            assert [line.partition("signature=")[2].split()[0] for _, line in named] == signatures
            assert [level for level, _ in named] == ["error", *["info"] * 4, "error", *["info"] * 2, "error"]
            assert ["reason=" in line for _, line in named] == [level == "error" for level, _ in named]
            assert ["Traceback" in line for _, line in named] == [number in (5, 8) for number in range(9)]
            assert 'lost=1 reason="Storage is down: database or disk is full"' in named[0][1]
            assert "lost=3 reason=" in named[8][1]

            monkeypatch.setattr(b.parts.storage, "apply", apply)
            now += WELL_S
            await b.process(HAM)
            over = [line for _, line in logged.lines if " event=learned_again " in line]
            assert [line.partition("lost=")[2] for line in over] == ["5", "4"]

    async def test_a_lesson_that_cannot_be_stored_fails(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with open_pipeline(tmp_path) as b:

            async def down(*_: object) -> None:
                raise TempFail("Storage is down")

            monkeypatch.setattr(b.parts.storage, "apply", down)
            with pytest.raises(TempFail):
                await b.process(HAM, Request(lesson=CORPUS_INNOCENT))
