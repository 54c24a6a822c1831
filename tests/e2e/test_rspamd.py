"""rspamd as a milter of Postfix in front of dspamd, as docs/rspamd.md says; nothing by network."""

from __future__ import annotations

import pwd
import re
import shutil
import signal
import smtplib
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.daemon import daemon_of
from tests.support.documents import ROOT, blocks
from tests.support.ports import free_port
from tests.support.postfix import Postfix
from tests.support.server_process import ServerProcess, server_folder
from tests.support.wait import until

MAIL = b"From: ann@example.net\r\nSubject: lunch\r\n\r\nshall we meet at noon in the garden\r\n"
GTUBE = (
    b"XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X\r\n"  # what every filter refuses
)
BY_NETWORK = (
    "arc",
    "asn",
    "dkim",
    "dkim_signing",
    "dmarc",
    "fuzzy_check",
    "mx_check",
    "phishing",
    "rbl",
    "spf",
)


class Rspamd(ServerProcess):
    """It has Debian's configuration, and the files of etc/rspamd; `port` is that of its milter."""

    def __init__(self) -> None:
        self.port = free_port()
        folder = server_folder("rspamd")
        folder.chmod(0o755)
        local, data = folder / "local.d", folder / "data"
        shutil.copytree(ROOT / "etc/rspamd/local.d", local)
        for module in BY_NETWORK:
            (local / f"{module}.conf").write_text("enabled = false;\n")
        (local / "worker-controller.inc").write_text("enabled = false;\n")
        options = 'dns { nameserver = ["127.0.0.1:9"]; timeout = 0.1s; }\ndisable_hyperscan = true;\n'
        (local / "options.inc").write_text(options)
        text = Path("/etc/rspamd/rspamd.conf").read_text().replace('type = "file"', 'type = "console"')
        (folder / "rspamd.conf").write_text(text.replace("localhost:11332", f"127.0.0.1:{self.port}"))
        data.mkdir()
        account = pwd.getpwnam("_rspamd")
        shutil.chown(data, account.pw_uid, account.pw_gid)
        places = {
            "DBDIR": data,
            "RUNDIR": data,
            "LOGDIR": data,
            "LOCAL_CONFDIR": folder,
            "CONFDIR": "/etc/rspamd",
        }
        words = [f"--var={name}={place}" for name, place in places.items()]
        self._log = folder / "log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                ["rspamd", "-f", "-u", "_rspamd", "-g", "_rspamd", "-c", folder / "rspamd.conf", *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=folder,
            )
        until(lambda: "starting rspamd_proxy process" in self._log.read_text(), self._log.read_text, 60)

    def stop(self) -> None:
        self._end(signal.SIGTERM)


@contextmanager
def rspamd() -> Iterator[Rspamd]:
    server = Rspamd()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def postfix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postfix]:
    (lines,) = blocks("rspamd", "main.cf")
    back = free_port()
    with rspamd() as milter, daemon_of("dspam.conf", tmp_path_factory.mktemp("site"), back) as daemon:
        main = lines.text.replace(":11332", f":{milter.port}")
        with Postfix(f"dspam:[127.0.0.1]:{daemon.port}", ["bob"], back=back, main=main) as postfix:
            yield postfix
            assert not postfix.complaints


def test_a_mail_has_both_verdicts_once_and_a_stranger_writes_none(postfix: Postfix) -> None:
    forged = b"X-Spam-Status: No, score=-99\r\nX-Spamd-Result: default: False\r\nX-DSPAM-Result: Innocent\r\n"
    postfix.send(forged + MAIL, "bob")
    (mail,) = postfix.arrived("bob")
    for name in b"X-DSPAM-Result", b"X-Spamd-Result", b"X-Spam-Status":
        assert len(re.findall(rb"^%b: " % name, mail, re.M)) == 1, mail
    assert b"score=-99" not in mail
    assert mail.endswith(b"\n\nshall we meet at noon in the garden\n")


def test_what_is_beyond_doubt_never_comes_in(postfix: Postfix) -> None:
    before = postfix.mailbox("bob")
    with postfix.session() as smtp, pytest.raises(smtplib.SMTPDataError) as refused:
        smtp.sendmail("ann@example.net", ["bob@example.org"], MAIL + GTUBE)
    assert refused.value.smtp_code == 554
    assert postfix.mailbox("bob") == before
