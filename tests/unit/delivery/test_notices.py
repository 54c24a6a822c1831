"""Notices to users: each once, in the background (reference/protocols.md 11)."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from dspamd.delivery.notices import Notices
from dspamd.errors import Reply, TempFail
from dspamd.filter.outlet import Handover
from dspamd.filter.pipeline import Pipeline
from dspamd.filter.signature_ids import SignatureIds
from dspamd.home.templates import Texts
from dspamd.request.request import Request
from tests.golden.data import rows
from tests.support.day import NOW_S
from tests.support.logged import Logged
from tests.support.pipeline import HAM, INNOCENT_ONLY, SPAM, PipelineFixture, RecordingOutlet, open_pipeline

ON = "Notifications on"
TEXTS = ("firstrun.txt", "firstspam.txt", "quarantinefull.txt")
DATE = rb"Date: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}\r\n"


def write_texts(home: Path, *names: str) -> None:
    (home / "txt").mkdir(exist_ok=True)
    for name in names:
        (home / "txt" / name).write_text(f"To: $u\nSubject: {name}\n\nHello $u, $user, %u\n")


def told(outlet: RecordingOutlet) -> list[str]:
    """The texts that were sent, in order."""
    found = [re.search(rb"\r\nSubject: (\w+\.txt)\r\n", handover.content) for handover in outlet.delivered]
    return [match[1].decode() for match in found if match]


class Writer:
    """Notices of a open_pipeline, with an outlet of their own, so that the mail can fail or not."""

    def __init__(self, b: PipelineFixture, quarantine_limit: int = 2097152) -> None:
        self.outlet = RecordingOutlet()
        self.notices = Notices(
            b.parts.home,
            self.outlet,
            Texts(b.parts.home.texts),
            quarantine_limit=quarantine_limit,
            clock=lambda: NOW_S + 0.5,
        )
        b.pipeline = Pipeline(
            b.parts.config,
            b.parts.users,
            b.parts.storage,
            b.outlet,
            b.parts.history,
            scanners=b.parts.scanners,
            texts=b.parts.texts,
            observers=(self.notices,),
            new_signature=SignatureIds(),
        )


async def test_the_first_message_and_the_first_spam(tmp_path: Path) -> None:
    write_texts(tmp_path, *TEXTS)
    async with open_pipeline(tmp_path, ON) as b:
        await b.feed()
        writer = Writer(b)
        for content, expected in ((HAM, TEXTS[:1]), (SPAM, TEXTS[:2]), (SPAM, TEXTS[:2]), (HAM, TEXTS[:2])):
            await b.process(content, INNOCENT_ONLY)
            await writer.notices.close()
            assert told(writer.outlet) == list(expected)
        assert b.parts.home.file("bob", "firstrun").read_text() == f"{NOW_S:.0f}\n"
        assert b.parts.home.file("bob", "firstspam").read_text() == f"{NOW_S:.0f}\n"
        assert not b.parts.home.file("bob", "mboxwarn").exists()


async def test_what_a_notice_looks_like(tmp_path: Path) -> None:
    write_texts(tmp_path, *TEXTS)
    async with open_pipeline(tmp_path, ON) as b:
        writer = Writer(b)
        await b.process(HAM, INNOCENT_ONLY)
        await writer.notices.close()
        (notice,) = writer.outlet.delivered
        assert (notice.sender, notice.recipient, notice.spam) == (b"", b"bob@example.net", False)
        body = rb"To: bob\r\nSubject: firstrun.txt\r\n\r\nHello bob, bobser, %u\r\n"
        assert re.fullmatch(DATE + body, notice.content)


async def test_a_full_quarantine_until_it_is_emptied(tmp_path: Path) -> None:
    write_texts(tmp_path, *TEXTS[1:])
    async with open_pipeline(tmp_path, ON) as b:
        writer = Writer(b, quarantine_limit=1000)
        mailbox, marker = b.parts.home.file("bob", "mbox"), b.parts.home.file("bob", "mboxwarn")
        b.parts.home.prepare(mailbox).write_bytes(b"x" * 1000)
        for more, notices in ((b"", 0), (b"x", 1), (b"x", 1)):
            with mailbox.open("ab") as file:
                file.write(more)
            await b.process(HAM, INNOCENT_ONLY)
            await writer.notices.close()
            assert told(writer.outlet) == ["quarantinefull.txt"] * notices
        assert marker.read_text() == f"{NOW_S:.0f}"
        marker.unlink()
        await b.process(HAM, INNOCENT_ONLY)
        await writer.notices.close()
        assert told(writer.outlet) == ["quarantinefull.txt"] * 2


@pytest.mark.parametrize(
    ("lines", "request_"),
    [
        (("Notifications off",), INNOCENT_ONLY),
        ((ON, 'Preference "notifications=off"'), INNOCENT_ONLY),
        ((ON,), Request(classify=True)),
        ((ON,), Request(summary=True)),
        ((ON,), Request(deliver_innocent=True, stdout=True)),
    ],
)
async def test_nobody_is_told_who_does_not_want_it(
    tmp_path: Path, lines: tuple[str, ...], request_: Request
) -> None:
    write_texts(tmp_path, *TEXTS)
    async with open_pipeline(tmp_path, *lines) as b:
        writer = Writer(b)
        await b.process(HAM, request_)
        await writer.notices.close()
        assert told(writer.outlet) == []
        assert not b.parts.home.file("bob", "firstrun").exists()


async def test_a_preference_switches_them_on(tmp_path: Path) -> None:
    write_texts(tmp_path, *TEXTS)
    async with open_pipeline(tmp_path, 'Preference "notifications=ON"') as b:
        writer = Writer(b)
        await b.process(HAM, INNOCENT_ONLY)
        await writer.notices.close()
        assert told(writer.outlet) == ["firstrun.txt"]


async def test_a_missing_text_is_told_and_its_notice_waits(tmp_path: Path, logged: Logged) -> None:
    async with open_pipeline(tmp_path, ON) as b:
        for present in ((), TEXTS):
            write_texts(tmp_path, *present)
            writer = Writer(b)
            assert (await b.process(HAM, INNOCENT_ONLY)).reply.ok
            await writer.notices.close()
            assert told(writer.outlet) == ["firstrun.txt"] * bool(present)
            assert ("text_missing" in logged.take()) is not bool(present)


async def test_mail_neither_waits_nor_fails(tmp_path: Path, logged: Logged) -> None:
    write_texts(tmp_path, *TEXTS)
    async with open_pipeline(tmp_path, ON) as b:
        writer, hanging = Writer(b), asyncio.Event()

        async def fails(handover: Handover) -> Reply:
            await hanging.wait()
            raise TempFail("Unable to connect to server")

        writer.outlet.deliver = fails  # type: ignore[method-assign]  # the one next hop of this writer
        assert (await b.process(HAM, INNOCENT_ONLY)).reply.ok
        assert (await b.process(HAM, INNOCENT_ONLY)).reply.ok
        assert len(b.outlet.delivered) == 2
        hanging.set()
        await writer.notices.close()
        assert logged.take().count("notice_not_sent") == 1


async def test_several_processes_send_it_once(tmp_path: Path) -> None:
    write_texts(tmp_path, *TEXTS)
    async with open_pipeline(tmp_path, ON) as first, open_pipeline(tmp_path, ON) as second:
        writers = [Writer(first), Writer(second)]
        await asyncio.gather(first.process(HAM, INNOCENT_ONLY), second.process(HAM, INNOCENT_ONLY))
        for writer in writers:
            await writer.notices.close()
        assert [told(writer.outlet) for writer in writers] in ([["firstrun.txt"], []], [[], ["firstrun.txt"]])


async def test_the_recorded_notices_are_ours(tmp_path: Path) -> None:
    """The notices that DSPAM 3.10.2 sent from the same texts to the same users."""
    (row,) = [row for row in rows("files.jsonl") if row["id"] == "notifications"]
    sent = re.findall(r"(?s)STDIN:\n(Date: .*?END)\n", row["delivery_agent"])
    (tmp_path / "txt").mkdir()
    for name in TEXTS:
        (tmp_path / "txt" / name).write_text(
            f"From: dspam@example.net\nTo: $u\nSubject: notice {name}\n\nHello $u in mailbox of %u size\n"
        )
    async with open_pipeline(tmp_path, ON) as b:
        await b.feed()
        writer = Writer(b, quarantine_limit=10)
        b.parts.home.prepare(b.parts.home.file("bob", "mbox")).write_bytes(b"x" * 11)
        await b.process(SPAM, INNOCENT_ONLY)
        await writer.notices.close()
        await b.process(HAM, INNOCENT_ONLY, user="newuser")
        await writer.notices.close()
    undated = [re.sub(r"(?m)^Date: .*$", "Date:", text.removesuffix("END")) for text in sent]
    ours = [handover.content.decode().replace("\r\n", "\n") for handover in writer.outlet.delivered]
    assert [re.sub(r"(?m)^Date: .*$", "Date:", text) for text in ours] == undated
