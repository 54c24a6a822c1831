"""Where the time of a message goes."""

from __future__ import annotations

from collections.abc import Iterator

from dspamd.telemetry.stopwatch import Stopwatch


def test_each_stage_gets_the_time_since_the_last_mark() -> None:
    times: Iterator[float] = iter((10.0, 11.0, 13.0, 13.5))
    watch = Stopwatch(lambda: next(times), parse=0.25)
    for stage in ("store", "tokens", "store"):
        watch.mark(stage)
    assert watch.seconds == {"parse": 0.25, "store": 1.5, "tokens": 2.0}
    assert watch.total == 3.5
