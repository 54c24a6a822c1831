"""When a worker that died is replaced."""

from __future__ import annotations

import os
import signal
import socket

import pytest

from dspamd.daemon.workers import LONGEST_WAIT_S, YOUNG_S, DaemonSpec, Worker, Workers


class Script(Workers):
    """Workers that are no processes."""

    def _fork(self, number: int, now: float) -> Worker:
        ours, theirs = socket.socketpair()
        ours.close()
        theirs.close()
        return Worker(number, os.getpid(), ours, born=now, heard=now)


@pytest.fixture
def workers() -> Workers:
    return Script(DaemonSpec((), 2, lambda context: 0), [], lambda sockets: None)


def test_it_is_complete_when_all_are_ready(workers: Workers) -> None:
    assert not workers.complete
    workers.fill(0)
    assert [worker.place for worker in workers.running] == [0, 1]
    for worker in workers.running:
        assert not workers.complete
        worker.ready = True
    assert workers.complete


def test_a_worker_that_served_long_is_replaced_at_once(workers: Workers) -> None:
    workers.fill(0)
    for now in (YOUNG_S, 2 * YOUNG_S, 3 * YOUNG_S):
        workers.lost(workers.running[0], now)
        workers.fill(now)
        assert len(workers.running) == 2


def test_workers_that_die_young_are_replaced_later_and_later(workers: Workers) -> None:
    now, waits = 0.0, []
    workers.fill(now)
    for _ in range(8):
        died = now
        workers.lost(workers.running[0], now)
        while len(workers.running) < 2:
            workers.fill(now)
            now += 1
        now = workers.running[0].born
        waits.append(now - died)
    assert waits == [0, 1, 2, 4, 8, 16, LONGEST_WAIT_S, LONGEST_WAIT_S]


def test_a_machine_that_is_full_costs_no_worker_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    workers = Workers(DaemonSpec((), 1, lambda context: 0), [], lambda sockets: None)

    def fork() -> int:
        raise BlockingIOError("Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", fork)
    workers.fill(0)
    assert not workers.running
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()
