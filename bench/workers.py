"""Two workers against one.

A worker uses several cores if it can, because the kernel works without the GIL.  So for the budget
each worker gets one core for all its threads: one worker has one core, two have two.  A second figure
is without that, for information: then one worker also uses a part of the second core.

Client and sink need little CPU, but some, and use free cores.  If there are only two cores, they use
the other core beside one worker, and the rest beside two: this counts against two.  Mail is large and
always learned, which costs workers much and client and sink little.  It is for several users: with few,
workers wait for each other, because a worker locks a dictionary while it learns.

If the ratio is bad, the other figures show why: a message costs more (locks of a dictionary that both
use, caches), or the sessions are not spread evenly (`dspamd.daemon.accept`).
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import cycle
from pathlib import Path

from bench.figures import Figure
from bench.path import Flood, Server, cpu_s, flood, process, serving
from tests.support.ports import free_port

ROUNDS, SESSIONS, COUNT, SIZE, MODE = 2, 16, 608, 50_000, "teft"


def measure() -> list[Figure]:
    with ExitStack() as stack:
        sink = free_port()
        sink_pid = stack.enter_context(process("bench.sink", sink))
        daemons = [stack.enter_context(serving(sink, MODE, workers)) for workers in (1, 2)]
        servers = [Server(daemon.port, daemon.workers) for daemon in daemons]
        placed_one, placed_two = by_turns(servers)
        for server in servers:
            pin(server.pids)
        before = around_s(sink_pid)
        one, two = by_turns(servers)
        around_ms = (around_s(sink_pid) - before) / (len(one + two) * COUNT) * 1000
    shares = [max(each.cpu_ms) / sum(each.cpu_ms) * 100 for each in two]
    return [
        compared("two workers, a core each, against one, 50 kB", one, two, 1.7),
        compared("two workers, placed by the system, against one", placed_one, placed_two),
        Figure("CPU with two workers, against one", cpu_ms(two), "ms/mail", cpu_ms(one)),
        Figure("the busier worker's part, against half", statistics.mean(shares), "%", 50),
        Figure("CPU of client and sink, against two workers", around_ms, "ms/mail", cpu_ms(two)),
    ]


def by_turns(servers: Sequence[Server]) -> list[list[Flood]]:
    """The rounds of each."""
    turns = [
        [flood(server, sessions=SESSIONS, count=COUNT, size=SIZE) for server in servers]
        for _ in range(1 + ROUNDS)
    ]
    return [list(rounds) for rounds in zip(*turns, strict=True)]


def pin(pids: Sequence[int]) -> None:
    """Give each process a core of its own; threads that it starts later inherit it."""
    for pid, core in zip(pids, cycle(sorted(os.sched_getaffinity(0)))):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), {core})


def around_s(sink_pid: int) -> float:
    """Seconds of CPU that the sink and all clients so far have used."""
    times = os.times()
    return cpu_s(sink_pid) + times.children_user + times.children_system


def compared(name: str, one: list[Flood], two: list[Flood], budget: float | None = None) -> Figure:
    """The better of the rounds counts for each."""
    value, baseline = (max(each.messages_per_s for each in rounds) for rounds in (two, one))
    return Figure(name, value, "mail/s", baseline, budget, more=True)


def cpu_ms(rounds: list[Flood]) -> float:
    """Of all workers, for a message."""
    return min(sum(each.cpu_ms) for each in rounds)
