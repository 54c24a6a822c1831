"""Small jobs in the background: in order, limited, and harmless when they fail."""

from __future__ import annotations

import threading

import pytest

from dspamd.offload.background import WAITING_BYTES, BackgroundWriter
from tests.support.logged import Logged


async def test_jobs_are_done_in_order() -> None:
    writer, done = BackgroundWriter(), list[int]()
    for number in range(100):
        writer.add(lambda number=number: done.append(number))  # type: ignore[misc]  # mypy infers no lambda with a default
    await writer.close()
    writer.add(lambda: done.append(100))
    await writer.close()
    assert done == list(range(101))


@pytest.mark.parametrize("error", [OSError("disk full"), KeyError("a bug")])
async def test_a_failure_is_told_and_stops_nothing(error: Exception, logged: Logged) -> None:
    writer, done = BackgroundWriter(), list[str]()

    def fail() -> None:
        raise error

    writer.add(fail)
    writer.add(lambda: done.append("next"))
    await writer.close()
    assert done == ["next"]
    assert str(error) in logged.take()


async def test_what_waits_is_bounded(logged: Logged) -> None:
    writer, done, go = BackgroundWriter(), list[str](), threading.Event()
    writer.add(lambda: assert_set(go), WAITING_BYTES // 2)
    writer.add(lambda: done.append("fits"), WAITING_BYTES // 4)
    writer.add(lambda: done.append("too much"), WAITING_BYTES // 2)
    writer.add(lambda: done.append("fits, too"), WAITING_BYTES // 8)
    go.set()
    await writer.close()
    assert done == ["fits", "fits, too"]
    assert "errand_left_out" in logged.take()


def assert_set(event: threading.Event) -> None:
    assert event.wait(30)


async def test_one_big_job_is_done_if_nothing_else_waits() -> None:
    writer, done = BackgroundWriter(), list[str]()
    writer.add(lambda: done.append("big"), 2 * WAITING_BYTES)
    await writer.close()
    assert done == ["big"]
