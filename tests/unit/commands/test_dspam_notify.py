"""dspam_notify: who gets a digest, and where it goes."""

from __future__ import annotations

import os
import shutil
import sys
import time
from email import message_from_bytes, policy
from pathlib import Path

import pytest

from dspamd.app import home_of
from dspamd.commands import dspam_notify
from dspamd.config.config import Config
from dspamd.delivery.digest import TEXT
from dspamd.engine.model import Totals
from dspamd.mail.kept import entry
from tests.support.site import Site

Output = pytest.CaptureFixture[str]
SPAM = b"From: x@spam.example\nSubject: Cheap pills\nX-DSPAM-Signature: 6b000a80122151437417508\n\npills\n"
ETC = Path(__file__).parents[3] / "etc/txt"


class Quarantines:
    """A site whose delivery agent files letters by recipient, or fails for `full`."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder, self.site = folder, Site(folder, patch)
        self.letters_in = folder / "letters"
        self.letters_in.mkdir()
        (folder / "txt").mkdir()
        shutil.copy(ETC / TEXT, folder / "txt")
        agent = folder / "agent"
        agent.write_text(
            f"#!{sys.executable}\nimport sys\nname, sender = sys.argv[1:]\nif name == 'full': sys.exit(75)\n"
            f"open({str(self.letters_in)!r} + '/' + name + sender, 'wb').write(sys.stdin.buffer.read())\n"
        )
        agent.chmod(0o755)
        self.configure()

    def configure(self, *lines: str) -> None:
        self.site.configure(
            f'TrustedDeliveryAgent "{self.folder}/agent %r %s"', "WebURL https://example.org", *lines
        )

    def keep(self, owner: str, *messages: bytes) -> None:
        home = home_of(Config.load(self.folder / "dspam.conf"))
        text = b"".join(entry(message, time.ctime()) for message in messages)
        home.prepare(home.file(owner, "mbox")).write_bytes(text)

    @property
    def letters(self) -> dict[str, bytes]:
        return {file.name: file.read_bytes() for file in self.letters_in.iterdir()}


@pytest.fixture
def quarantines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Quarantines:
    return Quarantines(tmp_path, monkeypatch)


def test_who_has_a_quarantine_is_told_what_is_in_it(quarantines: Quarantines, capsys: Output) -> None:
    quarantines.site.teach("ann", Totals(1, 1))
    quarantines.keep("bob@example.org", SPAM, SPAM)
    quarantines.keep("cy")
    assert dspam_notify.main([]) == 0
    assert list(quarantines.letters) == ["bob@example.org"]
    letter = message_from_bytes(quarantines.letters["bob@example.org"], policy=policy.default)
    assert letter["Subject"] == "Your quarantine: 2 new, 2 messages"
    assert letter["Date"].datetime.timestamp() == pytest.approx(time.time(), abs=60)
    assert str(letter.get_content()).count(">Cheap pills</a>") == 2
    assert capsys.readouterr() == ("", "")


def test_who_does_not_want_it_is_left_alone(quarantines: Quarantines) -> None:
    quarantines.configure("AllowOverride dailyQuarantineSummary")
    for owner in ("ann", "bob"):
        quarantines.keep(owner, SPAM)
    prefs = quarantines.folder / "data/ann/ann.prefs"
    prefs.write_text("dailyQuarantineSummary=off\n")
    assert dspam_notify.main([]) == 0
    assert list(quarantines.letters) == ["bob"]


def test_a_mailbox_under_another_name_is_its_users(quarantines: Quarantines) -> None:
    quarantines.configure("AllowOverride localStore")
    quarantines.site.teach("ann", Totals(1, 1))
    (quarantines.folder / "data/ann/ann.prefs").write_text("localStore=store\n")
    quarantines.keep("store", SPAM)
    assert dspam_notify.main([]) == 0
    assert list(quarantines.letters) == ["ann"]


def test_the_trouble_of_one_user_is_not_that_of_the_others(quarantines: Quarantines, capsys: Output) -> None:
    for owner in ("full", "zoe"):
        quarantines.keep(owner, SPAM)
    assert dspam_notify.main([]) == 1
    assert list(quarantines.letters) == ["zoe"]
    assert "dspam_notify: full: " in capsys.readouterr().err


def test_without_its_text_nothing_is_sent(quarantines: Quarantines, capsys: Output) -> None:
    (quarantines.folder / "txt" / TEXT).unlink()
    quarantines.keep("bob", SPAM)
    assert dspam_notify.main([]) == os.EX_CONFIG
    assert TEXT in capsys.readouterr().err
    assert quarantines.letters == {}


@pytest.mark.parametrize(("words", "status"), [(["-h"], 0), (["bob"], 1)])
def test_usage(words: list[str], status: int, capsys: Output) -> None:
    assert dspam_notify.main(words) == status
    told = ("", dspam_notify.USAGE) if status else (dspam_notify.USAGE, "")
    assert capsys.readouterr() == told
