"""Courier's maildrop with our recipe, as docs/maildrop.md says, under an account that is not the daemon's.

What Courier does with the files `.courier-*` and with DEFAULTDELIVERY, `sh` does here: it runs the line in
the home of the user, under their account, and looks at the exit status (dot-courier(5)).
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemon import PROGRAM
from tests.support.documents import ROOT, text_of
from tests.support.guide_site import GuideSite, folder_for_all
from tests.support.local_account import LocalAccount
from tests.support.namespaces import unshare
from tests.support.ports import free_port
from tests.support.wait import until

FILES = ROOT / "etc/maildrop"
LETTER = b"From: ann@example.net\nSubject: lunch\n\nshall we meet at noon\n.\n..\nin the garden \xff\n"
OFFER = b"From: x@example.com\nSubject: pills\n\ncheap pills, buy now, no prescription\n"
FORGED = b"X-DSPAM-Result: Innocent\nX-DSPAM-Signature: 6b0d3b4e293813467115365\n"
OURS = re.compile(rb"^X-DSPAM-.*\n([ \t].*\n)*", re.M)


class Site(GuideSite):
    """One with mailboxes."""

    def mailbox(self, user: str = "", *, opted_in: bool) -> Mailbox:
        """That of `courier`, which acts for itself alone, or a virtual one."""
        account = LocalAccount("mail" if user else "courier")  # `up` trusts `mail`
        mailbox = Mailbox(self, account, user or account.name)
        if opted_in:
            file = self.folder / f"opt-in/{mailbox.user}.dspam"
            file.parent.mkdir(exist_ok=True)
            file.touch()
        return mailbox


class Mailbox:
    """A Maildir with maildrop before it."""

    def __init__(self, site: Site, account: LocalAccount, user: str) -> None:
        self.site, self.user = site, user
        self._account = account
        self._home = Path(tempfile.mkdtemp(dir=site.folder))
        account.own(self._home)
        self.run(f"maildirmake {self._home}/Maildir")

    def run(self, line: str, mail: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """What `sh` makes of a line of a guide or of a `.courier` file."""
        environment = {
            "DSPAM_CONF": str(self.site.daemon.config),
            "PATH": f"{self.site.programs}:/usr/bin:/bin",
        }
        return self._account.run(
            "sh", "-c", self._here(line), stdin=mail, environment=environment, cwd=self._home
        )

    def _here(self, text: str) -> str:
        """A text with our places and names."""
        for theirs, ours in (
            ("/usr/bin/dspam", f"{self.site.programs}/dspam"),
            ("--user alice", f"--user {self.user}"),
        ):
            text = text.replace(theirs, ours)
        return text

    def deliver(self, mail: bytes, *changes: tuple[str, str]) -> subprocess.CompletedProcess[bytes]:
        """Have maildrop deliver a message by the recipe, with some changes of its text."""
        recipe = self._home / "recipe"
        text = (FILES / "maildroprc").read_text()
        for before, after in changes:
            assert before in text
            text = text.replace(before, after)
        values = {"HOME": self._home, "LOGNAME": self.user, "DSPAM_CONF": self.site.daemon.config}
        ours = "".join(f'{name}="{value}"\n' for name, value in values.items())
        recipe.write_text(ours + self._here(text))
        recipe.chmod(0o600)
        self._account.own(recipe)
        return self.run(f"maildrop {recipe}", mail)

    def arrived(self, folder: str = "") -> list[bytes]:
        """Take the messages out of a folder."""
        new = self._home / "Maildir" / folder / "new"
        paths = list(new.iterdir()) if new.is_dir() else []
        mails = [path.read_bytes() for path in paths]
        for path in paths:
            path.unlink()
        return mails


def has_one_verdict(mail: bytes) -> bool:
    """Whether it is the letter with our fields; the user may know its sender by now."""
    verdicts = re.findall(rb"^X-DSPAM-Result: (.*)", mail, re.M)
    return verdicts in ([b"Innocent"], [b"Whitelisted"]) and OURS.sub(b"", mail) == LETTER


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with folder_for_all("dspam", "dspamc") as folder:
        yield folder


@pytest.fixture(scope="module")
def site(folder: Path) -> Iterator[Site]:
    site = Site("maildrop", folder / "up", folder / "bin", "Trust mail\n")
    with site.daemon:
        yield site
        assert "Traceback" not in site.daemon.output


@pytest.fixture(scope="module")
def mailbox(site: Site) -> Mailbox:
    return site.mailbox(opted_in=True)


def test_mail_of_who_opted_in_has_a_verdict(mailbox: Mailbox) -> None:
    assert mailbox.deliver(FORGED + LETTER).returncode == 0
    (mail,) = mailbox.arrived()
    assert has_one_verdict(mail)
    assert FORGED.splitlines()[1] not in mail


def test_spam_goes_to_its_folder(mailbox: Mailbox) -> None:
    for number in range(4):
        for mail, kind in (LETTER, "innocent"), (OFFER, "spam"):
            line = f"dspamc --user alice --class={kind} --source=corpus"
            done = mailbox.run(line, mail + b"No. %d\n" % number)
            assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    for _ in range(2):  # the first one makes the folder
        assert mailbox.deliver(OFFER).returncode == 0
    assert [b"\nX-DSPAM-Result: Spam\n" in mail for mail in mailbox.arrived(".Junk")] == [True, True]
    assert mailbox.deliver(LETTER).returncode == 0
    assert len(mailbox.arrived()) == 1


def test_mail_of_others_passes_as_it_is_and_has_another_filter(site: Site, mailbox: Mailbox) -> None:
    others = site.mailbox("o'hara@example.org", opted_in=False)
    assert others.deliver(LETTER).returncode == 0
    assert others.arrived() == [LETTER]
    lines = re.search(r"^#if .*\n(#.*\n)*", (FILES / "maildroprc").read_text(), re.M)
    assert lines
    other = lines[0], lines[0].replace("\n#", "\n")[1:].replace("/usr/bin/spamc", "sed '1i X-Other: seen'")
    assert others.deliver(FORGED + LETTER, other).returncode == 0
    assert others.arrived() == [b"X-Other: seen\n" + LETTER]
    assert mailbox.deliver(LETTER, other).returncode == 0
    (mail,) = mailbox.arrived()
    assert b"X-Other" not in mail


def test_a_preference_opts_a_virtual_mailbox_in(site: Site) -> None:
    bob = site.mailbox("bob@example.org", opted_in=False)
    subprocess.run(
        [PROGRAM.with_name("dspam_admin"), "change", "preference", bob.user, "optIn", "on"],
        check=True,
        capture_output=True,
        timeout=60,
        env={**os.environ, "DSPAM_CONF": str(site.daemon.config)},
    )
    assert bob.deliver(LETTER).returncode == 0
    (mail,) = bob.arrived()
    assert b"\nX-DSPAM-Result: Innocent\n" in mail
    assert f"event=message user={bob.user} " in site.daemon.output


@pytest.mark.parametrize(
    "file, verdict, learned", [("courier-spam", "innocent", "Spam"), ("courier-fp", "spam", "Innocent")]
)
def test_users_correct_verdicts_by_mail(mailbox: Mailbox, file: str, verdict: str, learned: str) -> None:
    """Each line twice: as it is shipped, and with the program of DSPAM."""
    (line,) = re.findall(r"^\| (.*)", (FILES / file).read_text(), re.M)
    for number, command in enumerate([line, line.replace("/usr/bin/dspamc", "dspam --client")]):
        text = f"Subject: {file} {number}\n\nwords of {verdict}\n".encode()
        assert mailbox.run(f"dspamc --user alice --class={verdict} --source=corpus", text).returncode == 0
        assert mailbox.deliver(text, ("/.Junk", "")).returncode == 0
        (mail,) = mailbox.arrived()
        done = mailbox.run(command, b"Subject: wrong\nContent-Type: message/rfc822\n\n" + mail)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    event = f"user={mailbox.user} rcpt={mailbox.user} result={learned} source=error"
    assert mailbox.site.daemon.output.count(event) == 2
    done = mailbox.run(line, b"Subject: wrong\n\nno signature\n")
    assert (done.returncode, done.stdout) == (os.EX_DATAERR, b"")  # Courier returns it
    assert b"Unable to find a valid signature" in done.stderr


class Home:
    """That of `courier` on a machine with our /etc/passwd and /etc/maildroprc."""

    def __init__(self, site: Site, maildroprc: str) -> None:
        self._inside = unshare("--mount", probe="mount --bind /etc/hostname /etc/hostname")
        self._site, self._account = site, LocalAccount("courier")
        self._folder = Path(tempfile.mkdtemp(dir=site.folder))
        others = re.sub("^courier:.*\n", "", Path("/etc/passwd").read_text(), flags=re.M)
        ids = f"{self._account.uid}:{self._account.gid}"
        (self._folder / "passwd").write_text(f"{others}courier:x:{ids}::{self._folder}:/usr/sbin/nologin\n")
        (self._folder / "maildroprc").write_text(maildroprc)
        subprocess.run(["maildirmake", self._folder / "Maildir"], check=True, timeout=30)
        subprocess.run(["chown", "-R", ids, self._folder], check=True, timeout=30)

    def deliver(self, number: int) -> bytes:
        """Run one of the guide's lines with DEFAULTDELIVERY on a message; returns what arrives."""
        line = re.findall(r'^DEFAULTDELIVERY="\| (.*)"$', text_of("maildrop"), re.M)[number]
        script = (
            f"for name in passwd maildroprc; do mount --bind {self._folder}/$name /etc/$name; done; "
            f"exec setpriv --reuid={self._account.uid} --regid={self._account.gid} --clear-groups "
            f"env PATH={self._site.programs}:/bin sh -c '{line}'"
        )
        done = subprocess.run(
            [*self._inside, "sh", "-euc", script],
            input=LETTER,
            capture_output=True,
            timeout=60,
            env={"PATH": "/usr/bin:/bin", "DSPAM_CONF": str(self._site.daemon.config), "USER": "courier"},
        )
        assert (done.returncode, done.stdout) == (0, b""), done.stderr
        (path,) = (self._folder / "Maildir/new").iterdir()
        return path.read_bytes()


def test_maildrop_delivers_for_courier(site: Site, mailbox: Mailbox) -> None:
    """The shell of the account is nologin, as it often is."""
    recipe = (FILES / "maildroprc").read_text().replace("/usr/bin/dspam", f"{site.programs}/dspam")
    assert has_one_verdict(Home(site, f'DSPAM_CONF="{site.daemon.config}"\n{recipe}').deliver(0))


def test_dspam_runs_maildrop_for_its_own_user(folder: Path) -> None:
    site = Site(
        "maildrop", folder / "agent", folder / "bin", 'UntrustedDeliveryAgent "/usr/bin/maildrop -d %u"\n'
    )
    config = site.daemon.config
    config.write_text(re.sub("^DeliveryHost .*\n", "", config.read_text(), flags=re.M))
    site.mailbox(opted_in=True)
    LocalAccount("courier").own(site.folder)
    assert has_one_verdict(Home(site, 'DEFAULT="$HOME/Maildir"\n').deliver(1))


DOWN = "StorageDriver pgsql_drv\nPgSQLServer 127.0.0.1\nPgSQLPort {port}\nPgSQLUser dspam\nPgSQLDb dspam\n"
UNMARKED = ("--fail=tempfail", "")


def test_without_a_daemon_mail_waits_or_arrives_unharmed(folder: Path) -> None:
    mailbox = Site("maildrop", folder / "off", folder / "bin").mailbox(opted_in=True)
    done = mailbox.deliver(LETTER)
    assert (done.returncode, mailbox.arrived()) == (os.EX_TEMPFAIL, [])
    assert b"cannot connect" in done.stderr
    assert (mailbox.deliver(LETTER, UNMARKED).returncode, mailbox.arrived()) == (0, [LETTER])


def test_without_a_database_mail_waits_or_arrives_unharmed(folder: Path) -> None:
    site = Site("maildrop", folder / "down", folder / "bin", DOWN.format(port=free_port()))
    mailbox = site.mailbox(opted_in=True)
    with site.daemon:
        assert (mailbox.deliver(LETTER).returncode, mailbox.arrived()) == (os.EX_TEMPFAIL, [])
        assert (mailbox.deliver(LETTER, UNMARKED).returncode, mailbox.arrived()) == (0, [LETTER])
        report = mailbox.run("dspamc --user alice --addspam", LETTER)
        assert (report.returncode, report.stdout) == (os.EX_TEMPFAIL, b"")
        config = site.daemon.config
        config.write_text("OnStorageFailure deliver\n" + config.read_text())
        site.daemon.reload()
        until(lambda: "event=reloaded" in site.daemon.output, "a reload")
        assert mailbox.deliver(LETTER).returncode == 0
        (mail,) = mailbox.arrived()
        assert b"\nX-DSPAM-Result: Unfiltered\n" in mail
        assert OURS.sub(b"", mail) == LETTER
