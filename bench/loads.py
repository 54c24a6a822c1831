"""How a worker bears different loads: small and large mail, few and many sessions, learning or not.

For information, and beside the bare relay under the same load.  Latency is what a client sees from
MAIL to the last reply; with more sessions than one it is mostly waiting for the others.
"""

from __future__ import annotations

from bench.figures import Figure
from bench.memory import pss_mib
from bench.path import load, process, serving
from tests.e2e.postfix import free_port

SIZES = {"2 kB": 2_000, "10 kB": 10_000, "50 kB": 50_000}
SESSIONS = (1, 8, 64)
COUNT = 192


def measure() -> list[Figure]:
    sink, relay = free_port(), free_port()
    with process("bench.sink", sink), process("bench.relay", relay, sink) as relay_pid:
        return [figure for mode in ("toe", "teft") for figure in bearing(mode, sink, relay, relay_pid)]


def bearing(mode: str, sink: int, relay: int, relay_pid: int) -> list[Figure]:
    """The figures of one training mode."""
    figures = []
    with serving(sink, mode) as (daemon, worker):
        for name, size in SIZES.items():
            for sessions in SESSIONS:
                bare = load(relay, relay_pid, sessions=sessions, count=COUNT, size=size)
                ours = load(daemon.port, worker, sessions=sessions, count=COUNT, size=size)
                what = f"{mode}, {name}, {sessions} sessions"
                figures += [
                    Figure(f"{what}: rate", ours.messages_per_s, "mail/s", bare.messages_per_s, more=True),
                    Figure(f"{what}: CPU", ours.cpu_ms, "ms/mail", bare.cpu_ms),
                    Figure(f"{what}: p50", ours.percentile_ms(50), "ms", bare.percentile_ms(50)),
                    Figure(f"{what}: p99", ours.percentile_ms(99), "ms", bare.percentile_ms(99)),
                ]
        figures.append(
            Figure(f"{mode}, worker after all this (PSS)", pss_mib(worker), "MiB", pss_mib(relay_pid))
        )
    return figures
