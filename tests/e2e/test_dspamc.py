"""dspamc and the real daemon: what one says the other understands."""

from __future__ import annotations

import os
import re
import resource
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from email import message_from_bytes
from pathlib import Path

import pytest

from tests.model.transparency import all_mixes, mended
from tests.support.account import TRUST
from tests.support.daemon import Daemon
from tests.support.ports import free_port

MESSAGE = b"From: ann@example.org\nSubject: hi\n\nbody words here\n.\n.dot line\n..two dots\nlast \xff"


class Client:
    """dspamc with a daemon of its own."""

    def __init__(self, folder: Path, daemon: Daemon, config: str = "dspam.conf") -> None:
        self._config = folder / config
        self.daemon = daemon

    def __call__(self, *words: str, stdin: bytes = MESSAGE) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [sys.executable, "-m", "dspamd.commands.dspamc", *words],
            input=stdin,
            capture_output=True,
            timeout=60,
            check=False,
            env={**os.environ, "DSPAM_CONF": str(self._config)},
        )


@pytest.fixture(scope="module")
def dspamc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("d")
    path = folder / "s"
    settings = (
        f"ServerMode auto\nServerDomainSocketPath {path}\nServerPass.Relay1 secret\n"
        f"ClientHost {path}\nClientIdent secret@Relay1\n"
    )
    with Daemon(folder, free_port(), settings=settings) as daemon:
        yield Client(folder, daemon)


def test_a_message_that_is_dragged_into_junk_and_back_is_innocent(tmp_path: Path) -> None:
    """As imapsieve reports it, of tagged mail of which nothing was learned on arrival; and the mirror."""
    path, mails = tmp_path / "s", {}
    settings = (
        f"ServerMode auto\nServerDomainSocketPath {path}\nClientHost {path}\n"
        'Preference "spamAction=tag"\nTrainingMargin 0\n'
    )
    for label, words in (("spam", b"cheap pills casino"), ("innocent", b"project meeting lunch")):
        mails[label] = b"From: ann@%s.example\nSubject: news\n\n%s\n" % (label.encode(), words)
    scoring = "TrainingMode tone\nAlgorithm joint"
    with Daemon(tmp_path, free_port(), settings=settings, scoring=scoring) as daemon:
        dspamc = Client(tmp_path, daemon)

        def teach(label: str, mail: bytes, source: str = "error") -> None:
            done = dspamc("--user", "bob", f"--class={label}", f"--source={source}", stdin=mail)
            assert done.returncode == 0, done.stderr

        for label, mail in mails.items():
            teach(label, mail, "corpus")
        for label, other in (("spam", "innocent"), ("innocent", "spam")):
            mail = mails[label]
            arrived = dspamc("--user", "bob", "--deliver=innocent,spam", "--stdout", stdin=mail).stdout
            assert message_from_bytes(arrived)["X-DSPAM-Result"].lower() == label
            teach(label, arrived)
            teach(other, arrived)
            answer = dspamc("--user", "bob", "--classify", stdin=mail).stdout.decode()
            assert f'result="{other.capitalize()}"' in answer


def test_on_a_socket_the_account_is_enough(dspamc: Client, tmp_path: Path) -> None:
    """There is no password in this file, so it may be for everybody."""
    conf = tmp_path / "client.conf"
    conf.write_text(f"ClientHost {dspamc.daemon.folder}/s\n{TRUST}\n")
    done = Client(tmp_path, dspamc.daemon, "client.conf")("--user", "bob", "--deliver=summary")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"X-DSPAM-Result: bob; ")


def test_the_socket_is_for_its_owner_and_group(dspamc: Client) -> None:
    assert stat.filemode((dspamc.daemon.folder / "s").stat().st_mode) == "srw-rw----"


def test_the_message_comes_back_whole(dspamc: Client) -> None:
    done = dspamc("--user", "bob", "--deliver=innocent,spam", "--stdout")
    assert (done.returncode, done.stderr) == (0, b"")
    head, _, body = done.stdout.partition(b"\n\n")
    assert body == MESSAGE.partition(b"\n\n")[2] + b"\n"
    assert message_from_bytes(head)["X-DSPAM-Result"] == "Innocent"


def test_a_recipient_may_be_named_beside_the_user(dspamc: Client) -> None:
    done = dspamc("--user", "bob", "--rcpt-to", "bob@example.org", "--deliver=innocent,spam", "--stdout")
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"\n\nbody words here\n" in done.stdout


def test_a_message_with_every_mix_of_line_ends_and_dots_comes_back(dspamc: Client) -> None:
    body = all_mixes(7)
    done = dspamc("--user", "bob", "--deliver=innocent,spam", "--stdout", stdin=b"Subject: mix\n\n" + body)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.partition(b"\n\n")[2] == mended(body).replace(b"\r\n", b"\n") + b"\n"


def test_a_large_message_comes_back_whole(dspamc: Client) -> None:
    large = MESSAGE + b"\n" + b".words of a line\n" * 300_000
    done = dspamc("--user", "bob", "--deliver=innocent,spam", "--stdout", stdin=large)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.partition(b"\n\n")[2] == large.partition(b"\n\n")[2]


def test_summary_and_correction(dspamc: Client) -> None:
    done = dspamc("--user", "carol", "--deliver=summary")
    assert done.stdout.startswith(b'X-DSPAM-Result: carol; result="Innocent"; ')
    signature = done.stdout.decode().rpartition("signature=")[2].strip()
    correct = ("--user", "carol", "--class=spam", "--source=error", f"--signature={signature}")
    assert dspamc(*correct, "--deliver=summary").stdout.startswith(b'X-DSPAM-Result: carol; result="Spam"; ')
    again = dspamc(*correct)
    assert (again.returncode, again.stdout, again.stderr) == (0, b"", b"")


def test_classify(dspamc: Client) -> None:
    done = dspamc("--user", "bob", "dave", "--classify")
    assert done.returncode == 0
    told = done.stdout.splitlines()
    verdicts = [line for line in told if line.startswith(b"X-DSPAM-Result")]
    assert all(line.startswith(b"S: ") for line in told if line not in verdicts)  # this site shows factors
    assert told[0] == verdicts[0]
    assert [line.split(b";")[0] for line in verdicts] == [
        b"X-DSPAM-Result: bob",
        b"X-DSPAM-Result: dave",
    ]


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["--class=foo", "--source=error"], 1),
        (["--class=spam"], 1),
        (["--class=spam", "--source=error", "--signature=unknown"], 1),
        (["--deliver=innocent"], 75),  # nobody listens at the next hop
    ],
)
def test_failures(dspamc: Client, words: list[str], status: int) -> None:
    done = dspamc("--user", "bob", *words)
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (status, b"", 1)


def test_output_for_one_user_does_not_hide_that_another_failed(dspamc: Client) -> None:
    done = dspamc("--user", "bob", "no/body", "--classify")
    assert done.stdout.startswith(b"X-DSPAM-Result: bob; ")
    assert (done.returncode, done.stderr.count(b"\n")) == (69, 1)


@pytest.mark.parametrize(
    ("user", "options", "content", "answer"),
    [
        (
            "u" * 250, "--deliver=summary", b"Subject: x\r\n\r\nx\r\n",
            rb"(250 2\.6\.0 <u{250}> |X-DSPAM-Result: u{250}; ).*\r?\n\.\r\n",
        ),
        ("bob", "--deliver=stdout", b"\r\n", rb"X-Daemon-Classification: INNOCENT\n(.*\n)+\.\r\n"),
        ("bob", "--deliver=stdout", b"", rb"250 2\.0\.0 Nothing to print: 550 5\.2\.0 .*\r\n"),
        ("bob", "--deliver=summary", b"\r\n", rb"(250 2\.6\.0 <bob> |X-DSPAM-Result: bob; ).*\r?\n\.\r\n"),
    ],
)  # fmt: skip
def test_a_client_of_the_original_hears_an_end(
    dspamc: Client, user: str, options: str, content: bytes, answer: bytes
) -> None:
    """It does not ask for dot-stuffing, and waits for output where its options ask for some."""
    with socket.socket(socket.AF_UNIX) as connection, connection.makefile("rwb") as wire:
        connection.settimeout(60)
        connection.connect(str(dspamc.daemon.folder / "s"))
        wire.write(
            b"LHLO Relay1\r\n"
            b'MAIL FROM: <secret@Relay1> DSPAMPROCESSMODE="%b "\r\n'
            % options.encode()
            + b"RCPT TO: <%b>\r\nDATA\r\n%b.\r\nQUIT\r\n" % (user.encode(), content)
        )
        wire.flush()
        heard = wire.read()
    assert re.search(rb"354 .*\r\n" + answer + rb"221 ", heard), heard


def test_the_log_claims_no_delivery_where_there_is_none(dspamc: Client) -> None:
    for words, said in (
        (("--classify",), "250 2.6.0 Nothing to deliver"),
        (("--deliver=summary",), "250 2.6.0 Nothing to deliver"),
        (("--deliver=stdout",), "250 2.6.0 Message printed"),
    ):
        assert dspamc("--user", "greta", *words).returncode == 0
        assert f'next="{said}"' in dspamc.daemon.output.splitlines()[-1]


IMPATIENT = (
    "from dspamd.commands import client, dspamc; client.COMMAND_TIMEOUT_S = client.RESULT_TIMEOUT_S = 0.5; "
    "raise SystemExit(dspamc.main())"
)


@contextmanager
def killed(daemon: Daemon) -> Iterator[None]:
    workers = daemon.workers
    daemon.kill()
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
    yield
    daemon.start()


@contextmanager
def frozen(daemon: Daemon) -> Iterator[None]:
    workers = daemon.workers
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
    yield
    for pid in workers:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def full(daemon: Daemon) -> Iterator[None]:
    """Its disk takes no byte more."""
    for pid in daemon.workers:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, 0))
    yield


@pytest.mark.parametrize("trouble", [killed, frozen, full])
@pytest.mark.parametrize(
    ("words", "status"),
    [("--deliver=stdout", 0), ("--class=innocent --source=corpus --deliver=innocent --stdout", 75)],
)
def test_a_pipe_gets_the_mail_whatever_happens_to_the_daemon(
    words: str, status: int, trouble: Callable[[Daemon], AbstractContextManager[None]], tmp_path: Path
) -> None:
    path = tmp_path / "s"
    settings = (
        f"ServerMode auto\nServerDomainSocketPath {path}\nServerPass.Relay1 secret\n"
        f"ClientHost {path}\nClientIdent secret@Relay1\n"
    )
    line = f"{{ {sys.executable} -c '{IMPATIENT}' --user eve {words}; echo $? >{tmp_path}/status; }} | cat"
    with Daemon(tmp_path, free_port(), settings=settings) as daemon, trouble(daemon):
        done = subprocess.run(
            ["sh", "-c", line],
            input=MESSAGE,
            capture_output=True,
            timeout=60,
            check=False,
            env={**os.environ, "DSPAM_CONF": str(daemon.config)},
        )
    assert (done.returncode, done.stdout) == (0, MESSAGE)
    assert (tmp_path / "status").read_text() == f"{status}\n"
    assert done.stderr.startswith(b"dspamc: the mail goes on unfiltered: ")


def test_afterwards_the_daemon_is_well(dspamc: Client) -> None:
    assert "Traceback" not in dspamc.daemon.output
