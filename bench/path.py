"""The whole daemon on the path LMTP -> SMTP, against a relay that does nothing.

Hash files, TOE, OSB, mail of 10 kB, 8 sessions, one worker; and once the default of a new
installation.  Client, daemon or relay, and sink are separate processes.  Daemon and relay take turns, and the
better of the rounds counts for each, so that a burst of other load on the
machine hurts neither.

There are two clients.  `load` (ours) pipelines commands as Postfix's lmtp(8) does, sends many
different messages, and measures latencies; budgets use it.  `flood` (smtp-source) costs next to
nothing itself, but waits for the reply to each command, and has eight messages.

The CPU time is compared with that of DSPAM, for mail of the same average size, in dictionaries that
grow alike.  The files lie in memory if the system allows it: this does not measure the disk, or
other programs that use it.
"""

from __future__ import annotations

import os
import smtplib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from bench import large, source
from bench.client import DIFFERENT, names
from bench.figures import Figure
from bench.sample import of_size
from tests.support.daemon import SCORING, Daemon
from tests.support.ports import free_port, greets
from tests.support.wait import until

ROUNDS, COUNT, SESSIONS, SIZE = 5, 400, 8, 10_000
CLASSIC_CPU_MS = {"toe": 4.1, "teft": 7.0}  # DSPAM 3.10.2 in this setting: golden/speed_baseline.jsonl
CLASSIC_SIZE = 5_400
# Hash files as the sample dspam.conf of DSPAM has them.
SETTINGS = """\
ServerWorkers {workers}
ServerQueueSize 128
TrainingMode {mode}
Preference "showFactors=off"
HashAutoExtend on
HashMaxSeek 10
HashPctIncrease 10
ServerMode auto
ServerPass.bench secret
"""
NEW_DEFAULT = "Algorithm joint"  # and TrainingMode tone: etc/dspam.conf
TAUGHT = 101  # of each class: with more than 100, TOE no longer learns from every message
MEMORY = Path("/dev/shm")


class Server(NamedTuple):
    """The measured program: its address, and its processes."""

    port: int
    pids: Sequence[int]

    def cpu_s(self) -> list[float]:
        """The CPU time of each process until now."""
        return [cpu_s(pid) for pid in self.pids]


class Flood(NamedTuple):
    messages_per_s: float
    cpu_ms: list[float]  # of each process of the server, for each message of all


class Round(NamedTuple):
    messages_per_s: float
    cpu_ms: float  # of the server, for each message
    seconds: list[float]  # that each message took, ascending

    def percentile_ms(self, percent: int) -> float:
        return self.seconds[len(self.seconds) * percent // 100] * 1000


def measure() -> list[Figure]:
    with ExitStack() as stack:
        sink, relay = free_port(), free_port()
        stack.enter_context(process("bench.sink", sink))
        relay_pid = stack.enter_context(process("bench.relay", relay, sink))
        daemon = stack.enter_context(serving(sink, "toe"))
        servers = Server(relay, [relay_pid]), Server(daemon.port, daemon.workers)
        return [
            beside("mail path, against a bare relay", servers, pipelined, 0.8),
            beside("mail path, commands one by one, eight users", servers, one_by_one),
            *(against_dspam(sink, mode) for mode in CLASSIC_CPU_MS),
            new_default(sink),
            *large.measure(daemon.port),
        ]


def beside(
    name: str, servers: tuple[Server, Server], client: Callable[[Server], float], budget: float | None = None
) -> Figure:
    """Relay and daemon by turns, the first of which warms them up."""
    turns = [[client(server) for server in servers] for _ in range(1 + ROUNDS)]
    bare, ours = map(max, zip(*turns, strict=True))
    return Figure(name, ours, "mail/s", bare, budget, more=True)


def pipelined(server: Server) -> float:
    """Messages a second, as Postfix sends them: commands together, and many different messages."""
    return load(server.port, server.pids[0]).messages_per_s


def one_by_one(server: Server) -> float:
    """Messages a second, as smtp-source sends them."""
    return flood(server).messages_per_s


def against_dspam(sink: int, mode: str) -> Figure:
    with serving(sink, mode) as daemon:
        (worker,) = daemon.workers
        cpu = min(load(daemon.port, worker, size=CLASSIC_SIZE).cpu_ms for _ in range(1 + ROUNDS))
    return Figure(
        f"CPU of the daemon, {mode}, against DSPAM 3.10.2", cpu, "ms/mail", CLASSIC_CPU_MS[mode], 0.25
    )


def new_default(sink: int) -> Figure:
    """CPU of the daemon as the sample dspam.conf has it, beside that with TOE on hash files."""
    with serving(sink, "toe") as old, serving(sink, "tone", scoring=NEW_DEFAULT) as new:
        turns = [
            [load(daemon.port, daemon.workers[0]).cpu_ms for daemon in (old, new)] for _ in range(1 + ROUNDS)
        ]
    old_ms, new_ms = map(min, zip(*turns, strict=True))
    return Figure("CPU of the daemon, joint and tone, against toe", new_ms, "ms/mail", old_ms, 1.0)


@contextmanager
def serving(sink: int, mode: str, workers: int = 1, scoring: str = SCORING) -> Iterator[Daemon]:
    """A daemon with a dictionary for each user who gets mail of `flood`."""
    settings = SETTINGS.format(mode=mode, workers=workers)
    with (
        tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder,
        Daemon(Path(folder), sink, driver="libhash_drv.so", settings=settings, scoring=scoring) as daemon,
    ):
        teach(daemon.port, names(source.MAILS))
        yield daemon


@contextmanager
def process(module: str, *ports: int) -> Iterator[int]:
    """A server of ours in a process of its own, listening on the first port; its process id."""
    running = subprocess.Popen([sys.executable, "-m", module, *map(str, ports)])
    try:
        until(lambda: greets(ports[0]), f"{module} to greet")
        yield running.pid
    finally:
        running.terminate()
        running.wait(20)


def teach(port: int, users: Sequence[str], lessons: int = 2 * TAUGHT) -> None:
    """Bring the users' dictionaries past the start of TOE, over the protocol of dspamc."""
    with smtplib.LMTP("127.0.0.1", port, timeout=60) as lmtp:
        lmtp.ehlo("bench")
        for number, content in enumerate(of_size(SIZE, lessons)):
            options = f"--class={('spam', 'innocent')[number % 2]} --source=corpus"
            for command in (
                f'MAIL FROM: <secret@bench> DSPAMPROCESSMODE="{options}"',
                *(f"RCPT TO:<{user}>" for user in users),
                "DATA",
            ):
                lmtp.docmd(command)
            lmtp.send(content.replace(b"\r\n.", b"\r\n..") + b".\r\n")
            for _ in users:
                code, reply = lmtp.getreply()
                if code != 250:
                    raise RuntimeError(reply)


def flood(server: Server, *, sessions: int = SESSIONS, count: int = COUNT, size: int = SIZE) -> Flood:
    """Deliver mail with `source`, as fast as it goes."""
    before = server.cpu_s()
    seconds = source.send(server.port, sessions=sessions, count=count, size=size)
    used = (after - start for start, after in zip(before, server.cpu_s(), strict=True))
    return Flood(count / seconds, [each / count * 1000 for each in used])


def load(
    port: int,
    pid: int,
    *,
    sessions: int = SESSIONS,
    count: int = COUNT,
    size: int = SIZE,
    users: int = 1,
    different: int = DIFFERENT,
) -> Round:
    """Deliver mail with `client`, one message after the other in each session."""
    before = cpu_s(pid)
    done = subprocess.run(
        [sys.executable, "-m", "bench.client", *map(str, (port, sessions, count, size, users, different))],
        capture_output=True,
        text=True,
        timeout=120,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    total, each = done.stdout.splitlines()
    cpu_ms = (cpu_s(pid) - before) / count * 1000
    return Round(count / float(total), cpu_ms, sorted(map(float, each.split())))


def cpu_s(pid: int, *, ended: bool = False) -> float:
    """Seconds of CPU that a process has used: fields 14 and 15 of proc(5) stat.

    `ended`: and its children that have ended, fields 16 and 17.
    """
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11 : 15 if ended else 13])) / os.sysconf("SC_CLK_TCK")
