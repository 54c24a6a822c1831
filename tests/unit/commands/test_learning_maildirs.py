"""dspam_admin learn-maildirs: what users do with their mail, each label learned once."""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path

import pytest

from dspamd.app import Parts
from dspamd.commands import dspam_admin
from dspamd.commands.learner import Local
from dspamd.config.config import Config
from dspamd.engine.model import Label, Lesson, Source, Totals
from dspamd.errors import TempFail
from dspamd.evaluation.maildirs import JUNK, SILENT, Names, Place, entries, users
from dspamd.filter.transaction import InboundMessage
from dspamd.request.envelope import Envelope
from dspamd.request.recipients import Delivery, recipient_of
from dspamd.request.request import Request
from tests.support.site import Site

Output = pytest.CaptureFixture[str]
DAY_S = 86_400


class Mailbox:
    """The maildir of bob, with mail that our filter has judged."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.site = Site(folder, patch)
        self.site.configure(
            "TrainingMode toe",
            f"Maildirs {folder}/mail/%d/%n/Maildir",
            "Preference signatureLocation=headers",
        )
        self.folder = folder / "mail" / "example.org" / "bob" / "Maildir"
        for name in ("", ".Junk", ".Trash", ".Archive.2024"):
            for part in ("cur", "new", "tmp"):
                (self.folder / name / part).mkdir(parents=True)
        self.count = 0

    def deliver(self, place: str, words: str = "lunch", *, verdict: str = "", age: float = 0) -> Path:
        """Mail in a folder; with a verdict, it went through our filter."""
        self.count += 1
        text = f"From: ann@example.org\nMessage-ID: <{self.count}@example.org>\nSubject: {words}\n\n{words}\n"
        if verdict:
            text = f"X-DSPAM-Result: {verdict}\nX-DSPAM-Signature: {self._judged(text)}\n{text}"
        path = self.folder / place / f"{self.count}.host"
        path.write_text(text)
        os.utime(path, (time.time() - age * DAY_S,) * 2)
        return path

    def _judged(self, text: str) -> str:
        async def judge() -> str:
            async with Parts(Config.load()) as parts:
                verdict = await Local(parts).judge("bob@example.org", text.encode())
                assert verdict is not None
                return verdict.signature

        found = asyncio.run(judge())
        self.output.readouterr()  # the log, which no command has redirected
        return found

    def move(self, mail: Path, place: str, name: str = "") -> Path:
        """Move mail into a folder, under another name as Dovecot does, or under its own."""
        return mail.rename(self.folder / place / (name or mail.name))

    def learn(self, *words: str, status: int = 0) -> tuple[int, int, int]:
        """Run it: spam, ham, and how many of them by signature."""
        assert dspam_admin.main(["learn-maildirs", "--new-users", "--json", *words]) == status
        found = json.loads(self.output.readouterr().out)
        return found["spam"], found["ham"], found["by_signature"]

    @property
    def totals(self) -> Totals:
        return self.site.totals("bob@example.org")

    output: Output


@pytest.fixture
def mailbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output) -> Mailbox:
    mailbox = Mailbox(tmp_path, monkeypatch)
    mailbox.output = capsys
    return mailbox


def test_a_move_to_junk_and_back(mailbox: Mailbox) -> None:
    mail = mailbox.deliver("cur", verdict="Innocent")
    assert mailbox.learn() == (0, 0, 0)
    mail = mailbox.move(mail, ".Junk/cur", "77.host:2,S")
    assert [mailbox.learn(), mailbox.learn()] == [(1, 0, 1), (0, 0, 0)]
    assert mailbox.totals.spam_misclassified == 1
    mail = mailbox.move(mail, "cur", "78.host:2,S")
    assert [mailbox.learn(), mailbox.learn()] == [(0, 1, 1), (0, 0, 0)]
    assert mailbox.totals.spam_misclassified == 0
    mailbox.move(mail, ".Junk/new", "79.host")
    assert [mailbox.learn(), mailbox.learn()] == [(1, 0, 1), (0, 0, 0)]


def test_what_agrees_with_the_verdict_teaches_nothing(mailbox: Mailbox) -> None:
    mailbox.deliver("new", verdict="Innocent")
    mailbox.deliver(".Junk/new", verdict="Spam")
    old = mailbox.deliver("cur", verdict="Innocent", age=99)
    mailbox.move(old, "cur", "9.host:2,S")
    assert mailbox.learn() == (0, 0, 0)


def test_trash_is_no_verdict(mailbox: Mailbox) -> None:
    spam, ham = mailbox.deliver(".Junk/cur", verdict="Spam"), mailbox.deliver("cur", age=99)
    mailbox.learn()
    spam, ham = mailbox.move(spam, ".Trash/cur"), mailbox.move(ham, ".Trash/cur", "9.host:2,S")
    mailbox.deliver(".Trash/cur")
    assert mailbox.learn() == (0, 0, 0)
    mailbox.move(spam, "cur")  # it left Junk by way of Trash
    assert mailbox.learn() == (0, 1, 1)


@pytest.mark.parametrize(
    ("age", "flags", "words", "ham"),
    [
        (15, "S", [], 1),
        (13, "S", [], 0),
        (15, "", [], 0),
        (15, "ST", [], 0),
        (13, "S", ["--kept", "12"], 1),
        (15, "S", ["--kept", "off"], 0),
    ],
)
def test_mail_that_was_read_and_kept(
    age: float, flags: str, words: list[str], ham: int, mailbox: Mailbox
) -> None:
    mail = mailbox.deliver(".Archive.2024/cur", age=age)
    mailbox.move(mail, ".Archive.2024/cur", f"1.host:2,{flags}")
    assert [mailbox.learn(*words), mailbox.learn(*words)] == [(0, ham, 0), (0, 0, 0)]


def test_a_signature_that_is_gone(mailbox: Mailbox) -> None:
    mail = mailbox.deliver(".Junk/cur", verdict="Innocent")
    text = mail.read_text()
    mail.write_text(text.replace("X-DSPAM-Signature: ", "X-DSPAM-Signature: 00"))
    assert [mailbox.learn(), mailbox.learn()] == [(1, 0, 0), (0, 0, 0)]
    assert mailbox.totals.spam_corpusfed == 1


def test_a_text_that_the_user_taught_by_moving_it_is_not_taught_again(mailbox: Mailbox) -> None:
    mailbox.deliver("cur", verdict="Innocent")
    mail = mailbox.deliver(".Junk/cur", "pills")

    async def move() -> None:
        async with Parts(Config.load()) as parts:
            request = Request(lesson=Lesson(Label.SPAM, Source.ERROR), filed=True)
            moved = InboundMessage(Envelope(b"", (), mail.read_bytes().replace(b"\n", b"\r\n")))
            bob = "bob@example.org"
            await parts.pipeline.process(moved, Delivery(bob, recipient_of(bob), request))

    asyncio.run(move())
    mailbox.output.readouterr()
    before = mailbox.totals
    assert mailbox.learn() == (1, 0, 1)
    assert mailbox.totals == before


def test_copies_that_contradict_each_other(mailbox: Mailbox) -> None:
    mail = mailbox.deliver("cur", verdict="Innocent")
    mailbox.learn()
    copy = mailbox.folder / ".Junk" / "cur" / "copy"
    copy.write_bytes(mail.read_bytes())
    assert mailbox.learn() == (0, 0, 0)
    mail.unlink()
    assert mailbox.learn() == (1, 0, 1)


def test_limit_and_dry_run(mailbox: Mailbox) -> None:
    for _ in range(3):
        mailbox.deliver(".Junk/cur", "pills")
    assert dspam_admin.main(["learn-maildirs", "--new-users", "--dry-run"]) == 0
    lines = mailbox.output.readouterr().out.splitlines()
    assert sorted(line.rpartition("/")[2] for line in lines) == ["1.host", "2.host", "3.host"]
    assert {line.partition(": /")[0] for line in lines} == {"bob@example.org: spam"}
    assert not (mailbox.site.folder / "data").exists()
    assert [mailbox.learn("--limit", "2")[0] for _ in range(3)] == [2, 1, 0]


def test_what_fails_is_done_by_the_next_run(mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    mailbox.deliver(".Junk/cur", "pills")

    async def fail(*_: object) -> bool:
        raise TempFail("Storage is busy")

    with monkeypatch.context() as patch:
        patch.setattr(Local, "feed", fail)
        assert mailbox.learn(status=os.EX_TEMPFAIL) == (0, 0, 0)
    assert [mailbox.learn(), mailbox.learn()] == [(1, 0, 0), (0, 0, 0)]


def test_who_got_no_mail_through_the_filter_is_passed_over(mailbox: Mailbox) -> None:
    """The name may be one that the mail server alone has: what it is taught would serve nobody."""
    mailbox.deliver(".Junk/cur", "pills")
    assert dspam_admin.main(["learn-maildirs", "--json"]) == 0
    out, err = mailbox.output.readouterr()
    assert json.loads(out)["spam"] == 0
    assert err.startswith("learn-maildirs: no mail was filtered for bob@example.org yet: is this the name")
    assert not (mailbox.site.folder / "data").exists()
    mailbox.deliver("cur", verdict="Innocent")
    assert dspam_admin.main(["learn-maildirs", "--json"]) == 0
    assert json.loads(mailbox.output.readouterr().out)["spam"] == 1


def test_silence(mailbox: Mailbox) -> None:
    mailbox.deliver(".Junk/cur", "pills")
    assert dspam_admin.main(["learn-maildirs", "--new-users"]) == 0
    assert mailbox.output.readouterr() == ("", "")
    assert dspam_admin.main(["learn-maildirs", "--new-users", "--verbose"]) == 0
    assert mailbox.output.readouterr().out == (
        "learn-maildirs: 1 users: 0 spam and 0 ham learned, 0 by signature\n"
    )


@pytest.mark.parametrize(
    ("words", "status", "complaint"),
    [
        (["/none/*/Maildir"], 1, "learn-maildirs: /none/*/Maildir: there is no such maildir\n"),
        (["--kept", "long"], 1, "learn-maildirs: --kept: 'long' is neither days nor off\n"),
    ],
)
def test_complaints(words: list[str], status: int, complaint: str, mailbox: Mailbox) -> None:
    assert dspam_admin.main(["learn-maildirs", *words]) == status
    assert mailbox.output.readouterr().err.startswith(complaint)


def test_links_are_passed_over(mailbox: Mailbox, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("Subject: secret\n\nsecret\n")
    (mailbox.folder / ".Junk" / "cur" / "link").symlink_to(secret)
    (mailbox.folder / ".Junk2").symlink_to(mailbox.folder / ".Junk")
    os.mkfifo(mailbox.folder / ".Junk" / "cur" / "pipe")
    assert list(entries(mailbox.folder, Names.of(JUNK, SILENT))) == []
    (mailbox.folder.parent.parent / "eve").mkdir()
    (mailbox.folder.parent.parent / "eve" / "Maildir").symlink_to(mailbox.folder)
    assert [name for name, _ in users(f"{tmp_path}/mail/%d/%n/Maildir")] == ["bob@example.org"]


@pytest.mark.parametrize(
    ("pattern", "name"),
    [("%u/*/Maildir", "example.org"), ("*/bob/Maildir", "example.org"), ("*/%u/Maildir", "bob")],
)
def test_patterns(pattern: str, name: str, mailbox: Mailbox, tmp_path: Path) -> None:
    assert users(f"{tmp_path}/mail/{pattern}") == [(name, mailbox.folder)]


@pytest.mark.parametrize(
    ("folder", "place"),
    [
        ("", Place.KEPT), ("/.Junk", Place.JUNK), ("/.INBOX.spam", Place.JUNK),
        ("/Archive/Junk E-mail", Place.JUNK),
        ("/.Trash", Place.SILENT), ("/.Sent", Place.SILENT), ("/.Junk.2024", Place.JUNK),
        ("/.Trash.Junk", Place.SILENT), ("/.Spammers", Place.KEPT),
    ],
)  # fmt: skip
def test_places(folder: str, place: Place) -> None:
    assert Names.of(JUNK, SILENT).place(folder) is place
