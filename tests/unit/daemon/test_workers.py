"""When a worker that died is replaced."""

from __future__ import annotations

import os
import signal
import socket

import pytest

from dspamd.daemon.workers import LONGEST_WAIT_S, YOUNG_S, Crew, Plan, Worker


class Script(Crew):
    """A crew whose workers are no processes."""

    def _fork(self, number: int, now: float) -> Worker:
        ours, theirs = socket.socketpair()
        ours.close()
        theirs.close()
        return Worker(number, os.getpid(), ours, born=now, heard=now)


@pytest.fixture
def crew() -> Crew:
    return Script(Plan((), 2, lambda post: 0), [], lambda sockets: None)


def test_it_is_complete_when_all_are_ready(crew: Crew) -> None:
    assert not crew.complete
    crew.fill(0)
    assert [worker.place for worker in crew.workers] == [0, 1]
    for worker in crew.workers:
        assert not crew.complete
        worker.ready = True
    assert crew.complete


def test_a_worker_that_served_long_is_replaced_at_once(crew: Crew) -> None:
    crew.fill(0)
    for now in (YOUNG_S, 2 * YOUNG_S, 3 * YOUNG_S):
        crew.lost(crew.workers[0], now)
        crew.fill(now)
        assert len(crew.workers) == 2


def test_workers_that_die_young_are_replaced_later_and_later(crew: Crew) -> None:
    now, waits = 0.0, []
    crew.fill(now)
    for _ in range(8):
        died = now
        crew.lost(crew.workers[0], now)
        while len(crew.workers) < 2:
            crew.fill(now)
            now += 1
        now = crew.workers[0].born
        waits.append(now - died)
    assert waits == [0, 1, 2, 4, 8, 16, LONGEST_WAIT_S, LONGEST_WAIT_S]


def test_a_machine_that_is_full_costs_no_worker_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    crew = Crew(Plan((), 1, lambda post: 0), [], lambda sockets: None)

    def fork() -> int:
        raise BlockingIOError("Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", fork)
    crew.fill(0)
    assert not crew.workers
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()
