"""dspam: what it prints, how it ends, and that it can still start the daemon."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from dspamd.commands import dspam
from tests.support.account import TRUST
from tests.support.fake_clamd import INFECTED, fake_clamd
from tests.support.ports import free_port
from tests.support.scripted_daemon import Turn, daemon, run
from tests.support.wait import until

MESSAGE = b"From: ann@example.org\nSubject: hi\n\nbody words here\n"
SPAM = "--class=spam --source=corpus"


class Ended(NamedTuple):
    status: int
    stdout: bytes
    stderr: str


class Program:
    """dspam with a home of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "dspam.conf"
        self.configure()

    def configure(self, *lines: str) -> None:
        self.config.write_text(
            f"Home {self.folder}\nStorageDriver libsqlite3_drv.so\n{TRUST}\nTrainingMode teft\n"
            'Preference "signatureLocation=headers"\n' + "\n".join(lines)
        )

    def __call__(self, words: str, stdin: bytes = MESSAGE, stdout: str = "stdout") -> Ended:
        path = self.folder / stdout
        stderr = io.StringIO()
        with pytest.MonkeyPatch.context() as patch, path.open("w") as output:
            patch.setenv("DSPAM_CONF", str(self.config))
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
            patch.setattr(sys, "stdout", output)
            patch.setattr(sys, "stderr", stderr)
            status = dspam.main(words.split())
        return Ended(status, path.read_bytes() if path.is_file() else b"", stderr.getvalue())


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path)


@pytest.fixture
def spammy(program: Program) -> Program:
    """A bob to whom MESSAGE is spam."""
    for _ in range(5):
        assert program(f"--user bob {SPAM}").status == 0
    return program


@pytest.mark.parametrize("words", ["--deliver=innocent,spam --stdout", "--deliver=summary", "--classify"])
@pytest.mark.parametrize(("directive", "status"), [("Broken returnCodes", 99), ("Broken case", 0)])
def test_spam_as_exit_status(spammy: Program, words: str, directive: str, status: int) -> None:
    spammy.configure(directive)
    ended = spammy(f"--user bob {words}")
    assert (ended.status, ended.stderr) == (status, "")
    assert b"Spam" in ended.stdout


def test_spam_that_is_kept_back(spammy: Program) -> None:
    assert spammy("--user bob --deliver=innocent --stdout") == Ended(0, b"", "")
    kept = (spammy.folder / "data/bob/bob.mbox").read_bytes()
    assert kept.startswith(b"From QUARANTINE ")
    assert b"\nX-DSPAM-Result: Spam\n" in kept


@pytest.mark.parametrize("mbox_line", [True, False])
@pytest.mark.parametrize(
    ("named", "recipient"), [("--rcpt-to bob@example.org", "bob@example.org"), ("", "bob")]
)
def test_a_release_from_quarantine(spammy: Program, mbox_line: bool, named: str, recipient: str) -> None:
    mail = MESSAGE + b"From here\n>From there\n\n"
    spammy("--user bob --deliver=innocent", mail)
    kept = (spammy.folder / "data/bob/bob.mbox").read_bytes()
    assert b"\n>From here\n>>From there\n" in kept
    agent(spammy, f'echo "$1" > {spammy.folder}/to; cat > {spammy.folder}/mail')
    spammy.configure(f'TrustedDeliveryAgent "{spammy.folder}/lda %r"')
    release = f"--user bob {named} --class=innocent --source=error --deliver=innocent"
    assert spammy(release, kept if mbox_line else kept.partition(b"\n")[2]).status == 0
    assert (spammy.folder / "to").read_text() == f"{recipient}\n"
    lines = (spammy.folder / "mail").read_bytes().splitlines(keepends=True)
    assert b"".join(line for line in lines if not line.startswith(b"X-DSPAM-")) == mail


def agent(program: Program, code: str) -> str:
    """A delivery agent for the configuration."""
    path = program.folder / "lda"
    path.write_text(f"#!/bin/sh\n{code}\n")
    path.chmod(0o755)
    return f'TrustedDeliveryAgent "{path} %u"'


@pytest.mark.parametrize(
    ("directives", "statuses"),
    [
        ("", (75, 75, 75)),
        ("LMTPLDAErrorsPermanent on", (67, 69, 75)),
        ("StrictCompatibility on", (255, 255, 255)),
    ],
)
def test_what_the_delivery_agent_says(program: Program, directives: str, statuses: tuple[int, ...]) -> None:
    for code, status in zip((67, 1, 75), statuses, strict=True):
        program.configure(agent(program, f"cat > /dev/null; exit {code}"), directives)
        ended = program("--user bob --deliver=innocent")
        assert (ended.status, ended.stderr.count("\n")) == (status, 1)


def test_one_user_fails_and_the_other_does_not(program: Program) -> None:
    program.configure(agent(program, 'cat > /dev/null; [ "$1" = ann ]'))
    ended = program("--user ann bob --deliver=innocent")
    assert ended == Ended(
        75, b"", f"dspam: bob: Delivery agent returned exit code 1: {program.folder}/lda %u\n"
    )


def test_without_a_delivery_agent_mail_waits(program: Program) -> None:
    ended = program("--user bob --deliver=innocent")
    assert (ended.status, ended.stdout) == (75, b"")
    assert "No TrustedDeliveryAgent configured" in ended.stderr


def test_a_summary_never_starts_a_delivery_agent(spammy: Program) -> None:
    spammy.configure(agent(spammy, f"touch {spammy.folder}/ran"), 'Preference "spamAction=tag"')
    ended = spammy("--user bob --deliver=summary")
    assert ended.status == 0
    assert ended.stdout.startswith(b'X-DSPAM-Result: bob; result="Spam"; class="Spam"; ')
    assert not (spammy.folder / "ran").exists()


@pytest.mark.parametrize(
    ("directive", "status", "told"),
    [
        ("", 1, 1),
        ("CorrectionFailureExit 75", 75, 1),
        ("CorrectionFailureExit 0", 0, 0),
        ("StrictCompatibility on", 0, 0),
    ],
)
def test_a_correction_without_signature(program: Program, directive: str, status: int, told: int) -> None:
    program.configure(directive)
    ended = program("--user bob --class=spam --source=error")
    assert (ended.status, ended.stdout, ended.stderr.count("\n")) == (status, b"", told)


def no_store(program: Program, patch: pytest.MonkeyPatch) -> None:
    (program.folder / "data").write_text("not a folder")


def full_disk(program: Program, patch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    patch.setattr("dspamd.filter.pipeline.Pipeline.process", full)


def bug_of_one_message(program: Program, patch: pytest.MonkeyPatch) -> None:
    patch.setattr("dspamd.filter.pipeline.Pipeline.process", lambda *_, **__: 1 / 0)


def bug_at_the_start(program: Program, patch: pytest.MonkeyPatch) -> None:
    patch.setattr("dspamd.app.Parts.__init__", lambda *_, **__: 1 / 0)


def bad_configuration(program: Program, patch: pytest.MonkeyPatch) -> None:
    program.config.write_text(program.config.read_text() + "\nServerPort many")


def no_configuration(program: Program, patch: pytest.MonkeyPatch) -> None:
    program.config.unlink()


Break = Callable[[Program, pytest.MonkeyPatch], None]
TROUBLES = [no_store, full_disk, bug_of_one_message, bug_at_the_start, bad_configuration, no_configuration]


@pytest.mark.parametrize("trouble", TROUBLES)
@pytest.mark.parametrize("mail", [MESSAGE, b"no line end, \r\nand \xff \0", b"x\n" * 500_000])
def test_in_a_pipe_the_mail_goes_on_as_it_came(
    program: Program, trouble: Break, mail: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    program.configure("Broken lineStripping")
    trouble(program, monkeypatch)
    ended = program("--user bob --deliver=innocent,spam --stdout", mail)
    assert (ended.status, ended.stdout) == (0, mail)
    assert ended.stderr.startswith("dspam: the mail goes on unfiltered: ")
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize("trouble", TROUBLES)
@pytest.mark.parametrize(
    "words",
    [
        "--deliver=stdout --fail=tempfail",
        "--deliver=innocent",
        "--deliver=summary --stdout",
        "--classify",
        "--class=spam --source=error --deliver=innocent --stdout",
        "--class=junk --source=error --deliver=innocent --stdout",
        "--class=innocent --source=corpus --deliver=spam --stdout",
        "--class=innocent --source=error --deliver=stdout --signature=x",
    ],
)
def test_who_looks_at_the_status_is_told_by_it(
    program: Program, trouble: Break, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    program.configure("ClassAliasSpam junk")
    trouble(program, monkeypatch)
    ended = program(f"--user bob {words}")
    if trouble is no_configuration and "junk" in words:  # without a configuration, no alias of spam is known
        assert (ended.status, ended.stdout) == (75, MESSAGE)
    else:
        assert (ended.status, ended.stdout) == (75, b"")


LESSONS = [
    "--class=innocent --source=error --deliver=innocent --stdout",
    "--class=nonspam --source=corpus --deliver=innocent,spam --stdout",
    "--class=spam --source=corpus --deliver=spam --stdout",
    "--class=spam --source=error --deliver=stdout",
    "--class=spam --source=inoculation --deliver=stdout",
    "--mode=unlearn --class=innocent --deliver=stdout",
    "--falsepositive --deliver=stdout",
    "--addspam --deliver=stdout",
]
"""Calls that teach, and print the mail."""


@pytest.mark.parametrize("trouble", TROUBLES)
@pytest.mark.parametrize("words", LESSONS)
def test_a_lesson_that_was_not_learned_prints_the_mail_and_has_to_be_repeated(
    program: Program, trouble: Break, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trouble(program, monkeypatch)
    ended = program(f"--user bob {words}")
    assert (ended.status, ended.stdout, ended.stderr.count("\n")) == (75, MESSAGE, 1)
    ended = program(f"--user bob {words} --fail=tempfail")
    assert (ended.status, ended.stdout, ended.stderr.count("\n")) == (75, b"", 1)


@pytest.mark.parametrize("named", ["--user spam-bob@example.org", ""])
def test_nor_is_a_report_done_with(program: Program, named: str) -> None:
    program.configure("ParseToHeaders on", "ChangeUserOnParse full", "ChangeModeOnParse on")
    (program.folder / "data").write_text("not a folder")
    report = b"To: spam-bob@example.org\n" + MESSAGE
    ended = program(f"{named} --mail-from=bob@example.org --deliver=stdout", report)
    assert (ended.status, ended.stdout) == (75, report)


@pytest.mark.parametrize(
    ("directive", "status"),
    [("", 1), ("CorrectionFailureExit 7", 7), ("CorrectionFailureExit 0", 0), ("StrictCompatibility on", 0)],
)
def test_a_correction_without_signature_empties_no_pipe(
    program: Program, directive: str, status: int
) -> None:
    program.configure(directive)
    for words in LESSONS:
        if "=error" not in words and "--falsepositive" not in words:
            continue
        ended = program(f"--user bob {words}")
        assert (ended.status, ended.stdout, ended.stderr.count("\n")) == (status, MESSAGE, 1)
        ended = program(f"--user bob {words} --fail=tempfail")
        assert (ended.status, ended.stdout) == (status, b"")


@pytest.mark.parametrize("trouble", TROUBLES[:-1])
@pytest.mark.parametrize(("words", "status"), [("", 75), ("--fail=pass", 0)])
def test_the_directive_for_all_pipes(
    program: Program, trouble: Break, words: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    program.configure("OnFilterFailure tempfail")
    trouble(program, monkeypatch)
    ended = program(f"--user bob --deliver=stdout {words}")
    assert (ended.status, ended.stdout) == (status, b"" if status else MESSAGE)


@pytest.mark.parametrize(
    "words", ["--user ../etc", "--user bob --rcpt-to nodomain", "--user bob --fail=x", ""]
)
def test_wrong_usage_empties_no_pipe(program: Program, words: str) -> None:
    ended = program(f"--deliver=stdout {words}")
    assert (ended.status, ended.stdout, ended.stderr.count("\n")) == (1, MESSAGE, 1)
    ended = program(f"--deliver=stdout --fail=tempfail {words}")
    assert (ended.status, ended.stdout, ended.stderr.count("\n")) == (1, MESSAGE * ("=x" in words), 1)


def test_output_that_cannot_be_written(program: Program) -> None:
    ended = program("--user bob --deliver=innocent --stdout", stdout="/dev/full")
    assert ended == Ended(75, b"", "dspam: standard output: No space left on device\n")


def test_line_stripping(program: Program) -> None:
    program.configure("Broken lineStripping")
    ended = program("--user bob --deliver=innocent --stdout", MESSAGE.replace(b"\n", b"\r\n"))
    assert b"\r" not in ended.stdout


def test_line_ends_make_no_other_sender(program: Program) -> None:
    """DSPAM kept the CR in the token by which the whitelist knows a sender."""
    program.configure('Preference "enableWhitelist=on"', "Feature whitelist")
    for number in range(12):
        ended = program("--user bob --deliver=summary", MESSAGE + b"%d\n" % number)
    assert b'class="Whitelisted"' in ended.stdout
    ended = program("--user bob --deliver=summary", MESSAGE.replace(b"\n", b"\r\n"))
    assert b'class="Whitelisted"' in ended.stdout


def test_misspelt_options_are_no_output(program: Program) -> None:
    assert program("--user bob --delivr=innocent") == Ended(0, b"", "")


def test_the_user_in_a_retraining_address(program: Program) -> None:
    program.configure("ParseToHeaders on", "ChangeUserOnParse on")
    ended = program("--classify", b"To: <spam-ann@example.org>\n" + MESSAGE)
    assert ended.stdout.startswith(b"X-DSPAM-Result: ann; ")
    nobody = program("--classify")
    assert nobody == Ended(1, b"", "dspam: Unable to determine the destination user\n")


@pytest.mark.parametrize("named", ["", "--user spam-ann@example.org"])
def test_a_report_that_an_alias_pipes_in(program: Program, named: str) -> None:
    """Without --user, To names the user; without a sender, dspam refuses the report."""
    program.configure("ParseToHeaders on", "ChangeUserOnParse full", "ChangeModeOnParse on")
    delivered = program("--user ann@example.org --deliver=innocent --stdout").stdout
    report = b"To: <spam-ann@example.org>\nContent-Type: message/rfc822\n\n" + delivered
    for sender, status, said in (
        ("", 77, "Not allowed: send the report as ann@example.org"),
        ("--mail-from=eve@elsewhere.example", 77, "sender <eve@elsewhere.example>, source unknown"),
        ("--mail-from=ann@example.org", 0, ""),
    ):
        ended = program(f"{named} {sender} --deliver=innocent", report)
        assert (ended.status, ended.stdout) == (status, b"")
        assert said in ended.stderr
    assert program("--user ann@example.org --deliver=innocent --stdout", report).stdout.startswith(b"To: ")


@pytest.mark.parametrize(
    ("words", "status"), [("--user bob --deliver=innocent", 75), ("--daemon --nofork", 78)]
)
def test_a_bad_configuration(program: Program, words: str, status: int) -> None:
    program.configure("ServerPort many")
    ended = program(words)
    assert (ended.status, ended.stdout) == (status, b"")
    assert f"{program.config}:6: " in ended.stderr


def test_a_profile(program: Program) -> None:
    program.configure("Profile big")
    assert program("--user bob --profile=big --classify").status == 0
    assert program("--user bob --profile=small --classify") == Ended(
        1, b"", "dspam: No such profile 'small'\n"
    )


@pytest.mark.parametrize(
    ("response", "strict", "status"),
    [("accept", "off", 0), ("reject", "off", 69), ("reject", "on", 255), ("spam", "off", 0)],
)
async def test_a_virus(program: Program, response: str, strict: str, status: int) -> None:
    async with fake_clamd(INFECTED) as clamd:
        program.configure(
            f"ClamAVHost 127.0.0.1\nClamAVPort {clamd.port}\nClamAVResponse {response}",
            f"StrictCompatibility {strict}",
        )
        ended = await asyncio.to_thread(program, "--user bob --deliver=summary")
    assert ended.status == status
    assert b'result="Spam"; class="Virus"' in ended.stdout
    refused = "dspam: bob: A virus was detected in the message contents\n"
    assert ended.stderr == (refused if response == "reject" else "")


async def test_client(program: Program) -> None:
    path = program.folder / "s"
    program.configure(f"ClientHost {path}", "ClientIdent secret@relay")
    script: list[Turn] = [
        ("S", b"220 ready\r\n"),
        ("C", b""),
        ("S", b"250-mx\r\n250-DSPAMPROCESSMODE\r\n250 SIZE\r\n"),
        ("C", b""),
        ("S", b"250 OK\r\n"),
        ("C", b""),
        ("S", b"250 OK\r\n"),
        ("C", b""),
        ("S", b"354 go\r\n"),
        ("C", b""),
        ("S", b"X-DSPAM-Result: bob; half a line\n.\r\n"),
        ("C", b""),
        ("S", b"221 OK\r\n"),
    ]
    async with daemon(script, path) as scripted:
        ended = await run(
            "dspam", ["--client", "--user", "bob", "--deliver=summary"], MESSAGE, program.config
        )
    assert ended == (0, b"X-DSPAM-Result: bob; half a line\n", b"")
    assert b'DSPAMPROCESSMODE="--client --deliver=summary "' in scripted.said[1]


@pytest.mark.parametrize(
    ("words", "ended"),
    [
        ("--deliver=stdout", (0, MESSAGE)),
        ("--deliver=stdout --fail=tempfail", (75, b"")),
        ("--deliver=innocent", (75, b"")),
        ("--user ../etc --deliver=stdout", (1, MESSAGE)),
    ],
)
async def test_a_client_whose_daemon_is_gone(program: Program, words: str, ended: tuple[int, bytes]) -> None:
    program.configure(f"ClientHost {program.folder}/s", "ClientIdent secret@relay")
    status, stdout, stderr = await run(
        "dspam", ["--client", "--user", "bob", *words.split()], MESSAGE, program.config
    )
    assert (status, stdout) == ended
    assert stderr.startswith(b"dspamc: ")
    assert stderr.count(b"\n") == 1


@pytest.mark.parametrize("words", ["--daemon", "--daemon --nofork"])
def test_daemon(program: Program, words: str) -> None:
    port = free_port()
    pid_file = program.folder / "pid"
    program.configure(
        "ServerHost 127.0.0.1", f"ServerPort {port}", f"ServerPID {pid_file}", "ServerMode standard"
    )

    def greeting() -> bytes:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            return connection.recv(100)

    log = (program.folder / "log").open("wb")
    command = [sys.executable, "-m", "dspamd.commands.dspam", *words.split()]
    env = {**os.environ, "DSPAM_CONF": str(program.config)}
    with log, subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log) as started:
        if words == "--daemon":
            assert started.wait(30) == 0, (program.folder / "log").read_text()
        else:
            until(answers(greeting), "the daemon to listen")
        assert greeting().startswith(b"220 DSPAM LMTP ")
        os.kill(int(pid_file.read_text()), signal.SIGTERM)
        until(lambda: not pid_file.exists(), "the daemon to end")
        assert started.wait(30) == 0


def answers(greeting: Callable[[], bytes]) -> Callable[[], bool]:
    def answer() -> bool:
        try:
            return bool(greeting())
        except OSError:
            return False

    return answer


def test_a_daemon_that_cannot_start_says_so(program: Program) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        program.configure("ServerHost 127.0.0.1", f"ServerPort {port}", f"ServerPID {program.folder}/pid")
        done = subprocess.run(
            [sys.executable, "-m", "dspamd.commands.dspam", "--daemon"],
            env={**os.environ, "DSPAM_CONF": str(program.config)},
            capture_output=True,
            timeout=30,
            check=False,
        )
    assert done.returncode == 1
    assert b"cannot_start" in done.stderr
