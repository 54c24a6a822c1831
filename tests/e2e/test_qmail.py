"""The files for qmail and vpopmail, as docs/qmail.md says, under an account that is not the daemon's.

`tests/support/qmail_local.py` runs their lines, since Debian has no package of qmail.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemon import PROGRAM, SCORING
from tests.support.documents import ROOT, blocks
from tests.support.guide_site import GuideSite, folder_for_all
from tests.support.local_account import LocalAccount
from tests.support.ports import free_port
from tests.support.qmail_local import DELIVERED, HARD, SOFT, Delivered, QmailLocal
from tests.support.recording_agent import RecordingAgent

FILES = ROOT / "etc/qmail"
DOMAIN = "example.org"
LETTER = b"From: ann@example.net\nSubject: lunch\n\nshall we meet at noon\n.\n..\nin the garden \xff\n"
OURS = re.compile(rb"^X-DSPAM-.*\n([ \t].*\n)*", re.M)
VDELIVERMAIL = """\
#!/bin/sh
# Stands for that of vpopmail, which is in no package of Debian either.
[ "$2" = bounce-no-mailbox ] || exit 111
[ -d "$HOME/$EXT" ] || { echo "Sorry, no mailbox here by that name."; exit 100; }
exec cat >"$HOME/$EXT/mail"
"""


class Site(GuideSite):
    """One with a domain of vpopmail, whose account is here one that the sample does not trust."""

    def __init__(self, folder: Path, programs: Path, lines: str = "") -> None:
        self.vpopmail = LocalAccount("games")
        super().__init__("qmail", folder, programs, f"Trust {self.vpopmail.name}\n{lines}")
        self.home = folder / DOMAIN
        (self.home / "bob").mkdir(parents=True)
        self._vdelivermail = self.home / "vdelivermail"
        self._vdelivermail.write_text(VDELIVERMAIL)
        self._vdelivermail.chmod(0o755)
        for file in FILES.glob("dot-*"):
            self.instruct(file.name.removeprefix("dot-qmail"), file.read_text())
        self.vpopmail.own(self.home, self.home / "bob")

    def instruct(self, extension: str, text: str) -> None:
        """Write a `.qmail` file."""
        (self.home / f".qmail{extension}").write_text(self._here(text))

    def install(self, name: str, dspamc: str) -> None:
        """Install a script of ours that runs another command in place of dspamc."""
        script = self.programs / name
        script.write_text(self._here((FILES / name).read_text().replace("/usr/bin/dspamc", dspamc)))
        script.chmod(0o755)

    def _here(self, text: str) -> str:
        """A text with our places."""
        text = text.replace("/usr/bin/dspam", f"{self.programs}/dspam").replace(
            "/usr/local/bin", str(self.programs)
        )
        return text.replace("/home/vpopmail/bin/vdelivermail", str(self._vdelivermail))

    def deliver(self, mail: bytes, extension: str = "bob", **environment: str) -> Delivered:
        qmail = QmailLocal(self.vpopmail, DOMAIN, self.home)
        return qmail.deliver(mail, extension, DOMAIN, DSPAM_CONF=str(self.daemon.config), **environment)

    def arrived(self) -> bytes:
        """Take the mail that arrived for Bob."""
        path = self.home / "bob/mail"
        mail = path.read_bytes()
        path.unlink()
        return mail


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with folder_for_all("dspamc", "dspam") as folder:
        yield folder


@pytest.fixture(scope="module")
def agent(folder: Path) -> RecordingAgent:
    (folder / "agent").mkdir()
    return RecordingAgent(folder / "agent")


@pytest.fixture(scope="module")
def site(folder: Path, agent: RecordingAgent) -> Iterator[Site]:
    lines = f'TrustedDeliveryAgent "{agent.command} -d %u"\n{SCORING}\n'
    site = Site(folder / "up", folder / "bin", lines)
    config = site.daemon.config
    config.write_text(re.sub("^DeliveryHost .*\n", "", config.read_text(), flags=re.M))
    with site.daemon:
        yield site
        assert "Traceback" not in site.daemon.output


def test_mail_comes_out_whole_with_a_verdict(site: Site) -> None:
    assert site.deliver(LETTER) == Delivered(DELIVERED, b"")
    mail = site.arrived()
    assert OURS.sub(b"", mail) == LETTER
    fields = rb"""X-DSPAM-Result: Innocent
X-DSPAM-Processed: \w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}
X-DSPAM-Confidence: [01]\.\d{4}
(X-DSPAM-Improbability: 1 in \d+ chance of being spam
)?X-DSPAM-Probability: [01]\.\d{4}
X-DSPAM-Signature: [0-9a-f]+
"""
    assert re.search(fields, mail)
    assert f"event=message user=bob@{DOMAIN} " in site.daemon.output


def test_the_signature_stands_in_the_text_if_the_user_wants_it(site: Site) -> None:
    (site.home / "carol").mkdir()
    site.vpopmail.own(site.home / "carol")
    subprocess.run(
        [PROGRAM.with_name("dspam_admin"), "ch", "pref", f"carol@{DOMAIN}", "signatureLocation", "message"],
        check=True,
        capture_output=True,
        timeout=60,
        env={**os.environ, "DSPAM_CONF": str(site.daemon.config)},
    )
    assert site.deliver(LETTER, "carol") == Delivered(DELIVERED, b"")
    mail = (site.home / "carol/mail").read_bytes()
    (signature,) = re.findall(rb"^X-DSPAM-Signature: (\S+)$", mail, re.M)
    assert mail.endswith(LETTER.partition(b"\n\n")[2] + b"\n!DSPAM:%b!\n\n" % signature)


def test_the_last_program_says_what_becomes_of_the_mail(site: Site) -> None:
    ended = site.deliver(LETTER, "nobody")
    assert ended.status == HARD
    assert b"Sorry, no mailbox here by that name.\n" in ended.output  # beside the complaint of dspamc


@pytest.mark.parametrize(
    ("dspamc", "status", "arrives"),
    [
        ("/usr/bin/dspamc", DELIVERED, True),
        ("sh -c 'kill -9 $$'", SOFT, False),
        ("sh -c 'exit 69'", HARD, False),
    ],
)
def test_a_script_gives_no_empty_mail_to_a_program(
    site: Site, dspamc: str, status: int, arrives: bool
) -> None:
    """Not even if dspamc is killed, or refuses the mail."""
    site.install("dspam-pipe", dspamc)
    site.instruct("-bob", blocks("qmail", "qmail")[1].text)
    ended = site.deliver(LETTER)
    (site.home / ".qmail-bob").unlink()
    assert ended.status == status
    if arrives:
        assert OURS.sub(b"", site.arrived()) == LETTER
    assert not (site.home / "bob/mail").exists()


def test_the_script_without_a_program_keeps_the_mail_in_the_queue() -> None:
    for words in ["bob"], ["bob", ""], []:
        ended = subprocess.run(
            ["sh", FILES / "dspam-pipe", *words], input=LETTER, capture_output=True, timeout=60, check=False
        )
        assert (ended.returncode, ended.stdout) == (SOFT, b"")
        assert ended.stderr.startswith(b"usage: dspam-pipe USER PROGRAM")


def test_each_line_has_the_whole_mail(site: Site) -> None:
    site.instruct("-list", "# two\n| cat >first\n" + "| /usr/bin/dspamc --user bob --deliver=stdout >second")
    assert site.deliver(LETTER, "list") == Delivered(DELIVERED, b"")
    assert (site.home / "first").read_bytes() == LETTER
    assert OURS.sub(b"", (site.home / "second").read_bytes()) == LETTER


def test_users_correct_verdicts_by_mail(site: Site) -> None:
    for number, (kind, result) in enumerate([("spam", "Spam"), ("notspam", "Innocent")]):
        assert site.deliver(LETTER + b"%d\n" % number).status == DELIVERED
        report = b"Subject: wrong\nContent-Type: message/rfc822\n\n" + site.arrived()
        assert site.deliver(report, f"{kind}-bob") == Delivered(DELIVERED, b"")
        assert f"user=bob@{DOMAIN} rcpt=bob@{DOMAIN} result={result} source=error" in site.daemon.output
    ended = site.deliver(LETTER, "spam-bob")
    assert ended.status == HARD
    assert b"Unable to find a valid signature" in ended.output


def test_a_program_delivers_for_the_daemon(site: Site, agent: RecordingAgent) -> None:
    site.instruct("-dave", blocks("qmail", "qmail")[2].text)
    assert site.deliver(LETTER, "dave") == Delivered(DELIVERED, b"")
    assert agent.words == [b"-d", b"dave@" + DOMAIN.encode()]
    assert OURS.sub(b"", agent.message) == LETTER
    agent.ends("sys.exit(75)")
    assert site.deliver(LETTER, "dave").status == SOFT


DOWN = "StorageDriver pgsql_drv\nPgSQLServer 127.0.0.1\nPgSQLPort {port}\nPgSQLUser dspam\nPgSQLDb dspam\n"


def test_without_a_database_the_mail_is_whole_and_reports_wait(folder: Path) -> None:
    site = Site(folder / "down", folder / "bin", DOWN.format(port=free_port()))
    with site.daemon:
        assert b"the mail goes on unfiltered" in site.deliver(LETTER).output
        assert site.arrived() == LETTER
        assert site.deliver(LETTER, "spam-bob").status == SOFT


def test_without_a_daemon_the_mail_is_whole_and_reports_wait(folder: Path) -> None:
    """Nor with a configuration that vpopmail cannot read; the reason is named."""
    site = Site(folder / "off", folder / "bin")
    for mode, reason in (0o644, "cannot connect to"), (0o200, "Permission denied: account {0} (group "):
        site.daemon.config.chmod(mode)
        ended = site.deliver(LETTER)
        assert (ended.status, site.arrived()) == (DELIVERED, LETTER)
        assert reason.format(site.vpopmail.name).encode() in ended.output
        assert site.deliver(LETTER, "spam-bob").status == SOFT


SESSION = (
    r'X-DSPAM-Result: {}; result="(Innocent)"; class="(Innocent)"; probability=([\d.]+); confidence=([\d.]+);'
    r" signature=(N/A|[0-9a-f]+)\n",
    r'X-DSPAM-Result: {}; result="(Spam)"; class="(Spam)"; probability=(1.0000); confidence=(1.00);'
    r" signature=(N/A|[0-9a-f]+)\n",
    r'X-DSPAM-Result: {}; result="(\w+)"; class="(\w+)"; probability=([\d.]+); confidence=([\d.]+);'
    r" signature=(N/A)\n",
)


def test_the_commands_of_the_guide_answer_alike_in_both_programs(site: Site) -> None:
    """An administrator types them; each program has a user of its own, whom nobody saw before."""
    (session,) = blocks("qmail", "sh")
    lines = session.text.splitlines()
    answers = []
    for program in "dspamc", "dspam":
        user = f"{program}@{DOMAIN}"
        for line, pattern in zip([lines[2], *lines], [SESSION[0], *SESSION], strict=True):
            command = line.replace("dspamc", str(PROGRAM.with_name(program))).replace("bob@example.org", user)
            done = subprocess.run(
                ["sh", "-c", command.partition(" <")[0]],
                input=LETTER,
                capture_output=True,
                timeout=60,
                env={**os.environ, "DSPAM_CONF": str(site.daemon.config)},
            )
            assert (done.returncode, done.stderr) == (0, b"")
            told = re.fullmatch(pattern.format(re.escape(user)), done.stdout.decode())
            assert told, done.stdout
            answers.append(told.groups()[:4])
    assert answers[:4] == answers[4:]


def test_the_weekly_clean_up_is_silent_unless_there_is_something_to_say(site: Site) -> None:
    (line,) = re.findall(r"^\d.*", (ROOT / "etc/cron/dspamd").read_text(), re.M)
    *_, account, command = line.split(None, 6)
    assert account == "dspam"
    log = site.folder / "data/old@example.org/old@example.org.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("1\tI\tx\t1\tx\tDelivered\t<x>\n4102444800\tI\tx\t1\tx\tDelivered\t<x>\n")

    def cron(command: str) -> subprocess.CompletedProcess[bytes]:
        environment = {"PATH": f"{PROGRAM.parent}:/bin", "DSPAM_CONF": str(site.daemon.config)}
        return subprocess.run(
            ["sh", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=60,
            env=environment,
        )

    done = cron(command)
    assert (done.returncode, done.stdout) == (0, b"")
    assert log.read_text().startswith("4102444800\t")
    done = cron("dspam_clean -s -p -u")
    assert (done.returncode, done.stdout) == (0, b"")
    log.unlink()
    log.mkdir()  # a log that cannot be written
    done = cron(command)
    assert done.returncode
    assert str(log).encode() in done.stdout
