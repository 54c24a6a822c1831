"""A site on which users correct the filter by moving mail: Dovecot as our guide sets it up, and dspamd.

Mail comes to the daemon by LMTP and goes on to Dovecot by LMTP. Dovecot has the shipped files of etc/dovecot;
only folders and the names of accounts are others. As root there are three accounts, as on a site: root starts
both servers, `daemon` has the socket of dspamd, with mode 0660, and `nobody` has the mail, as vmail does.
"""

from __future__ import annotations

import asyncio
import contextlib
import grp
import imaplib
import os
import pwd
import re
import shutil
import smtplib
import subprocess
import tempfile
from array import array
from collections.abc import Iterator
from pathlib import Path

from dspamd.app import home_of
from dspamd.config.config import Config
from dspamd.engine.model import Totals
from dspamd.maintenance.maintenance import Maintenance
from dspamd.maintenance.purge import Ages
from dspamd.storage.contract import Storage
from dspamd.storage.drivers import open_storage
from dspamd.users.users import Users
from tests.support.daemon import Daemon
from tests.support.documents import with_lines
from tests.support.dovecot import Dovecot, dovecot, installed, mail_account
from tests.support.postfix import SENDER, stuffed

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "etc/dovecot"
VERSION = "2.4" if installed() >= (2, 4) else "2.3"
USERS = tuple(f"user{number}@example.com" for number in range(20))
"""Each test has a user of its own."""
SCORING = "TrainingMode tone\nAlgorithm joint"  # the shipped ones
MAILBOXES = r"""
mail_uid = {mail}
namespace inbox {
  inbox = yes
  mailbox Junk {
    special_use = \Junk
    auto = create
  }
  mailbox Papierkorb {
    special_use = \Trash
    auto = create
  }
}
"""
SETTINGS = """\
ServerUser {account}
Trust {account}
Trust {mail}
ServerMode auto
ServerDomainSocketPath {folder}/socket
ServerHost 127.0.0.1
ClientHost {folder}/socket
StripRcptDomain off
Broken case
DeliveryProto LMTP
DeliveryHost {next_hop}
"""


class Retraining:
    """Dovecot and dspamd, with everything below `folder`."""

    def __init__(self, folder: Path, server: Dovecot, daemon: Daemon) -> None:
        self.folder, self.dovecot, self.daemon = folder, server, daemon

    def deliver(self, user: str, *mails: bytes) -> None:
        """Have mail filtered and brought to the user's INBOX."""
        with smtplib.LMTP("127.0.0.1", self.daemon.port, timeout=60) as client:
            client.ehlo("client.example.net")
            for mail in mails:
                assert client.mail(SENDER)[0] == 250
                assert client.rcpt(user)[0] == 250
                assert client.docmd("DATA")[0] == 354
                client.send(stuffed(mail))
                assert client.getreply()[0] == 250

    @contextlib.contextmanager
    def client(self, user: str, folder: str = "INBOX") -> Iterator[imaplib.IMAP4]:
        """A session of a user, in a folder."""
        with imaplib.IMAP4("::1", self.dovecot.imap, timeout=60) as client:
            client.login(user, "x")
            assert client.select(folder)[0] == "OK"
            yield client

    def move(self, user: str, source: str, target: str, *, messages: str = "", way: str = "MOVE") -> None:
        """Bring messages, or the last one, to another folder: by MOVE, or by COPY as older clients do."""
        with self.client(user, source) as client:
            messages = messages or last(client)
            assert client.uid(way, messages, target)[0] == "OK"
            if way == "COPY":
                assert client.uid("STORE", messages, "+FLAGS", r"(\Deleted)")[0] == "OK"
                assert client.expunge()[0] == "OK"

    def missed(self, user: str) -> int:
        """How many messages the user reported as spam, and did not take back."""
        config = Config.load(self.daemon.config)

        async def look(storage: Storage) -> Totals:
            await storage.open()
            try:
                uid = await storage.uid(user, create=False)
                return Totals() if uid is None else (await storage.read(uid, array("Q"))).totals
            finally:
                await storage.close()

        return asyncio.run(look(open_storage(config, home_of(config)))).spam_misclassified

    def forget(self) -> None:
        """Remove all signatures, as a purge does when they are old."""
        config = Config.load(self.daemon.config)

        async def purge(storage: Storage) -> None:
            await storage.open()
            try:
                users = Users(config, storage, home_of(config))
                report = await Maintenance(users, storage, Ages(signatures=0)).purge()
            finally:
                await storage.close()
            assert report.purged.signatures

        asyncio.run(purge(open_storage(config, home_of(config))))

    @property
    def lessons(self) -> int:
        """How many lessons the daemon has logged."""
        return self.daemon.output.count(" source=error ")


def last(client: imaplib.IMAP4) -> str:
    """The UID of the message that came last to the folder of a session."""
    return str(client.uid("SEARCH", "ALL")[1][0].split()[-1], "ascii")


def account_of_daemon() -> pwd.struct_passwd:
    return pwd.getpwnam("daemon") if os.getuid() == 0 else pwd.getpwuid(os.getuid())


def shipped(folder: Path, *files: str) -> str:
    """The lines of shipped files for the Dovecot that is installed, with our places."""
    names = ("94-dspam-delivery.conf", *(f"{VERSION}/{name}" for name in files))
    text = "".join((SHIPPED / name).read_text() for name in names)
    group = grp.getgrgid(account_of_daemon().pw_gid).gr_name
    for theirs, ours in (
        ("mail_access_groups = dspam\n", f"mail_access_groups = {group}\n"),
        ("    group = dspam\n", f"    group = {group}\n"),
        ("/etc/dovecot/sieve/", f"{folder}/sieve/"),
        ("/usr/lib/dovecot/sieve-pipe", f"{folder}/sieve-pipe"),
        ("/usr/bin/dspamc", f"{folder}/sieve-pipe/dspamc"),
    ):
        text = text.replace(theirs, ours)
    assert not re.search(r"(?m)^[^#\n]*[ =:](/etc|/usr)/", text), text
    return text


@contextlib.contextmanager
def retraining(*files: str, settings: str = "") -> Iterator[Retraining]:
    """The site, with these files of etc/dovecot and these lines of dspam.conf."""
    folder = Path(tempfile.mkdtemp(prefix="dspamd-"))
    folder.chmod(0o755)
    try:
        shutil.copytree(SHIPPED / "sieve", folder / "sieve")
        _install(folder)
        more = MAILBOXES.replace("{mail}", mail_account().pw_name) + shipped(folder, *files)
        with (
            dovecot(more, USERS) as server,
            _daemon(folder, server, settings) as daemon,
        ):
            if "antispam" not in "".join(files):
                compile_scripts(folder, server)
            yield Retraining(folder, server, daemon)
            assert "Traceback" not in daemon.output
    finally:
        shutil.rmtree(folder)


def compile_scripts(folder: Path, server: Dovecot) -> None:
    """Compile the scripts, as an administrator does once: the account of the mail may not write there."""
    for script in (folder / "sieve").iterdir():
        subprocess.run(["sievec", "-c", server.folder / "dovecot.conf", script], check=True, timeout=60)


def _install(folder: Path) -> None:
    """dspamc where Dovecot finds it.

    Another account runs it, who may be unable to see the Python and the source tree of the tests.
    """
    shutil.copytree(
        ROOT / "dspamd", folder / "lib/dspamd", ignore=shutil.ignore_patterns("__pycache__", "*.so", "*.c")
    )
    (folder / "sieve-pipe").mkdir()
    program = folder / "sieve-pipe/dspamc"
    program.write_text(
        f"#!/bin/sh\nexport DSPAM_CONF={folder}/home/dspam.conf PYTHONPATH={folder}/lib\n"
        f'exec /usr/bin/python3 -m dspamd.commands.dspamc "$@"\n'
    )
    program.chmod(0o755)
    # Bytecode for those who may not write there.
    subprocess.run([program, "--version"], check=True, capture_output=True, timeout=60)


def _daemon(folder: Path, server: Dovecot, settings: str) -> Daemon:
    account = account_of_daemon()
    home = folder / "home"
    home.mkdir()
    common = SETTINGS.format(
        account=account.pw_name, mail=mail_account().pw_name, folder=home, next_hop=server.folder / "run/lmtp"
    )
    daemon = Daemon(home, 25, scoring=SCORING)
    daemon.config.write_text(with_lines(daemon.config.read_text(), settings + common))
    os.chown(home, account.pw_uid, account.pw_gid)
    return daemon
