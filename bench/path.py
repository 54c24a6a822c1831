"""The whole daemon on the path LMTP -> SMTP, against a relay that does nothing.

Hash files, TOE, OSB, mail of 10 kB, 8 sessions, one worker.  Client, daemon or
relay, and sink are separate processes.  Daemon and relay take turns, and the
better of the rounds counts for each, so that a burst of other load on the
machine hurts neither.
"""

from __future__ import annotations

import os
import smtplib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from bench import large
from bench.figures import Figure
from bench.sample import of_size
from tests.e2e.daemon import Daemon
from tests.e2e.postfix import free_port, greets
from tests.e2e.wait import until

ROUNDS, COUNT, SESSIONS, SIZE = 3, 400, 8, 10_000
CLASSIC_CPU_MS = 4.1  # DSPAM 3.10.2 in this setting: golden/speed_baseline.jsonl
SETTINGS = """\
ServerWorkers 1
TrainingMode toe
Preference "showFactors=off"
HashAutoExtend on
ServerMode auto
ServerPass.bench secret
"""
TAUGHT = 101  # of each class: with more than 100, TOE no longer learns from every message


class Round(NamedTuple):
    messages_per_s: float
    cpu_ms: float  # of the server, for each message


def measure() -> list[Figure]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sink, relay = free_port(), free_port()
        stack.enter_context(process("bench.sink", sink))
        relay_pid = stack.enter_context(process("bench.relay", relay, sink))
        daemon = stack.enter_context(Daemon(folder, sink, driver="libhash_drv.so", settings=SETTINGS))
        (worker,) = daemon.workers
        teach(daemon.port)
        load(daemon.port, worker)  # warm: files made, connections open
        load(relay, relay_pid)
        rounds = [(load(relay, relay_pid), load(daemon.port, worker)) for _ in range(ROUNDS)]
        of_large_mail = large.measure(daemon.port)
    bare = max(relay_round.messages_per_s for relay_round, _ in rounds)
    ours = max(daemon_round.messages_per_s for _, daemon_round in rounds)
    cpu = min(daemon_round.cpu_ms for _, daemon_round in rounds)
    return [
        Figure("mail path, against a bare relay", ours, "mail/s", bare, 0.8, more=True),
        Figure("CPU of the daemon, against DSPAM 3.10.2", cpu, "ms/mail", CLASSIC_CPU_MS, 0.25),
        *of_large_mail,
    ]


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


def teach(port: int) -> None:
    """Bring the user's dictionary past the start of TOE, over the protocol of dspamc."""
    with smtplib.LMTP("127.0.0.1", port, timeout=60) as lmtp:
        lmtp.ehlo("bench")
        for number, content in enumerate(of_size(SIZE, 2 * TAUGHT)):
            options = f"--class={('spam', 'innocent')[number % 2]} --source=corpus"
            for command in (
                f'MAIL FROM: <secret@bench> DSPAMPROCESSMODE="{options}"',
                "RCPT TO:<user>",
                "DATA",
            ):
                lmtp.docmd(command)
            lmtp.send(content.replace(b"\r\n.", b"\r\n..") + b".\r\n")
            code, reply = lmtp.getreply()
            if code != 250:
                raise RuntimeError(reply)


def load(port: int, pid: int) -> Round:
    """Deliver the mail of one round."""
    before = cpu_s(pid)
    done = subprocess.run(
        [sys.executable, "-m", "bench.client", *map(str, (port, SESSIONS, COUNT, SIZE))],
        capture_output=True,
        text=True,
        timeout=120,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return Round(COUNT / float(done.stdout), (cpu_s(pid) - before) / COUNT * 1000)


def cpu_s(pid: int) -> float:
    """Seconds of CPU that a process has used: fields 14 and 15 of proc(5) stat."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
