"""dspamc: its dialogue, its output, its exit status."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspamd.commands import client as client_side
from dspamd.commands.client import send_message
from dspamd.commands.interruption import Interruption
from dspamd.commands.spool import LIMIT
from tests.support.account import TRUST
from tests.support.scripted_daemon import Ended, Turn, daemon, run
from tests.support.wait import until

GREETING: list[Turn] = [
    ("S", b"220 DSPAM DLMTP 3.10.2 Authentication Required\r\n"),
    ("C", b""),
    ("S", b"250-mx\r\n250-DSPAMPROCESSMODE\r\n250-DSPAMSTUFFED\r\n250 SIZE\r\n"),
    ("C", b""),
]
ACCEPTED: list[Turn] = [*GREETING, ("S", b"250 OK\r\n"), ("C", b""), ("S", b"250 OK\r\n"), ("C", b"")]
LEAVE: list[Turn] = [("C", b"QUIT"), ("S", b"221 OK\r\n")]
MESSAGE = b"Subject: x\n\nbody\n"


def result(text: bytes) -> list[Turn]:
    """A dialogue with one user up to the daemon's result."""
    return [*ACCEPTED, ("S", b"354 go\r\n"), ("C", b""), ("S", text), *LEAVE]


class Client:
    """dspamc with a daemon that follows a script."""

    def __init__(self, folder: Path) -> None:
        self.config = folder / "dspam.conf"
        self.socket = folder / "s"
        self.said: list[bytes] = []
        self.configure()

    def configure(self, *lines: str) -> None:
        basic = f"Home {self.socket.parent}\nClientHost {self.socket}\nClientIdent secret@relay\n{TRUST}\n"
        self.config.write_text(basic + "\n".join(lines))

    async def __call__(self, words: str, script: list[Turn], stdin: bytes = MESSAGE) -> Ended:
        async with daemon(script, self.socket) as scripted:
            ended = await run("dspamc", words.split(), stdin, self.config)
        self.said = scripted.said
        return ended


@pytest.fixture
def client(tmp_path: Path) -> Client:
    return Client(tmp_path)


class Wire:
    """Collects the sent bytes."""

    def __init__(self) -> None:
        self.sent = b""

    def send(self, data: bytes) -> None:
        self.sent += data


LINES = st.lists(st.sampled_from([b".", b"a", b"\n", b"\r", b"\r\n", b"..", b"\xff"])).map(b"".join)


@given(st.lists(LINES, max_size=5))
def test_the_message_arrives_whole(pieces: list[bytes]) -> None:
    wire = Wire()
    send_message(wire, iter(pieces))  # type: ignore[arg-type]  # a socket is what it sends with
    message = b"".join(pieces).replace(b"\r\n", b"\n")
    assert wire.sent.endswith(b".\r\n")
    lines = wire.sent[:-3].split(b"\r\n")
    assert all(not line.startswith(b".") or line.startswith(b"..") for line in lines)
    arrived = b"\n".join(line[1:] if line.startswith(b".") else line for line in lines)
    assert arrived == message + (b"" if message.endswith(b"\n") or not message else b"\n")


@given(LINES.filter(lambda text: b"\r" not in text), st.lists(st.integers(0, 40)), st.booleans())
def test_output_arrives_whole(text: bytes, cuts: list[int], stuffed: bool) -> None:
    """However the network cuts it, and however long its lines are."""
    text = text if text.endswith(b"\n") or not text else text + b"\n"
    wire = text.replace(b"\n", b"\r\n") if stuffed else text
    if stuffed:
        wire = (b"\n" + wire).replace(b"\n.", b"\n..")[1:]
    wire += b".\r\n250 OK\r\n"
    received = [wire[a:b] for a, b in pairwise(sorted({0, *cuts, len(wire)}))]
    with Interruption(off=True) as interruption:
        with patch.multiple(client_side, LONGEST_LINE=5, _connect=lambda *_: Replies(received)):
            daemon = client_side.Daemon("/", "", interruption)
            assert b"".join(daemon.output(b"", stuffed=stuffed)) == text
        assert daemon.line() == b"250 OK\r\n"


READABLE = os.open(os.devnull, os.O_RDONLY)


class Replies:
    """The daemon's end of a connection, for one that says it all at once."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = iter(pieces)

    def fileno(self) -> int:
        return READABLE

    def recv(self, size: int) -> bytes:
        return next(piece for piece in self._pieces if piece)


async def test_a_large_message(client: Client) -> None:
    body = b"line of text\n" * (20_000_000 // 13)
    ended = await client("--user bob", result(b"250 2.6.0 <bob> accepted: INNOCENT\r\n"), MESSAGE + body)
    assert ended == Ended(0, b"", b"")
    assert client.said[4] == (MESSAGE + body).replace(b"\n", b"\r\n") + b".\r\n"


async def test_a_dot_on_the_first_line_and_no_last_line_end(client: Client) -> None:
    await client("--user bob", result(b"250 2.6.0 <bob> accepted: INNOCENT\r\n"), b".a\r\n.\r\nb")
    assert client.said[4] == b"..a\r\n..\r\nb\r\n.\r\n"


async def test_output_is_unstuffed(client: Client) -> None:
    wire = b"X-Daemon-Classification: INNOCENT\r\nSubject: x\r\n\r\n..\r\n...two\r\n..one\r\nend\r\n.\r\n"
    ended = await client("--user bob --stdout", result(wire + b"250 2.6.0 <bob> accepted: INNOCENT\r\n"))
    assert ended == Ended(0, b"Subject: x\n\n.\n..two\n.one\nend\n", b"")
    assert client.said[1].endswith(b'DSPAMPROCESSMODE="--stdout " DSPAMSTUFFED\r\n')


async def test_the_recipients_are_told_to_a_daemon_of_ours_alone(client: Client) -> None:
    script = result(b"250 2.6.0 <bob> accepted: INNOCENT\r\n")
    words = "--user bob --rcpt-to bob@example.org ann@example.org --deliver=innocent"
    assert (await client(words, script)).status == 0
    said = b'DSPAMPROCESSMODE="--rcpt-to bob@example.org ann@example.org -- --deliver=innocent " DSPAMSTUFFED'
    assert client.said[1].endswith(said + b"\r\n")
    script[2] = ("S", b"250-mx\r\n250-DSPAMPROCESSMODE\r\n250 SIZE\r\n")
    assert (await client(words, script)).status == 0
    assert client.said[1].endswith(b'DSPAMPROCESSMODE="--deliver=innocent "\r\n')


async def test_output_of_an_old_daemon_ends_at_a_dot_with_cr_lf(client: Client) -> None:
    script = result(b"X-Daemon-Classification: INNOCENT\nSubject: x\r\n\r\n.\n.one\nend\n.\r\n")
    script[2] = ("S", b"250-mx\r\n250-DSPAMPROCESSMODE\r\n250 SIZE\r\n")
    ended = await client("--user bob --stdout", script)
    assert ended == Ended(0, b"Subject: x\n\n.\n.one\nend\n", b"")
    assert client.said[1].endswith(b'DSPAMPROCESSMODE="--stdout "\r\n')


async def test_nothing_to_show_is_no_failure(client: Client) -> None:
    ended = await client(
        "--user bob --deliver=spam --stdout", result(b"250 2.6.0 <bob> accepted: INNOCENT\r\n")
    )
    assert ended == Ended(0, b"", b"")


async def test_old_words_for_corrections_are_passed_on_in_new_ones(client: Client) -> None:
    await client("--addspam --user bob", result(b"250 2.6.0 <bob> accepted: SPAM\r\n"))
    assert b'DSPAMPROCESSMODE="--class=spam --source=error "' in client.said[1]


@pytest.mark.parametrize(
    ("wire", "status", "stderr"),
    [
        (b"550 5.3.0 <bob> Fatal: 550 unknown\r\n", 69, b"550 5.3.0 <bob> Fatal: 550 unknown"),
        (b"450 4.3.0 <bob> Deferred: 451 later\r\n", 75, b"450 4.3.0 <bob> Deferred: 451 later"),
        (b"", 75, b"the daemon closed the connection"),
        (b"X-Daemon-Classification: SPAM\r\ncut sho", 75, b"the daemon closed the connection"),
        (b"X-DSPAM-Result: bob; half\r\n", 75, b"the daemon closed the connection"),
    ],
)
async def test_failures(client: Client, wire: bytes, status: int, stderr: bytes) -> None:
    script = result(wire)[:-2] if not wire.endswith(b"\r\n") or wire.startswith(b"X") else result(wire)
    ended = await client("--user bob", script)
    assert (ended.status, ended.stderr) == (status, b"dspamc: " + stderr + b"\n")


async def test_one_user_of_two_later(client: Client) -> None:
    replies = b"250 2.6.0 <bob> accepted: INNOCENT\r\n450 4.3.0 <ann> later\r\n"
    ended = await client(
        "--user bob ann", [*ACCEPTED[:-1], ("C", b""), ("S", b"250 OK\r\n"), *result(replies)[7:]]
    )
    assert (ended.status, ended.stderr) == (75, b"dspamc: 450 4.3.0 <ann> later\n")


@pytest.mark.parametrize(
    ("script", "status"),
    [
        ([("S", b"421 4.3.2 busy\r\n")], 75),
        ([*GREETING, ("S", b"503 5.1.0 Authentication Required\r\n"), *LEAVE], 75),
        ([*ACCEPTED[:-2], ("S", b"550 5.1.1 no such user\r\n"), *LEAVE], 69),
        ([*ACCEPTED[:-2], ("S", b"452 4.5.3 too many\r\n"), *LEAVE], 75),
        ([*ACCEPTED, ("S", b"554 5.1.0 No such class\r\n"), *LEAVE], 1),
        ([*ACCEPTED, ("S", b"451 4.3.0 not now\r\n"), *LEAVE], 75),
    ],
)
async def test_refusals_before_the_message(client: Client, script: list[Turn], status: int) -> None:
    ended = await client("--user bob", script)
    assert (ended.status, ended.stdout, ended.stderr.count(b"\n")) == (status, b"", 1)


async def test_one_user_is_shown_and_the_other_later(client: Client) -> None:
    wire = b"X-DSPAM-Result: bob; half\r\n.\r\n250 2.6.0 <bob> accepted: SPAM\r\n450 4.3.0 <ann> later\r\n"
    ended = await client(
        "--user bob ann", [*ACCEPTED[:-1], ("C", b""), ("S", b"250 OK\r\n"), *result(wire)[7:]]
    )
    assert ended == Ended(75, b"X-DSPAM-Result: bob; half\n", b"dspamc: 450 4.3.0 <ann> later\n")


@pytest.mark.parametrize(
    "wire",
    [
        b"250 2.6.0 <bob> Message accepted for delivery: SPAM\r\n",
        b"X-Daemon-Classification: SPAM\nSubject: x\r\n\r\n.\r\n",
        b'X-DSPAM-Result: bob; result="Spam"; class="Spam"; probability=1.0000\n.\r\n',
    ],
)
@pytest.mark.parametrize(("directive", "status"), [("Broken returnCodes", 99), ("Broken case", 0)])
async def test_spam_as_exit_status(client: Client, wire: bytes, directive: str, status: int) -> None:
    client.configure(directive)
    script = result(wire)
    script[2] = ("S", b"250-mx\r\n250-DSPAMPROCESSMODE\r\n250 SIZE\r\n")
    ended = await client("--user bob", script)
    assert (ended.status, ended.stderr) == (status, b"")


@pytest.mark.parametrize(
    ("words", "stdin", "status", "stderr"),
    [
        ("", MESSAGE, 1, b"Unable to determine the destination user"),
        ("--user bob", b"", 1, b"empty message (no data received)"),
        ("--user <bob>", MESSAGE, 1, b"Illegal username"),
        (
            "--user ../etc",
            MESSAGE,
            1,
            b"Illegal username ('../' or '..\\' not allowed in username)",
        ),
        ("--user bob --rcpt-to nodomain", MESSAGE, 1, b"Invalid email address: nodomain"),
        ("--user bob --fail=so", MESSAGE, 1, b"No such failure mode 'so': --fail=pass or --fail=tempfail"),
    ],
)
async def test_wrong_usage(client: Client, words: str, stdin: bytes, status: int, stderr: bytes) -> None:
    ended = await run("dspamc", words.split(), stdin, client.config)
    assert ended == Ended(status, b"", b"dspamc: " + stderr + b"\n")


@pytest.mark.parametrize("strict", ["", "StrictCompatibility on"])
@pytest.mark.parametrize(
    ("change", "classic"),
    [
        (lambda text: text, 251),  # nobody listens
        (lambda text: text.replace("ClientIdent secret", "#"), 22),
        (lambda text: text.replace("ClientIdent secret@", "ClientIdent "), 22),
        (
            lambda text: text.replace("ClientIdent", "#").replace("ClientHost /", "ClientHost localhost #/"),
            22,
        ),
        (lambda text: text.replace("ClientHost /", "ClientHost no.such.host.invalid #/"), 251),
    ],
)
async def test_trouble_of_ours_keeps_the_mail(
    client: Client, change: Callable[[str], str], classic: int, strict: str
) -> None:
    client.config.write_text(change(client.config.read_text()) + strict)
    ended = await run("dspamc", ["--user", "bob"], MESSAGE, client.config)
    assert (ended.status, ended.stderr.count(b"\n")) == (classic if strict else 75, 1)


async def test_a_socket_needs_no_password(client: Client) -> None:
    client.config.write_text(client.config.read_text().replace("ClientIdent", "#"))
    ended = await client("--user bob", result(b"250 2.6.0 <bob> accepted: INNOCENT\r\n"))
    assert ended == Ended(0, b"", b"")
    assert client.said[:2] == [b"LHLO dspamc\r\n", b'MAIL FROM: <> DSPAMPROCESSMODE="" DSPAMSTUFFED\r\n']


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("CorrectionFailureExit many", "CorrectionFailureExit many: a number is expected"),
        ("ClientPort 24x", "ClientPort 24x: a number is expected"),
        ("ParseToHeaders onn", "ParseToHeaders onn: on or off is expected"),
        ("StrictCompatibility enabled", "StrictCompatibility enabled: on or off is expected"),
    ],
)
async def test_a_value_that_is_none_keeps_the_mail(client: Client, line: str, complaint: str) -> None:
    client.configure(line)
    words = ["--class=spam", "--source=error", *(() if "Parse" in line else ("--user", "bob"))]
    ended = await run("dspamc", words, MESSAGE, client.config)
    assert ended == Ended(75, b"", f"dspamc: {client.config}: {complaint}\n".encode())


REFUSED = b"550 5.3.0 <bob> A virus was detected in the message contents\r\n"
MAIL_PASSES = [
    [("S", b"421 4.3.2 busy\r\n")],
    [*GREETING, ("S", b"503 5.1.0 Authentication Required\r\n"), *LEAVE],
    [*ACCEPTED[:-2], ("S", b"550 5.1.1 no such user\r\n"), *LEAVE],
    [*ACCEPTED, ("S", b"451 4.3.0 not now\r\n"), *LEAVE],
    result(b"451 4.3.0 <bob> Storage is down\r\n"),
    result(b"552 5.3.4 Message size exceeds fixed limit\r\n"),
    result(b"X-Daemon-Classification: SPAM\r\nSubject: x\r\n.\r\n451 4.3.0 <bob> later\r\n"),
]


@pytest.mark.parametrize("script", MAIL_PASSES)
@pytest.mark.parametrize("strict", ["", "StrictCompatibility on"])
async def test_in_a_pipe_the_mail_goes_on_as_it_came(client: Client, script: list[Turn], strict: str) -> None:
    client.configure(strict)
    mail = MESSAGE + b"\r\r\n\0\xff no line end"
    ended = await client("--user bob --deliver=innocent --stdout", script, mail)
    assert (ended.status, ended.stdout) == (0, mail)
    assert ended.stderr.startswith(b"dspamc: the mail goes on unfiltered: ")
    for directive, words in (("", "--fail=tempfail"), ("OnFilterFailure tempfail", "")):
        client.configure(directive)
        ended = await client(f"--user bob --deliver=stdout {words}", script, mail)
        assert (ended.status in (69, 75), ended.stdout, ended.stderr.count(b"\n")) == (True, b"", 1)
        assert b"--fail" not in b"".join(client.said), "an old daemon would hand it to an agent"


async def test_what_the_filter_refuses_does_not_go_on(client: Client) -> None:
    ended = await client("--user bob --deliver=stdout", result(REFUSED))
    assert (ended.status, ended.stdout) == (69, b"")
    ended = await client("--user bob --deliver=stdout --class=spam --source=corpus", result(REFUSED))
    assert (ended.status, ended.stdout) == (69, b"")


LESSONS_THAT_PRINT = [
    "--class=innocent --source=error --deliver=innocent --stdout",
    "--class=innocent --source=corpus --deliver=stdout",
    "--class=junk --source=corpus --deliver=spam --stdout",
    "--class=spam --source=inoculation --deliver=stdout",
    "--falsepositive --deliver=stdout",
]


@pytest.mark.parametrize("script", MAIL_PASSES)
@pytest.mark.parametrize("lesson", LESSONS_THAT_PRINT)
async def test_a_lesson_that_was_not_learned_prints_the_mail_and_has_to_be_repeated(
    client: Client, script: list[Turn], lesson: str
) -> None:
    client.configure("ClassAliasSpam junk", "CorrectionFailureExit 69")
    lasting = any(who == "S" and text.startswith((b"550", b"552")) for who, text in script)
    status = 69 if lasting else 75
    ended = await client(f"--user bob {lesson}", script)
    assert (ended.status, ended.stdout, ended.stderr.count(b"\n")) == (status, MESSAGE, 1)
    ended = await client(f"--user bob {lesson} --fail=tempfail", script)
    assert (ended.status, ended.stdout, ended.stderr.count(b"\n")) == (status, b"", 1)


@pytest.mark.parametrize(
    ("settings", "user"), [("ParseToHeaders on", "spam-bob@example.org"), ("", "spam-bob@example.org")]
)
async def test_a_report_has_to_be_repeated(client: Client, settings: str, user: str) -> None:
    client.configure(settings)
    ended = await client(f"--user {user} --deliver=stdout", MAIL_PASSES[0])
    assert (ended.status, ended.stdout) == (75 if settings else 0, MESSAGE)


async def test_a_correction_without_signature_empties_no_pipe(client: Client) -> None:
    unknown = result(b"550 5.6.0 <bob> Unable to find a valid signature\r\n")
    lesson = "--user bob --class=innocent --source=error"
    ended = await client(f"{lesson} --deliver=innocent --stdout", unknown)
    assert (ended.status, ended.stdout) == (1, MESSAGE)
    ended = await client(f"{lesson} --deliver=summary --stdout", unknown)
    assert (ended.status, ended.stdout) == (1, b"")


async def test_a_script_that_needs_no_message_on_standard_output_hears_of_failures(client: Client) -> None:
    for words in ("--deliver=innocent", "--deliver=summary --stdout", "--classify --stdout", "--stdout"):
        ended = await client(f"--user bob {words} --fail=pass", result(b"451 4.3.0 <bob> not now\r\n"))
        assert (ended.status, ended.stdout) == (75, b"")


LARGE = MESSAGE + b"word\n" * 100_000
"""More than fits into a pipe without a reader."""

SHOWN = b"X-Daemon-Classification: INNOCENT\r\n" + LARGE + b".\r\n250 2.6.0 <bob> accepted: INNOCENT\r\n"


async def shell(line: str, script: list[Turn], client: Client, mail: bytes = MESSAGE) -> Ended:
    """Run a line of the shell, in which $dspamc is the program."""
    program = f"{sys.executable} -m dspamd.commands.dspamc --user bob --deliver=stdout"
    async with daemon(script, client.socket):
        process = await asyncio.create_subprocess_exec(
            "sh", "-c", line,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "DSPAM_CONF": str(client.config), "dspamc": program},
        )  # fmt: skip
        stdout, stderr = await process.communicate(mail)
    return Ended(process.returncode or 0, stdout, stderr)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("$dspamc >/dev/full", b"No space left on device"),
        ("$dspamc >&-", b"Bad file descriptor"),
        ("{ $dspamc; echo $? >status; } | true; exit $(cat status)", b"Broken pipe"),
    ],
)
@pytest.mark.parametrize("script", [result(SHOWN), MAIL_PASSES[0]])
async def test_output_that_nobody_takes(client: Client, line: str, told: bytes, script: list[Turn]) -> None:
    line = f"cd {client.socket.parent}; {line}"
    ended = await shell(line, script, client, LARGE)
    assert (ended.status, ended.stdout) == (75, b"")
    assert ended.stderr == b"dspamc: standard output: " + told + b"\n"


@pytest.mark.parametrize(("room", "why"), [(1000, b"File too large"), (0, b"No usable temporary directory")])
async def test_no_room_for_a_large_mail(client: Client, room: int, why: bytes) -> None:
    """Its temporary file fits into no folder: nothing is sent, and a pipe gets all of it."""
    mail = MESSAGE + b"word\n" * (LIMIT // 2)
    for words, expected in (("", (0, mail)), ("--fail=tempfail", (75, b""))):
        line = f"ulimit -f {room}; $dspamc {words} --user bob"
        ended = await shell(line, result(SHOWN), client, mail)
        assert (ended.status, ended.stdout) == expected
        assert b"no room for the message: " + why in ended.stderr


async def test_no_room_for_a_large_answer(client: Client) -> None:
    body = b"word\r\n" * (LIMIT // 2)
    answer = b"X-Daemon-Classification: INNOCENT\r\n" + body + b".\r\n250 2.6.0 <bob> accepted: INNOCENT\r\n"
    ended = await shell("ulimit -f 1000; $dspamc", result(answer), client)
    assert (ended.status, ended.stdout) == (0, MESSAGE)
    assert ended.stderr == b"dspamc: the mail goes on unfiltered: no room for the answer: File too large\n"


def signals(pid: int, kind: str) -> set[int]:
    """The signals that a process catches (SigCgt) or ignores (SigIgn)."""
    mask = int(Path(f"/proc/{pid}/status").read_text("ascii").partition(f"{kind}:")[2].split()[0], 16)
    return {number for number in range(1, 65) if mask >> (number - 1) & 1}


class Running:
    """dspamc while it runs, with signals caught."""

    def __init__(self, config: Path, words: str = "--deliver=stdout") -> None:
        self.process = subprocess.Popen(
            # Under `nohup make test` it would ignore SIGHUP.
            ["env", "--default-signal=HUP", sys.executable, "-m", "dspamd.commands.dspamc",
             "--user", "bob", *words.split()],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**os.environ, "DSPAM_CONF": str(config)},
        )  # fmt: skip
        until(lambda: signal.SIGTERM in signals(self.process.pid, "SigCgt"), "the signals to be caught")

    def end(self, more: bytes = b"") -> Ended:
        stdout, stderr = self.process.communicate(more, timeout=60)
        return Ended(self.process.returncode, stdout, stderr)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_while_the_mail_is_read(client: Client, number: signal.Signals) -> None:
    """Its writer may be gone, so it is to be tried again; but all that comes is printed."""
    running = Running(client.config)
    running.process.stdin.write(MESSAGE[:5])  # type: ignore[union-attr]  # it is a pipe
    running.process.stdin.flush()  # type: ignore[union-attr]
    running.process.send_signal(number)
    ended = running.end(MESSAGE[5:])
    assert (ended.status, ended.stdout) == (75, MESSAGE)
    assert ended.stderr == b"dspamc: the mail goes on unfiltered: ended by %b\n" % number.name.encode()


@pytest.mark.parametrize("words", ["--deliver=stdout --fail=tempfail", "--classify", "--deliver=innocent"])
def test_a_signal_ends_at_once_what_prints_no_mail(client: Client, words: str) -> None:
    running = Running(client.config, words)
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(60) == 75  # its input is still open
    assert running.end() == Ended(75, b"", b"dspamc: ended by SIGTERM\n")


async def test_a_signal_while_the_mail_is_printed(client: Client) -> None:
    async with daemon(result(SHOWN), client.socket):
        running = await asyncio.to_thread(Running, client.config)
        process = running.process
        await asyncio.to_thread(lambda: (process.stdin.write(MESSAGE), process.stdin.close()))  # type: ignore[union-attr]
        beginning = await asyncio.to_thread(os.read, process.stdout.fileno(), 1)  # type: ignore[union-attr]
        process.send_signal(signal.SIGTERM)
        process.stdin = None
        ended = await asyncio.to_thread(running.end)
    assert (ended.status, beginning + ended.stdout, ended.stderr) == (0, LARGE, b"")


def test_who_is_not_to_hear_of_the_end_of_a_terminal_does_not(client: Client) -> None:
    line = f"trap '' HUP; exec 2>&1 {sys.executable} -m dspamd.commands.dspamc --user bob --deliver=stdout"
    process = subprocess.Popen(
        ["sh", "-c", line],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "DSPAM_CONF": str(client.config)},
    )  # fmt: skip
    until(lambda: signal.SIGTERM in signals(process.pid, "SigCgt"), "the signals to be caught")
    assert signal.SIGHUP in signals(process.pid, "SigIgn")
    process.send_signal(signal.SIGHUP)
    stdout, _ = process.communicate(MESSAGE, timeout=60)
    assert (process.returncode, b"ended by" in stdout) == (0, False)


def test_a_full_queue_of_the_daemon_is_waited_for(client: Client) -> None:
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as first:
        server.bind(str(client.socket))
        server.listen(0)
        first.connect(str(client.socket))
        running = Running(client.config)
        server.settimeout(60)
        running.process.stdin.write(MESSAGE)  # type: ignore[union-attr]
        running.process.stdin.close()  # type: ignore[union-attr]
        running.process.stdin = None
        server.accept()[0].close()
        server.accept()[0].close()
        ended = running.end()
    assert (ended.status, ended.stdout) == (0, MESSAGE)
    assert b"the daemon closed the connection" in ended.stderr


async def test_no_configuration(tmp_path: Path) -> None:
    ended = await run("dspamc", ["--user", "bob"], MESSAGE, tmp_path / "none.conf")
    assert ended == Ended(75, b"", f"dspamc: {tmp_path}/none.conf: No such file or directory\n".encode())


async def test_the_user_in_a_retraining_address(client: Client) -> None:
    client.configure(
        "ParseToHeaders on", "ChangeUserOnParse on", "ChangeModeOnParse on", "StorageDriver libsqlite3_drv.so"
    )
    stdin = b"Subject: x\nTo: <spam-ann@example.org>\n\nbody\n"
    ended = await client("--deliver=innocent", result(b"250 2.6.0 <ann> accepted: SPAM\r\n"), stdin)
    assert ended == Ended(0, b"", b"")
    assert client.said[2] == b"RCPT TO: <spam-ann@example.org>\r\n"


@pytest.mark.parametrize("program", ["dspamc", "dspam"])
def test_start_up_loads_nothing_it_does_not_need(program: str) -> None:
    """Nor does `dspam --client`, which says the rest to dspamc."""
    code = f"import sys, dspamd.commands.{program}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-S", "-E", "-c", code], capture_output=True, text=True, check=True
    )
    slow = {"re", "enum", "typing", "socket", "collections", "argparse", "dataclasses", "pathlib", "site"}
    assert not slow & set(done.stdout.split())
