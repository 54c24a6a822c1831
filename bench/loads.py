"""How one worker and two bear different loads: small and large mail, few and many sessions, learning or not.

For information, compared with the bare relay (one process) under the same load.  Rate and CPU are those
under smtp-source; latency is the time of our own client from MAIL to the last reply, and with several
sessions mostly the wait for the others.  Memory is that after all loads, with the pages of
dictionaries that a worker has mapped.
"""

from __future__ import annotations

from collections.abc import Iterator

from bench.figures import Figure
from bench.memory import pss_mib
from bench.path import Server, flood, load, process, serving
from bench.source import MAILS
from tests.support.ports import free_port

WORKERS = (1, 2)
MODES = ("toe", "teft")
SIZES = {"2 kB": 2_000, "10 kB": 10_000, "50 kB": 50_000}
SESSIONS = (1, 8, 64)
COUNT = 192


def measure() -> list[Figure]:
    sink, port = free_port(), free_port()
    with process("bench.sink", sink), process("bench.relay", port, sink) as pid:
        relay = Server(port, [pid])
        return [
            figure for workers in WORKERS for mode in MODES for figure in bearing(workers, mode, sink, relay)
        ]


def bearing(workers: int, mode: str, sink: int, relay: Server) -> Iterator[Figure]:
    """The figures of one number of workers with one training mode."""
    name = f"{plural(workers, 'worker')}, {mode}"
    with serving(sink, mode, workers) as daemon:
        ours = Server(daemon.port, daemon.workers)
        before = ours.cpu_s() + relay.cpu_s()
        for kind, size in SIZES.items():
            for sessions in SESSIONS:
                yield from borne(
                    f"{name}, {kind}, {plural(sessions, 'session')}", ours, relay, sessions, size
                )
        after = ours.cpu_s() + relay.cpu_s()
        *used_s, bare_s = (end - start for start, end in zip(before, after, strict=True))
        for number, (pid, cpu_s) in enumerate(zip(ours.pids, used_s, strict=True), 1):
            yield Figure(f"{name}, worker {number}: CPU of all this", cpu_s, "s", bare_s)
            yield Figure(f"{name}, worker {number}: memory", pss_mib(pid), "MiB", pss_mib(relay.pids[0]))


def borne(name: str, ours: Server, relay: Server, sessions: int, size: int) -> Iterator[Figure]:
    """The figures of one load."""
    (rate, cpu), (bare_rate, bare_cpu) = (
        flood(server, sessions=sessions, count=COUNT, size=size) for server in (ours, relay)
    )
    yield Figure(f"{name}: rate", rate, "mail/s", bare_rate, more=True)
    yield Figure(f"{name}: CPU", sum(cpu), "ms/mail", sum(bare_cpu))
    seen, bare_seen = (
        load(server.port, server.pids[0], sessions=sessions, count=COUNT, size=size, users=MAILS)
        for server in (ours, relay)
    )
    for percent in (50, 99):
        yield Figure(
            f"{name}: p{percent}", seen.percentile_ms(percent), "ms", bare_seen.percentile_ms(percent)
        )


def plural(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"
