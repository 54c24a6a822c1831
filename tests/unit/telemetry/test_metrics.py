"""Counting: several processes, their deaths, and what it costs."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dspamd.telemetry import metrics
from dspamd.telemetry.metrics import Board, Counter, Gauge, Histogram, Latest

BUDGET_S = 20e-6
SLACK = 4  # for a machine that is slow or busy with other tests


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Numbers that start at zero, and are shared with forked processes."""
    monkeypatch.setattr(metrics, "_board", None)
    monkeypatch.setattr(metrics, "_row", memoryview(bytearray(8 * metrics._width)).cast("d"))
    metrics.share()
    yield


class Child:
    """A forked process that does something, and lives until it is killed."""

    def __init__(self, work: Callable[[], object]) -> None:
        done, tell = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            try:
                metrics.claim()
                work()
                os.write(tell, b"!")
                signal.pause()
            finally:
                os._exit(1)
        os.close(tell)
        assert os.read(done, 1) == b"!"
        os.close(done)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def number(metric: metrics.Metric, *labels: str) -> float:
    (found,) = [reading.numbers for reading in metric.readings() if reading.labels == labels]
    (value,) = found
    return value


def test_the_numbers_of_all_processes_are_one() -> None:
    metrics.claim()
    metrics.LMTP_REPLIES.add("2xx", by=2)
    first = Child(lambda: metrics.LMTP_REPLIES.add("2xx", by=3))
    second = Child(lambda: metrics.LMTP_REPLIES.add("4xx"))
    assert number(metrics.LMTP_REPLIES, "2xx") == 5
    assert number(metrics.LMTP_REPLIES, "4xx") == 1
    first.kill()
    second.kill()


def test_what_dead_processes_counted_stays_and_successors_go_on_with_it() -> None:
    metrics.claim()
    for _ in range(10):
        Child(lambda: metrics.LMTP_REPLIES.add("2xx")).kill()
    assert number(metrics.LMTP_REPLIES, "2xx") == 10
    assert metrics._board is not None
    assert len(metrics._board.rows()) == 2  # ours, and that of all ten


def test_what_is_going_on_in_dead_processes_is_not() -> None:
    metrics.claim()
    metrics.LMTP_CONNECTIONS.add(by=1)
    child = Child(lambda: metrics.LMTP_CONNECTIONS.add(by=7))
    assert number(metrics.LMTP_CONNECTIONS) == 8
    child.kill()
    assert number(metrics.LMTP_CONNECTIONS) == 1
    successor = Child(lambda: metrics.LMTP_CONNECTIONS.add(by=2))
    assert number(metrics.LMTP_CONNECTIONS) == 3
    successor.kill()


def test_the_latest_time_of_all_counts() -> None:
    metrics.claim()
    metrics.LAST_TRAINING.set(50.0)
    child = Child(lambda: metrics.LAST_TRAINING.set(70.0))
    child.kill()
    assert number(metrics.LAST_TRAINING) == 70.0


def test_a_gauge_counts_a_block_that_fails_as_well() -> None:
    with pytest.raises(ValueError), metrics.POOL_CONNECTIONS.counted("used"):
        assert number(metrics.POOL_CONNECTIONS, "used") == 0  # not shared yet: no row was claimed
        raise ValueError
    metrics.claim()
    with metrics.POOL_CONNECTIONS.counted("used"):
        assert number(metrics.POOL_CONNECTIONS, "used") == 1
    assert number(metrics.POOL_CONNECTIONS, "used") == 0


def test_values_fall_into_buckets_by_their_upper_ends() -> None:
    metrics.claim()
    sizes = metrics.MESSAGE_BYTES
    for size in (1, 1024, 1025, 1 << 40):
        sizes.observe(size)
    (reading,) = sizes.readings()
    *buckets, total = reading.numbers
    assert buckets[:2] == [2, 1]
    assert buckets[-1] == 1
    assert sum(buckets) == 4
    assert total == 1 + 1024 + 1025 + (1 << 40)


def test_what_nobody_foresaw_counts_as_other() -> None:
    metrics.claim()
    metrics.MESSAGES.add("Unheard-of", "inbound")
    assert number(metrics.MESSAGES, "other", "inbound") == 1


def test_a_process_that_finds_no_free_row_counts_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_board", Board(metrics._width, rows=1))
    child = Child(lambda: metrics.LMTP_REPLIES.add("2xx"))
    metrics.claim()
    metrics.LMTP_REPLIES.add("2xx")
    assert number(metrics.LMTP_REPLIES, "2xx") == 1
    child.kill()


def test_names_and_labels_are_as_prometheus_wants_them() -> None:
    names = [metric.name for metric in metrics.METRICS]
    assert len(set(names)) == len(names)
    for metric in metrics.METRICS:
        assert re.fullmatch(r"dspamd_[a-z_]+", metric.name)
        assert metric.name.endswith("_total") == isinstance(metric, Counter)
        assert isinstance(metric, Counter | Gauge | Histogram | Latest)
        assert metric.help[0].isupper()
        assert metric.help.endswith(".")
        assert len(metric._at) <= 64
        assert not {"user", "address", "rcpt", "domain"} & set(metric.labels)


def test_counting_a_message_costs_little() -> None:
    metrics.claim()

    def message() -> None:
        metrics.MESSAGES.add("Spam", "inbound")
        metrics.MESSAGE_BYTES.observe(12345)
        metrics.MESSAGE_TOKENS.observe(400)
        metrics.LMTP_REPLIES.add("2xx")
        metrics.HANDOVER_SECONDS.observe(0.003)
        for stage in metrics.STAGES:
            metrics.STAGE_SECONDS.observe(0.003, stage)
        for operation in ("uid", "read", "apply"):
            metrics.STORAGE_SECONDS.observe(0.002, "sqlite", operation)

    def seconds() -> float:
        started = time.process_time()
        for _ in range(500):
            message()
        return (time.process_time() - started) / 500

    assert min(seconds() for _ in range(5)) < SLACK * BUDGET_S


def test_the_manual_tells_of_every_metric_and_every_value() -> None:
    manual = (Path(__file__).parents[3] / "docs/dspamd-metrics.7").read_text()
    for metric in metrics.METRICS:
        described = manual.split(f".B {metric.name}\n", 1)[1].split(".TP\n", 1)[0]
        assert metric.help in described
        for label, values in metric._values.items():
            assert f"\\fB{label}\\fP: {', '.join(values)}}}" in described
