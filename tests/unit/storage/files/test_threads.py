"""Work in lanes: in order, by one thread, within its deadline."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest

from dspamd.errors import TempFail
from dspamd.storage.files.threads import Threads


@pytest.fixture
def threads() -> Iterator[Threads]:
    lanes = Threads("test", 3, deadline_s=5)
    yield lanes
    lanes.stop()


async def test_one_key_one_thread_in_order(threads: Threads) -> None:
    seen: list[tuple[int, str]] = []

    async def note(number: int, key: str) -> None:
        name = await threads.run(threads.lane(key), lambda _: threading.current_thread().name)
        seen.append((number, name))

    await asyncio.gather(*(note(number, "bob") for number in range(20)))
    assert [number for number, _ in seen] == list(range(20))
    assert len({name for _, name in seen}) == 1
    assert {threads.lane(f"user{n}") for n in range(100)} == {0, 1, 2}


async def test_work_is_told_when_to_be_done(threads: Threads) -> None:
    now = time.monotonic()
    assert 0 < await threads.run(0, lambda until: until) - now < 10


async def test_errors_pass(threads: Threads) -> None:
    with pytest.raises(ZeroDivisionError):
        await threads.run(0, lambda _: 1 // 0)


async def test_what_waits_past_its_deadline_is_never_begun() -> None:
    threads = Threads("test", 1, deadline_s=0.05)
    release = threading.Event()
    begun: list[float] = []
    with pytest.raises(TempFail, match="busy"):
        await threads.run(0, lambda _: release.wait(10))
    with pytest.raises(TempFail, match="busy"):
        await threads.run(0, begun.append)
    release.set()
    assert await threads.run(0, lambda _: "next") == "next"
    assert begun == []
    threads.stop()


async def test_others_do_the_work_of_an_idle_thread(threads: Threads) -> None:
    assert await threads.idle(0)
    release = threading.Event()
    work = asyncio.create_task(threads.run(0, lambda _: release.wait(10)))
    await asyncio.sleep(0)  # it has started
    assert not await threads.idle(0)
    assert await threads.idle(1)
    release.set()
    assert await work


async def test_others_wait_for_a_thread_to_be_idle() -> None:
    threads = Threads("test", 1, 20.0, patience_s=20.0)
    release = threading.Event()
    work = asyncio.create_task(threads.run(0, lambda _: release.wait(10)))
    await asyncio.sleep(0)  # it has started
    waiting = asyncio.create_task(threads.idle(0))
    await asyncio.sleep(0)
    release.set()
    assert await waiting
    assert work.done() or await work
    threads.stop()


async def test_work_that_ends_with_an_error_at_its_deadline_was_busy(threads: Threads) -> None:
    """Whether the loop or the thread notices the deadline first."""
    over = threading.Event()

    def interrupted(until: float) -> None:
        while time.monotonic() <= until:
            time.sleep(0.001)
        raise InterruptedError

    late = asyncio.ensure_future(threads.run(0, interrupted, 0.01))
    after = asyncio.ensure_future(threads.run(0, lambda _: over.set()))
    await asyncio.sleep(0)
    over.wait()  # the loop is busy with something else
    with pytest.raises(TempFail, match="busy"):
        await late
    await after
