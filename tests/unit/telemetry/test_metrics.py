"""Counting: several processes, their deaths, and the cost."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dspamd.telemetry.metric import Counter, Gauge, Histogram, Latest, Metric
from dspamd.telemetry.metrics import STAGES, Metrics

BUDGET_S = 20e-6
SLACK = 4  # for a slow or busy machine


@pytest.fixture
def metrics() -> Metrics:
    """Numbers that start at zero, and are shared with forked processes."""
    metrics = Metrics()
    metrics.share()
    return metrics


class Child:
    """A forked process that does something, and lives until it is killed."""

    def __init__(self, metrics: Metrics, work: Callable[[], object]) -> None:
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


def number(metric: Metric, *labels: str) -> float:
    (found,) = [reading.numbers for reading in metric.readings() if reading.labels == labels]
    (value,) = found
    return value


def test_the_numbers_of_all_processes_are_one(metrics: Metrics) -> None:
    metrics.claim()
    metrics.lmtp_replies.add("2xx", by=2)
    first = Child(metrics, lambda: metrics.lmtp_replies.add("2xx", by=3))
    second = Child(metrics, lambda: metrics.lmtp_replies.add("4xx"))
    assert number(metrics.lmtp_replies, "2xx") == 5
    assert number(metrics.lmtp_replies, "4xx") == 1
    first.kill()
    second.kill()


def test_what_dead_processes_counted_stays_and_successors_go_on_with_it(metrics: Metrics) -> None:
    metrics.claim()
    for _ in range(10):
        Child(metrics, lambda: metrics.lmtp_replies.add("2xx")).kill()
    assert number(metrics.lmtp_replies, "2xx") == 10
    assert metrics.board is not None
    assert len(metrics.board.rows()) == 2  # ours, and that of all ten


def test_what_is_going_on_in_dead_processes_is_not(metrics: Metrics) -> None:
    metrics.claim()
    metrics.lmtp_connections.add(by=1)
    child = Child(metrics, lambda: metrics.lmtp_connections.add(by=7))
    assert number(metrics.lmtp_connections) == 8
    child.kill()
    assert number(metrics.lmtp_connections) == 1
    successor = Child(metrics, lambda: metrics.lmtp_connections.add(by=2))
    assert number(metrics.lmtp_connections) == 3
    successor.kill()


def test_the_latest_time_of_all_counts(metrics: Metrics) -> None:
    metrics.claim()
    metrics.last_training.set(50.0)
    child = Child(metrics, lambda: metrics.last_training.set(70.0))
    child.kill()
    assert number(metrics.last_training) == 70.0


def test_a_gauge_counts_a_block_that_fails_as_well(metrics: Metrics) -> None:
    with pytest.raises(ValueError), metrics.pool_connections.counted("used"):
        assert number(metrics.pool_connections, "used") == 0  # not shared yet: no row was claimed
        raise ValueError
    metrics.claim()
    with metrics.pool_connections.counted("used"):
        assert number(metrics.pool_connections, "used") == 1
    assert number(metrics.pool_connections, "used") == 0


def test_values_fall_into_buckets_by_their_upper_ends(metrics: Metrics) -> None:
    metrics.claim()
    sizes = metrics.message_bytes
    for size in (1, 1024, 1025, 1 << 40):
        sizes.observe(size)
    (reading,) = sizes.readings()
    *buckets, total = reading.numbers
    assert buckets[:2] == [2, 1]
    assert buckets[-1] == 1
    assert sum(buckets) == 4
    assert total == 1 + 1024 + 1025 + (1 << 40)


def test_what_nobody_foresaw_counts_as_other(metrics: Metrics) -> None:
    metrics.claim()
    metrics.messages.add("Unheard-of", "inbound")
    assert number(metrics.messages, "other", "inbound") == 1


def test_a_process_that_finds_no_free_row_counts_for_itself(metrics: Metrics) -> None:
    metrics.share(rows=1)
    child = Child(metrics, lambda: metrics.lmtp_replies.add("2xx"))
    metrics.claim()
    metrics.lmtp_replies.add("2xx")
    assert number(metrics.lmtp_replies, "2xx") == 1
    child.kill()


def test_names_and_labels_are_as_prometheus_wants_them(metrics: Metrics) -> None:
    names = [metric.name for metric in metrics]
    assert len(set(names)) == len(names)
    for metric in metrics:
        assert re.fullmatch(r"dspamd_[a-z_]+", metric.name)
        assert metric.name.endswith("_total") == isinstance(metric, Counter)
        assert isinstance(metric, Counter | Gauge | Histogram | Latest)
        assert metric.help[0].isupper()
        assert metric.help.endswith(".")
        assert len(metric._at) <= 64
        assert not {"user", "address", "rcpt", "domain"} & set(metric.labels)


def test_counting_a_message_costs_little(metrics: Metrics) -> None:
    metrics.claim()

    def message() -> None:
        metrics.messages.add("Spam", "inbound")
        metrics.message_bytes.observe(12345)
        metrics.message_tokens.observe(400)
        metrics.lmtp_replies.add("2xx")
        metrics.handover_seconds.observe(0.003)
        for stage in STAGES:
            metrics.stage_seconds.observe(0.003, stage)
        for operation in ("uid", "read", "apply"):
            metrics.storage_seconds.observe(0.002, "sqlite", operation)

    def seconds() -> float:
        started = time.process_time()
        for _ in range(500):
            message()
        return (time.process_time() - started) / 500

    assert min(seconds() for _ in range(5)) < SLACK * BUDGET_S


def test_the_manual_tells_of_every_metric_and_every_value(metrics: Metrics) -> None:
    manual = (Path(__file__).parents[3] / "docs/dspamd-metrics.7").read_text()
    for metric in metrics:
        described = manual.split(f".B {metric.name}\n", 1)[1].split(".TP\n", 1)[0]
        assert metric.help in described
        for label, values in metric._values.items():
            assert f"\\fB{label}\\fP: {', '.join(values)}}}" in described
