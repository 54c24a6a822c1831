"""SpamAssassin before and after dspamd, and as its teacher, as docs/spamassassin.md says; no network."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemon import PROGRAM
from tests.support.documents import ROOT
from tests.support.guide_site import GuideSite, folder_for_all
from tests.support.local_account import LocalAccount
from tests.support.ports import free_port
from tests.support.server_process import ServerProcess
from tests.support.wait import until

SCRIPT = ROOT / "etc/spamassassin/dspam-after-spamassassin"
HEAD = b"From: ann@example.net\nTo: bob@example.org\nMessage-ID: <%d.123456789@example.net>\n"
LETTER = HEAD + b"Subject: lunch\n\nshall we meet at noon in the garden\n"
OFFER = HEAD + b"Subject: pills\n\ncheap pills, buy now, no prescription, casino winner\n"
RULES = """\
report_safe 0
use_bayes 1
bayes_auto_learn 1
bayes_auto_learn_threshold_nonspam 1.0
bayes_auto_learn_threshold_spam 15.0
bayes_path {folder}/bayes/bayes
header OUR_SUBJECT Subject =~ /pills/
score OUR_SUBJECT 10
body OUR_TEXT /casino/
score OUR_TEXT 10
header DSPAM_SPAM X-DSPAM-Result =~ /^Spam/
score DSPAM_SPAM 3.0
score MISSING_DATE 0
"""


class Spamd(ServerProcess):
    """spamd with Debian's rules and those above, as its own account; local tests alone."""

    def __init__(self, folder: Path) -> None:
        self.port, self._log = free_port(), folder / "spamd.log"
        account = LocalAccount("debian-spamd")
        (folder / "etc").mkdir()
        for path in Path("/etc/spamassassin").glob("*.pre"):
            (folder / "etc" / path.name).write_text(path.read_text())
        (folder / "etc/local.cf").write_text(RULES.format(folder=folder))
        (folder / "bayes").mkdir()
        account.own(folder / "bayes")
        places = f"--siteconfigpath={folder}/etc", f"--port={self.port}", "--listen=127.0.0.1"
        few = "--max-children=1", "--min-children=1", "--nouser-config", "--local", "--syslog=stderr"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    "/usr/sbin/spamd",
                    *places,
                    *few,
                    f"--username={account.name}",
                    f"--pidfile={folder}/spamd.pid",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=folder,
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(folder / "bayes")},
            )
        until(lambda: "server started" in self._log.read_text(), self._log.read_text, 60)

    def stop(self) -> None:
        self._end(signal.SIGTERM)


class Site(GuideSite):
    def filter(self, line: str, mail: bytes) -> subprocess.CompletedProcess[bytes]:
        """A line of the guide, run as a delivery agent does."""
        words = {"DSPAM_CONF": str(self.daemon.config), "PATH": f"{self.programs}:/usr/bin:/bin"}
        return LocalAccount("mail").run("sh", "-c", line, stdin=mail, environment=words)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with folder_for_all("dspamc") as folder:
        site = Site("spamassassin", folder / "site", folder / "bin", "Trust mail\n")
        spamd = Spamd(site.folder)
        spamc = folder / "bin/spamc"
        spamc.write_text(f'#!/bin/sh\nexec /usr/bin/spamc -d 127.0.0.1 -p {spamd.port} "$@"\n')
        spamc.chmod(0o755)
        shutil.copy(SCRIPT, folder / "bin")
        try:
            with site.daemon:
                yield site
                assert "Traceback" not in site.daemon.output
        finally:
            spamd.stop()


BOB = "dspamc --user bob@example.org"
IN_FRONT, TEACHER, BEHIND = (
    re.search(rf"^    ({line}.*)", (ROOT / "docs/spamassassin.md").read_text(), re.M)[1]  # type: ignore[index]
    for line in ("spamc", "dspam-after", "dspamc")
)


def field(mail: bytes, name: str) -> str:
    (value,) = re.findall(rb"^%b: (.*(?:\n[ \t].*)*)" % name.encode(), mail, re.M)
    return str(value, "ascii")


def test_a_mail_has_both_verdicts(site: Site) -> None:
    mail = site.filter(IN_FRONT.replace("bob", "ann"), LETTER % 1).stdout
    assert field(mail, "X-Spam-Status").startswith("No, ")
    assert field(mail, "X-DSPAM-Result") == "Innocent"
    assert mail.endswith(LETTER.partition(b"\n\n")[2])


def taught(site: Site, result: str) -> int:
    return site.daemon.output.count(f"result={result} source=error")


def test_it_teaches_both_classes_and_the_user_has_the_last_word(site: Site) -> None:
    before = taught(site, "Spam")
    done = site.filter(TEACHER, OFFER % 2 + b"for bob\n")  # SpamAssassin learns a text once
    assert (done.returncode, done.stderr) == (0, b"")
    assert " autolearn=spam " in re.sub(r"\s+", " ", field(done.stdout, "X-Spam-Status"))
    assert (field(done.stdout, "X-DSPAM-Result"), taught(site, "Spam")) == ("Innocent", before + 1)
    signature = field(done.stdout, "X-DSPAM-Signature")
    said = site.filter(f"{BOB} --source=error --class=innocent --signature={signature}", b"")
    assert (said.returncode, said.stderr, taught(site, "Innocent")) == (0, b"", 1)

    for number in range(4):
        said = site.filter(f"{BOB} --source=corpus --class=spam", LETTER % (10 + number))
        assert said.returncode == 0
    done = site.filter(TEACHER, LETTER % 20 + b"bring the minutes\n")
    assert (done.returncode, done.stderr) == (0, b"")
    assert " autolearn=ham " in re.sub(r"\s+", " ", field(done.stdout, "X-Spam-Status"))
    assert (field(done.stdout, "X-DSPAM-Result"), taught(site, "Innocent")) == ("Spam", 2)


def test_without_signatures_it_teaches_the_text(site: Site) -> None:
    subprocess.run(
        [PROGRAM.with_name("dspam_admin"), "ch", "pref", "carol@example.org", "trainPristine", "on"],
        check=True,
        capture_output=True,
        timeout=60,
        env={**os.environ, "DSPAM_CONF": str(site.daemon.config)},
    )
    done = site.filter(TEACHER.replace("bob", "carol"), OFFER % 70 + b"for carol\n")
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"\nSubject: pills\n" in done.stdout.partition(b"\n\n")[0]
    assert re.search("user=carol@example.org .*result=Spam source=corpus", site.daemon.output)


def test_a_stranger_teaches_nothing(site: Site) -> None:
    """Who writes fields of SpamAssassin, into a mail that spamc passes on as it came or into another."""
    forged = b"X-Spam-Status: Yes, score=99 required=5.0 tests=X autolearn=spam version=4\n"
    before = taught(site, "Spam")
    teacher = TEACHER.replace("bob", "eve")
    for size in 0, 600_000:
        mail = forged + LETTER % 30 + b"meet at noon in the garden\n" * (size // 27)
        assert site.filter(teacher, mail).returncode == 0
    assert taught(site, "Spam") == before


def test_it_counts_the_verdict_of_dspamd(site: Site) -> None:
    dan = BOB.replace("bob", "dan")
    for number in range(6):
        for label, text in (("spam", OFFER), ("innocent", LETTER)):
            lesson = site.filter(f"{dan} --source=corpus --class={label}", text % (40 + number))
            assert lesson.returncode == 0
    mail = site.filter(BEHIND.replace("bob", "dan"), OFFER % 50 + b"for dan\n").stdout
    assert field(mail, "X-DSPAM-Result") == "Spam"
    assert "DSPAM_SPAM" in field(mail, "X-Spam-Status")


def test_mail_waits_while_one_of_them_is_down(site: Site) -> None:
    for down in "spamc -x", "dspamc --user":
        script = SCRIPT.read_text()
        assert down in script
        path = site.folder / "down"
        path.write_text(script.replace(down, f"false {down}"))
        done = site.filter(f"sh {path} bob@example.org", LETTER % 60)
        assert (done.returncode, done.stdout) == (os.EX_TEMPFAIL, b"")
