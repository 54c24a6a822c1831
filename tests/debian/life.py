"""`python -m tests.debian.life BASE PLACE PACKAGE NEWER`: the life of a package, with real mail.

BASE is the folder of a Debian that has what the package depends on, and Postfix; PLACE an empty folder; NEWER
the package that replaces the first one. A failed assertion ends it. systemd does not run in such a root, so
the daemon is started here, by the account and the command of its unit.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import smtplib
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from tests.debian.root import Root
from tests.support.ports import greets
from tests.support.wait import until

ALICE, BOB = "alice@example.org", "bob@example.org"
MAIL = "From: x@example.net\r\nSubject: hello {}\r\n\r\n.A text\r\nwith two lines\r\n"
COMMANDS = ("cssstat", "dspam", "dspam_admin", "dspam_stats", "dspamc")
MAIN_CF = """\
compatibility_level = 3.6
maillog_file = /var/log/postfix.log
myhostname = mx.example.org
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtpd_peername_lookup = no
disable_dns_lookups = yes
default_database_type = texthash
virtual_mailbox_domains = example.org
virtual_mailbox_base = /srv/mail
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
# The queue retries deferred mail at once, and delivers so many messages at a time.
queue_run_delay = 1s
minimal_backoff_time = 1s
maximal_backoff_time = 1s
transport_retry_time = 1s
smtpd_client_connection_count_limit = 0
"""
MASTER_CF = "/usr/share/postfix/master.cf.dist"


class Site:
    """The root with its mail server and its filter."""

    def __init__(self, root: Root) -> None:
        self.root = root
        self._daemon: subprocess.Popen[str] | None = None

    def install(self, package: Path) -> None:
        """Install a package file."""
        shutil.copy(package, self.root.path / "tmp")
        self.root.run("dpkg", "--install", f"/tmp/{package.name}")

    def start_filter(self) -> None:
        """Start the daemon as its unit says, and wait until it greets."""
        unit = self.root.run("sh", "-c", "cat /lib/systemd/system/dspamd.service")
        words = {key: re.findall(rf"^{key}=(.*)", unit, re.M)[0] for key in ("ExecStart", "User", "UMask")}
        self.root.run("systemd-tmpfiles", "--create", "dspamd.conf")
        with (self.root.path / "var/log/dspamd.output").open("a") as output:
            self._daemon = self.root.start(
                *("runuser", "-u", words["User"], "--", "sh", "-c"),
                f"umask {words['UMask']}; exec {words['ExecStart']}",
                output=output,
            )
        until(lambda: greets(10033), lambda: f"the daemon to greet: {self.output}")

    def stop_filter(self) -> None:
        """Stop the daemon, as systemd does."""
        pid = int((self.root.path / "run/dspam/dspam.pid").read_text())
        os.kill(pid, signal.SIGTERM)
        assert self._daemon is not None
        assert self._daemon.wait(60) == 0, self.output

    @property
    def output(self) -> str:
        """The log of the daemon."""
        return (self.root.path / "var/log/dspamd.output").read_text()

    def start_postfix(self) -> None:
        """Start Postfix, with the lines that the package brings."""
        etc = self.root.path / "etc/postfix"
        etc.mkdir(exist_ok=True)
        share = self.root.path / "usr/share/dspamd/postfix"
        (etc / "main.cf").write_text(
            MAIN_CF + (share / "main.cf").read_text().replace("hash:", "texthash:", 1)
        )
        services = (self.root.path / MASTER_CF[1:]).read_text()
        services = re.sub(r"^smtp +inet.*\n", "", services, flags=re.M)
        (etc / "master.cf").write_text(services + (share / "master.cf").read_text())
        (etc / "mailboxes").write_text(f"{ALICE} alice/\n{BOB} bob/\n")
        self.root.run("install", "-d", "-o", "nobody", "-g", "nogroup", "/srv/mail")
        self.root.run("postfix", "start")
        until(lambda: greets(25) and greets(10034), lambda: f"Postfix to listen: {self.log}")

    @property
    def log(self) -> str:
        """The log of Postfix."""
        return (self.root.path / "var/log/postfix.log").read_text()

    def send(self, recipient: str, content: str, sender: str = "x@example.net") -> None:
        """Hand Postfix a message."""
        with smtplib.SMTP("127.0.0.1", 25, timeout=60) as smtp:
            smtp.sendmail(sender, [recipient], content.encode())

    def mailbox(self, user: str) -> list[str]:
        """The mail that arrived for a user."""
        folder = self.root.path / f"srv/mail/{user}/new"
        return [path.read_text() for path in folder.iterdir()] if folder.is_dir() else []

    def arrived(self, user: str, count: int) -> list[str]:
        """Wait until so many messages arrived for a user, and nothing is queued."""

        def came() -> bool:
            if len(self.mailbox(user)) >= count and "empty" in self.root.run("postqueue", "-p"):
                return True
            self.root.run("postqueue", "-f")  # retry deferred mail now instead of later
            return False

        until(
            came,
            lambda: (
                f"{count} messages for {user}; {len(self.mailbox(user))} came\n"
                f"{self.root.run('postqueue', '-p')}{self.log}\n{self.output}"
            ),
            timeout_s=90,
            every_s=0.5,
        )
        return self.mailbox(user)

    def learned(self) -> str:
        """The dictionary of Alice."""
        return self.root.run("dspam_stats", ALICE)


@contextlib.contextmanager
def flowing(site: Site) -> Iterator[list[str]]:
    """Mail for Bob comes all the time; gives the subjects of what Postfix accepted."""
    accepted: list[str] = []
    over = threading.Event()

    def send() -> None:
        while not over.is_set() and len(accepted) < 2000:
            site.send(BOB, MAIL.format(len(accepted)))
            accepted.append(f"hello {len(accepted)}")
            over.wait(0.05)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield accepted
    finally:
        over.set()
        sender.join(60)


def installed(site: Site, package: Path) -> None:
    """A fresh installation filters mail, and learns."""
    site.install(package)
    for command in COMMANDS:
        site.root.run(command, "--help")
    assert "dspam.conf: usable, 0 warnings" in site.root.run("dspamd", "--check-config")
    enabled = site.root.run("sh", "-c", "ls /etc/systemd/system/*.wants")
    assert {"dspamd.service", "dspam-clean.timer"} <= set(enabled.split())
    site.start_filter()
    site.start_postfix()
    site.send(ALICE, MAIL.format("Alice"))
    (message,) = site.arrived("alice", 1)
    assert "X-DSPAM-Result: Innocent" in message
    assert message.endswith(MAIL.format("").replace("\r\n", "\n").partition("\n\n")[2])
    corrected(site, message)


def corrected(site: Site, message: str) -> None:
    """Alice forwards it as spam, and it counts as an error."""
    head = f"From: {ALICE}\r\nSubject: Fwd\r\nContent-Type: message/rfc822\r\n\r\n"
    site.send(f"spam-{ALICE}", head + message.replace("\n", "\r\n"), ALICE)
    until(lambda: "result=Spam source=error" in site.output, lambda: "a correction: " + site.output)
    until(lambda: "FN:     1" in site.learned(), lambda: "what was learned: " + site.learned())


def upgraded(site: Site, package: Path) -> None:
    """A newer package comes while mail flows, and loses none."""
    known = site.learned()
    before = site.root.run("dspamd", "--version")
    with flowing(site) as accepted:
        until(lambda: len(accepted) > 5, "mail to flow")
        site.install(package)
        site.stop_filter()  # with systemd, deb-systemd-invoke does this
        count = len(accepted)
        until(lambda: len(accepted) > count + 5, "mail to come meanwhile")
        site.start_filter()
        count = len(accepted)
        until(lambda: len(accepted) > count + 5, "mail to come again")
    assert site.root.run("dspamd", "--version") != before
    subjects = [re.findall("^Subject: (.*)", mail, re.M)[0] for mail in site.arrived("bob", len(accepted))]
    assert sorted(subjects) == sorted(accepted)
    assert site.learned() == known


def removed(site: Site) -> None:
    """Programs go, what users taught and what the administrator wrote stays."""
    site.stop_filter()
    site.root.run("dpkg", "--remove", "dspamd")
    made = site.root.made("dspam")
    assert not [path for path in made if path.startswith(("/usr/", "/lib/"))]
    assert "/etc/dspam/dspam.conf" in made
    assert list((site.root.path / "var/lib/dspam").rglob("*.sdb"))


def purged(site: Site) -> None:
    """Nothing is left of it."""
    site.root.run("dpkg", "--purge", "dspamd")
    (site.root.path / "var/log/dspamd.output").unlink()
    others = ("/tmp/", "/var/cache/", "/var/spool/postfix/")
    left = {path for path in site.root.made("dspam") if not path.startswith(others)}
    assert not left, left
    assert "dspam" not in site.root.run("cut", "-d:", "-f1", "/etc/passwd", "/etc/group").split()


def moved_in(site: Site, package: Path) -> None:
    """A site that used DSPAM keeps its configuration and its Home; one without configuration its Home."""
    etc, home = site.root.path / "etc/dspam", site.root.path / "var/spool/dspam"
    etc.mkdir()
    home.mkdir(parents=True)
    theirs = "# theirs\nHome /var/spool/dspam\n"
    (etc / "dspam.conf").write_text(theirs)
    site.install(package)
    assert (etc / "dspam.conf").read_text() == theirs
    site.root.run("dpkg", "--purge", "dspamd")
    assert home.is_dir()
    site.install(package)
    assert "\nHome /var/spool/dspam\n" in (etc / "dspam.conf").read_text()


def main() -> None:
    base, place, package, newer = map(Path, sys.argv[1:])
    root = Root(base, place)
    root.enter()
    site = Site(root)
    installed(site, package)
    upgraded(site, newer)
    known = site.learned()
    removed(site)
    site.install(newer)
    assert site.learned() == known
    site.start_filter()
    removed(site)
    purged(site)
    moved_in(site, package)


if __name__ == "__main__":
    main()
