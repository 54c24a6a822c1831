"""Debian's qpsmtpd on a free port of the loopback, with the lines of etc/qpsmtpd, as its own account."""

from __future__ import annotations

import os
import signal
import smtplib
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.support.local_account import LocalAccount
from tests.support.ports import free_port, greets
from tests.support.server_process import ServerProcess
from tests.support.wait import until

ROOT = Path(__file__).parents[2]
NOTES = """\
# Says what plugins before dspam would have found, as the field X-Notes of a message has it.
use Qpsmtpd::Constants;
sub hook_data_post {
    my ($self, $transaction) = @_;
    my %said = map { split /=/ } split ' ', $transaction->header->get('X-Notes') || '';
    $self->connection->notes('karma', $said{karma}) if $said{karma};
    $self->connection->notes('naughty', 'go away') if $said{naughty};
    $transaction->notes('spamassassin', { is_spam => $said{spam}, autolearn => $said{learn} }) if $said{spam};
    return DECLINED;
}
"""


class Qpsmtpd(ServerProcess):
    """A context manager that runs it.

    `changes` of the lines of etc/qpsmtpd/plugins; `environment` is that of the programs of its plugins.  Mail
    that it takes is in `queue`.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str], *changes: tuple[str, str]) -> None:
        self.account = LocalAccount("qpsmtpd")
        self.port = free_port()
        self.queue = folder / "queue"
        self._folder, self._environment = folder, environment
        plugins = (ROOT / "etc/qpsmtpd/plugins").read_text()
        for before, after in changes:
            assert before in plugins
            plugins = plugins.replace(before, after)
        plugins = plugins.replace("\ndspam ", "\nnotes\ndspam ") + f"queue/maildir {self.queue}\n"
        for path in folder, folder / "config", folder / "plugins":
            path.mkdir()
        (folder / "plugins/notes").write_text(NOTES)
        for name, text in {
            "plugins": plugins,
            "rcpt_regexp": (ROOT / "etc/qpsmtpd/rcpt_regexp").read_text(),
            "rcpthosts": "example.org",
            "plugin_dirs": f"{folder}/plugins\n/usr/share/qpsmtpd/plugins",
            "spool_dir": f"{folder}/spool",
            "loglevel": "6",
        }.items():
            (folder / "config" / name).write_text(f"{text}\n")
        (folder / "spool").mkdir(mode=0o700)
        self.account.own(folder, folder / "spool")

    @property
    def log(self) -> str:
        return (self._folder / "log").read_text(errors="replace")

    def __enter__(self) -> Qpsmtpd:
        command = ("/usr/bin/qpsmtpd-forkserver", "--no-rdns", "--listen-address=127.0.0.1")
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, f"--port={self.port}", f"--user={self.account.name}"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env={**os.environ, **self._environment, "QPSMTPD_CONFIG": str(self._folder / "config")},
            )
        until(lambda: greets(self.port), lambda: self.log)
        return self

    def __exit__(self, *_: object) -> None:
        self._end(signal.SIGTERM)

    def send(self, mail: bytes, *recipients: str) -> str:
        """Send a message as a client from outside does; returns the reply to its text."""
        with smtplib.SMTP("127.0.0.1", self.port, timeout=60) as client:
            client.ehlo()
            client.mail("ann@example.net")
            for recipient in recipients:
                code, reply = client.rcpt(recipient)
                assert code == 250, reply
            code, reply = client.data(mail)
            return f"{code} {reply.decode()}"

    def arrived(self) -> bytes:
        """Take the one message that it queued."""
        (path,) = (self.queue / "new").iterdir()
        mail = path.read_bytes()
        path.unlink()
        return mail
