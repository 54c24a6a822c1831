"""A mail server of Debian that cannot be installed beside Postfix, in front of a daemon.

It sees a machine of its own.  Only ports and the place of the daemon's socket are others than in our files.
"""

from __future__ import annotations

import re
import shutil
import smtplib
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.support.documents import ROOT, Block, commands
from tests.support.guide_site import GuideSite
from tests.support.local_account import LocalAccount
from tests.support.ports import free_port, greets
from tests.support.postfix import DOMAIN
from tests.support.unpacked import Machine
from tests.support.wait import until

OUTSIDE = ("127.0.0.2", 0)
"""The address of a client that no mail server trusts."""
ALICE, BOB, CAROL = "games", "news", "lp"
"""Accounts that the daemon knows too.  Carol alone corrects verdicts, which no other test may notice."""


class MailServer:
    """One with mailboxes of Alice, Bob and Carol, not started.

    `folders` of the machine are made; its server may write to those below var and run.
    """

    def __init__(self, site: GuideSite, packages: tuple[str, ...], folders: tuple[str, ...]) -> None:
        self.site, self.port = site, free_port()
        self.folder = site.folder / "machine"
        for name in ("etc/dspam", "usr/bin", *folders):
            (self.folder / name).mkdir(parents=True)
        self.machine = Machine(self.folder, *packages)
        for name in ALICE, BOB, CAROL:
            self.machine.add_account(name, LocalAccount(name).uid)
        shutil.copytree(site.programs, self.folder / "usr/bin", dirs_exist_ok=True)
        shutil.copy(site.daemon.config, self.folder / "etc/dspam/dspam.conf")
        self.write("etc/aliases", "")
        self.write("etc/mailname", f"mx.{DOMAIN}\n")

    def places(self) -> Mapping[str, str]:
        """Our ports for those of the guides."""
        return {"10033": str(self.site.daemon.port), "10034": str(self.site.back)}

    def here(self, text: str) -> str:
        """A text with our ports."""
        ours = self.places()
        return re.sub("|".join(map(re.escape, ours)), lambda match: ours[match[0]], text)

    def write(self, place: str, text: str) -> None:
        path = self.folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def copy_files(self, block: Block) -> None:
        """Do what the lines `cp` of a guide say."""
        for words in commands(block.text):
            if words[0] == "cp":
                shipped = ROOT / "etc" / Path(words[1]).relative_to("/usr/share/dspamd")
                self.write(words[2].removeprefix("/"), self.here(shipped.read_text()))

    @contextmanager
    def running(self, *words: str) -> Iterator[None]:
        """It runs in the foreground, by this command."""
        server = self.machine.start(*words, output=self.folder / "output")
        try:
            until(lambda: greets(self.port), lambda: "the server; " + self.log)
            yield
        finally:
            server.terminate()
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
                raise

    @property
    def log(self) -> str:
        """What it and the daemon said."""
        paths = [*self.site.folder.glob("**/output"), *self.folder.glob("var/log/*/*")]
        return "".join(path.read_text() for path in paths)

    def send(self, mail: bytes, *users: str, sender: str = f"{BOB}@{DOMAIN}") -> None:
        """Send a mail from outside."""
        with smtplib.SMTP("127.0.0.1", self.port, timeout=30, source_address=OUTSIDE) as smtp:
            smtp.sendmail(sender, [f"{user}@{DOMAIN}" for user in users], mail)

    def arrived(self, user: str = ALICE, count: int = 1) -> list[bytes]:
        """Take the messages of a user, when there are so many."""
        new = self.folder / "home" / user / "Maildir/new"
        until(
            lambda: new.is_dir() and len(list(new.iterdir())) >= count,
            lambda: f"{count} messages; {self.log}",
        )
        paths = list(new.iterdir())
        mails = [path.read_bytes() for path in paths]
        for path in paths:
            path.unlink()
        assert len(mails) == count
        return mails


def verdict_of(mail: bytes) -> bytes:
    """What a message is said to be; a letter that came often has a sender who is whitelisted."""
    (result,) = re.findall(rb"^X-DSPAM-Result: (.*)", mail, re.M)
    return b"Innocent" if result == b"Whitelisted" else result


def text_of(mail: bytes) -> bytes:
    """The body of a message in a mailbox, as it came."""
    return mail.partition(b"\n\n")[2].replace(b"\n", b"\r\n")


def report_of(mail: bytes) -> bytes:
    """A mail to which a message from a mailbox is attached."""
    return b"Subject: wrong\r\nContent-Type: message/rfc822\r\n\r\n" + mail.replace(b"\n", b"\r\n")
