"""The real dspamd as a process of its own, configured as the guide for Postfix says.

`Daemon` starts it in the foreground on a folder and a free port, waits until it
greets, and stops or kills it by its process id.  Its output is kept in a file
that failing tests show.
"""

from __future__ import annotations

import os
import signal
import smtplib
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from tests.support.account import TRUST
from tests.support.ports import free_port, greets
from tests.support.postfix import DOMAIN, SENDER, stuffed
from tests.support.wait import until

PROGRAM = Path(sys.executable).with_name("dspamd")
_SAMPLES = Path(__file__).parents[2] / "etc"

DSPAM_CONF = """\
Home {folder}
{trust}
StorageDriver {driver}
{scoring}
Feature whitelist
Preference "spamAction=tag"
Preference "signatureLocation=headers"
Preference "showFactors=on"
ServerHost 127.0.0.1
ServerPort {port}
ServerMode standard
ServerPID {folder}/dspam.pid
ServerParameters "--deliver=innocent,spam"
StripRcptDomain on
ParseToHeaders on
ChangeModeOnParse on
ChangeUserOnParse user
DeliveryHost 127.0.0.1
DeliveryPort {next_hop}
DeliveryProto SMTP
"""

SCORING = """\
TrainingMode teft
Algorithm graham burton
Tokenizer osb
PValue bcr"""


class Daemon:
    """One dspamd whose files are in `folder` and whose next hop listens on `next_hop`.

    `settings` are lines of dspam.conf that come first, `scoring` those about statistics; `environment` is
    added to ours.
    A context manager that starts and stops it.
    """

    def __init__(
        self,
        folder: Path,
        next_hop: int,
        *,
        driver: str = "libsqlite3_drv.so",
        settings: str = "",
        scoring: str = SCORING,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.port = free_port()
        self.folder = folder
        self._environment = {**os.environ, **(environment or {})}
        self.config = folder / "dspam.conf"
        self._common = DSPAM_CONF.format(
            folder=folder,
            trust=TRUST,
            driver=driver,
            scoring=scoring,
            port=self.port,
            next_hop=next_hop,
        )
        self.configure(settings)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def configure(self, settings: str) -> None:
        """Replace its configuration; the daemon reads it at start, and on `reload`."""
        self.config.write_text(settings + self._common)  # the first value of a directive counts

    def reload(self) -> None:
        """Have it read its configuration again."""
        self._process.send_signal(signal.SIGHUP)

    def start(self) -> None:
        """Start it, again too, and wait until it greets."""
        with (self.folder / "output").open("ab") as output:
            self._process = subprocess.Popen(
                [PROGRAM, "--config", self.config],
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment,
            )
        until(self._ready, lambda: "dspamd to greet; it said:\n" + self.output)

    def _ready(self) -> bool:
        assert self._process.poll() is None, f"dspamd ended at once:\n{self.output}"
        return greets(self.port)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def workers(self) -> list[int]:
        """The process ids of its workers."""
        return list(map(int, Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()))

    @property
    def output(self) -> str:
        """Its standard output and error."""
        return (self.folder / "output").read_text(errors="replace")

    def stop(self) -> None:
        """Ask it to end and wait until it has."""
        self.terminate()
        self.wait()

    def terminate(self) -> None:
        """Ask it to end."""
        self._process.terminate()

    def wait(self) -> None:
        """Wait until it has ended, as it should."""
        assert self._process.wait(20) == 0, self.output

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        self._process.kill()
        self._process.wait(20)

    def deliver(self, content: bytes, *users: str, sender: str = SENDER, source: str = "") -> list[int]:
        """Hand `content` over by LMTP, byte by byte as it is; the reply codes, one for each of `users`.

        `source` is the source of the client in XFORWARD: LOCAL or REMOTE.
        """
        with smtplib.LMTP("127.0.0.1", self.port, timeout=60) as lmtp:
            lmtp.ehlo("client.example.net")
            if source:
                assert lmtp.docmd(f"XFORWARD SOURCE={source}")[0] == 250
            assert lmtp.docmd(f"MAIL FROM:<{sender}>")[0] == 250
            for user in users:
                assert lmtp.docmd(f"RCPT TO:<{user}@{DOMAIN}>")[0] == 250
            assert lmtp.docmd("DATA")[0] == 354
            lmtp.send(stuffed(content))
            codes = [lmtp.getreply()[0] for _ in users]
            # If there were more replies than recipients, this would read one.
            assert lmtp.docmd("QUIT")[0] == 221
            return codes


def daemon_of(sample: str, folder: Path, back: int) -> Daemon:
    """The daemon with a configuration of etc/."""
    daemon = Daemon(folder, back)
    text = (_SAMPLES / sample).read_text()
    for theirs, ours in (
        ("@RUN@", str(folder)),
        ("Home /var/lib/dspam", f"Home {folder}"),
        ("#ServerPID /var/run/dspam", f"ServerPID {folder}"),
        ("ServerPort 10033", f"ServerPort {daemon.port}"),
        ("DeliveryPort 10034", f"DeliveryPort {back}"),
    ):
        text = text.replace(theirs, ours)
    daemon.config.write_text(text)
    return daemon
