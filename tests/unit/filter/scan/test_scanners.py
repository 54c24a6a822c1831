"""The findings of scanners, on the whole path of a message."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import weakref
from pathlib import Path

import pytest

from dspamd.config.config import Config
from dspamd.engine.model import Label, Lesson, Source, Totals
from dspamd.errors import ConfigError, TempFail
from dspamd.filter.scan.scanners import ScanFailed
from dspamd.filter.transaction import InboundMessage
from dspamd.filter.verdict import Outcome
from dspamd.home.history import letter
from dspamd.request.envelope import Envelope, Recipient
from dspamd.request.recipients import Delivery
from dspamd.request.request import Request
from tests.support.fake_clamd import CLEAN, INFECTED, fake_clamd
from tests.support.logged import Logged
from tests.support.name_server import name_server
from tests.support.pipeline import (
    BOTH,
    CORPUS_SPAM,
    ERROR_INNOCENT,
    HAM,
    INNOCENT_ONLY,
    SPAM,
    PipelineFixture,
    header,
    open_pipeline,
    signature_of,
)

LISTED = b"Received: from x (x [192.0.2.7]) by mx.example.net\r\n" + HAM
VIRUS_TEXT = "A virus was detected in the message contents"


def scanner(port: int, *lines: str) -> list[str]:
    return ["ClamAVHost 127.0.0.1", f"ClamAVPort {port}", *lines]


def name_of(outcome: Outcome) -> str:
    assert outcome.verdict is not None
    return outcome.verdict.result.name


async def log_of(b: PipelineFixture) -> list[str]:
    """Letter and status of each record."""
    await b.parts.history.close()
    lines = (b.parts.home.path / "system.log").read_text().splitlines()
    return [f"{fields[1]} {fields[7]}" for fields in (line.split("\t") for line in lines)]


class TestVirus:
    async def test_clean_mail_goes_its_way(self, tmp_path: Path) -> None:
        async with fake_clamd(CLEAN) as clamd, open_pipeline(tmp_path, *scanner(clamd.port)) as b:
            assert name_of(await b.process(HAM)) == "Innocent"
            assert clamd.scanned == [HAM]

    async def test_it_is_dropped(self, tmp_path: Path) -> None:
        async with (
            fake_clamd(INFECTED) as clamd,
            open_pipeline(tmp_path, *scanner(clamd.port), "SystemLog on") as b,
        ):
            outcome = await b.process(HAM)
            assert (name_of(outcome), outcome.reply.code) == ("Virus", 250)
            assert (b.outlet.delivered, b.outlet.quarantined) == ([], [])
            assert await b.totals() == Totals()
            assert await log_of(b) == [f"V {VIRUS_TEXT}"]

    async def test_it_is_refused(self, tmp_path: Path) -> None:
        async with (
            fake_clamd(INFECTED) as clamd,
            open_pipeline(tmp_path, *scanner(clamd.port, "ClamAVResponse reject"), "SystemLog on") as b,
        ):
            outcome = await b.process(HAM)
            assert str(outcome.reply) == f"550 5.3.0 {VIRUS_TEXT}"
            assert (b.outlet.delivered, b.outlet.quarantined) == ([], [])
            assert await log_of(b) == [f"V {VIRUS_TEXT}"]

    async def test_it_is_spam(self, tmp_path: Path) -> None:
        async with (
            fake_clamd(INFECTED) as clamd,
            open_pipeline(tmp_path, *scanner(clamd.port, "ClamAVResponse spam"), "SystemLog on") as b,
        ):
            outcome = await b.process(HAM, INNOCENT_ONLY)
            ((owner, handover),) = b.outlet.quarantined
            assert owner == "bob"
            assert header(handover.content, "X-DSPAM-Result") == "Virus"
            assert header(handover.content, "X-DSPAM-Probability") == "1.0000"
            assert header(handover.content, "X-DSPAM-Confidence") == "1.0000"
            assert outcome.status == VIRUS_TEXT
            assert await b.totals() == Totals()
            assert await log_of(b) == [f"V {VIRUS_TEXT}"]

    async def test_a_correction_has_real_tokens(self, tmp_path: Path) -> None:
        lines = ("ClamAVResponse spam",)
        async with fake_clamd(INFECTED) as clamd, open_pipeline(tmp_path, *scanner(clamd.port, *lines)) as b:
            seen = await b.process(HAM)
            correction = Request(lesson=ERROR_INNOCENT, signature=signature_of(seen))
            await b.process(b"\n\n", correction)
            assert len(clamd.scanned) == 1
            assert await b.totals() == Totals(innocent_learned=1, innocent_misclassified=1)
            taught = await b.dump()
            assert len(taught) > 10
            assert set(taught.values()) == {(0, 1)}

    async def test_all_recipients_share_one_scan(self, tmp_path: Path) -> None:
        async with fake_clamd(CLEAN) as clamd, open_pipeline(tmp_path, *scanner(clamd.port)) as b:
            recipients = tuple(Recipient(f"u{number}@example.net".encode()) for number in range(20))
            mail = InboundMessage(Envelope(b"s@example.org", recipients, HAM))
            deliveries = [Delivery(recipient.text, recipient, BOTH) for recipient in recipients]
            outcomes = await asyncio.gather(*(b.pipeline.process(mail, delivery) for delivery in deliveries))
            assert [outcome.reply.code for outcome in outcomes] == [250] * 20
            assert len(clamd.scanned) == 1

    async def test_who_opted_out_is_not_scanned(self, tmp_path: Path) -> None:
        async with (
            fake_clamd(INFECTED) as clamd,
            open_pipeline(tmp_path, *scanner(clamd.port), 'Preference "optOutClamAV=on"') as b,
        ):
            assert name_of(await b.process(HAM)) == "Innocent"
            assert clamd.scanned == []

    async def test_mail_passes_while_the_scanner_is_down(self, tmp_path: Path, logged: Logged) -> None:
        async with fake_clamd(b"") as clamd, open_pipeline(tmp_path, *scanner(clamd.port)) as b:
            assert name_of(await b.process(HAM)) == "Innocent"
            assert "virus_scan" in logged.take()

    @pytest.mark.parametrize("storage", ["defer", "deliver"])
    async def test_mail_waits_while_the_scanner_is_down(self, tmp_path: Path, storage: str) -> None:
        lines = ("ClamAVOnFailure defer", f"OnStorageFailure {storage}")
        async with fake_clamd(b"") as clamd, open_pipeline(tmp_path, *scanner(clamd.port, *lines)) as b:
            with pytest.raises(ScanFailed) as caught:
                await b.process(HAM)
            assert str(caught.value.reply) == "451 4.7.1 Virus scanner is not available"
            assert caught.value.detail == "clamd: the connection ended after b''"
            assert b.outlet.delivered == []

    async def test_mail_that_waits_is_forgotten_until_it_comes_again(self, tmp_path: Path) -> None:
        lines = ("ClamAVOnFailure defer",)
        async with fake_clamd(b"") as clamd, open_pipeline(tmp_path, *scanner(clamd.port, *lines)) as b:
            recipient = Recipient(b"bob@example.net")
            mail = InboundMessage(Envelope(b"s@example.org", (recipient,), HAM))
            known = weakref.ref(mail)
            with contextlib.suppress(ScanFailed):
                await b.pipeline.process(mail, Delivery("bob", recipient, BOTH))
            del mail
            gc.collect()
            assert known() is None

    async def test_mail_that_is_too_large_for_the_scanner_never_waits(self, tmp_path: Path) -> None:
        answer = b"INSTREAM size limit exceeded. ERROR\0"
        async with (
            fake_clamd(answer) as clamd,
            open_pipeline(tmp_path, *scanner(clamd.port, "ClamAVOnFailure defer")) as b,
        ):
            assert name_of(await b.process(HAM)) == "Innocent"

    async def test_a_virus_does_not_pass_because_the_store_is_down(self, tmp_path: Path) -> None:
        lines = ("OnStorageFailure deliver",)
        async with fake_clamd(INFECTED) as clamd, open_pipeline(tmp_path, *scanner(clamd.port, *lines)) as b:
            (tmp_path / "data").write_text("a file where the store wants a directory")
            with pytest.raises(TempFail):
                await b.process(HAM)
            assert b.outlet.delivered == []

    async def test_a_virus_without_any_text_is_one(self, tmp_path: Path) -> None:
        async with fake_clamd(INFECTED) as clamd, open_pipeline(tmp_path, *scanner(clamd.port)) as b:
            assert name_of(await b.process(b"\r\nno header\r\n")) == "Virus"
            assert b.outlet.delivered == []

    async def test_a_corpus_does_not_learn_it(self, tmp_path: Path) -> None:
        async with fake_clamd(INFECTED) as clamd, open_pipeline(tmp_path, *scanner(clamd.port)) as b:
            assert name_of(await b.process(SPAM, Request(lesson=CORPUS_SPAM))) == "Virus"
            assert await b.totals() == Totals()

    async def test_classifying_tells_it_and_keeps_nothing(self, tmp_path: Path) -> None:
        async with fake_clamd(INFECTED) as clamd, open_pipeline(tmp_path, *scanner(clamd.port)) as b:
            outcome = await b.process(HAM, Request(classify=True))
            expected = 'bob; result="Spam"; class="Virus"; probability=1.0000; confidence=1.00; signature=N/A'
            assert outcome.summary == f"X-DSPAM-Result: {expected}\n".encode()
            assert await b.parts.storage.uid("bob", create=False) is None


class TestBlocklist:
    async def test_blocked(self, tmp_path: Path) -> None:
        async with open_pipeline(tmp_path, "SystemLog on") as b:
            b.parts.home.prepare(b.parts.home.file("bob", "blocklist")).write_text("HAM.example\n")
            outcome = await b.process(HAM, INNOCENT_ONLY)
            ((_, handover),) = b.outlet.quarantined
            assert header(handover.content, "X-DSPAM-Result") == "Blocklisted"
            assert header(handover.content, "X-DSPAM-Signature") == signature_of(outcome)
            assert await b.totals() == Totals()
            assert name_of(await b.process(HAM, user="ann")) == "Innocent"
            assert await log_of(b) == ["O Quarantined", "I Delivered"]

    async def test_what_teaches_is_not_blocked(self, tmp_path: Path) -> None:
        async with open_pipeline(tmp_path) as b:
            b.parts.home.prepare(b.parts.home.file("bob", "blocklist")).write_text("ham.example\n")
            corpus = Request(lesson=Lesson(Label.INNOCENT, Source.CORPUS))
            assert name_of(await b.process(HAM, corpus)) == "Innocent"
            assert (await b.totals()).innocent_corpusfed == 1


class TestBlacklist:
    async def test_listed(self, tmp_path: Path) -> None:
        async with name_server({"7.2.0.192.rbl.example": "127.0.0.2"}) as server:
            lines = ("Lookup rbl.example", f"DNSServer {server.place}", "SystemLog on")
            async with open_pipeline(tmp_path, *lines, 'Preference "spamAction=tag"') as b:
                outcome = await b.process(LISTED)
                (sent,) = b.outlet.delivered
                assert header(sent.content, "X-DSPAM-Result") == "Blacklisted"
                assert header(sent.content, "Subject") == "[SPAM] minutes"
                assert await b.totals() == Totals()
                assert outcome.status == "Blacklisted (rbl.example)"
                assert await log_of(b) == ["A Blacklisted (rbl.example)"]

    async def test_it_may_be_learned_and_corrected(self, tmp_path: Path) -> None:
        async with name_server({"7.2.0.192.rbl.example": "127.0.0.2"}) as server:
            lines = ("Lookup rbl.example", f"DNSServer {server.place}", "SystemLog on", "RBLInoculate on")
            async with open_pipeline(tmp_path, *lines) as b:
                seen = await b.process(LISTED, INNOCENT_ONLY)
                assert (name_of(seen), len(b.outlet.quarantined)) == ("Spam", 1)
                assert (await b.totals()).spam_learned == 1
                assert all(spam >= 1 for spam, _ in (await b.dump()).values())
                await b.process(b"\n\n", Request(lesson=ERROR_INNOCENT, signature=signature_of(seen)))
                assert (await b.totals()).innocent_misclassified == 1
                assert await log_of(b) == ["N Blacklisted (rbl.example)", "F Retrained"]

    @pytest.mark.parametrize("lines", [("LocalMX 192.0.2.7",), ('Preference "ignoreRBLLookups=on"',)])
    async def test_nobody_is_asked(self, tmp_path: Path, lines: tuple[str, ...]) -> None:
        async with (
            name_server({"rbl.example": "127.0.0.2"}) as server,
            open_pipeline(tmp_path, "Lookup rbl.example", f"DNSServer {server.place}", *lines) as b,
        ):
            assert name_of(await b.process(LISTED)) == "Innocent"
            assert server.asked == []

    def test_a_bad_name_server_is_an_error_of_the_configuration(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"dspam\.conf:3: DNSServer nowhere"):
            Config.from_text(f"Home {tmp_path}\nLookup rbl.example\nDNSServer nowhere\n")


@pytest.mark.parametrize(("name", "expected"), [("Virus", "V"), ("Blacklisted", "A"), ("Blocklisted", "O")])
def test_letters(name: str, expected: str) -> None:
    assert letter(name, None) == expected
