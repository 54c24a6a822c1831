"""The numbers that this process has counted."""

from __future__ import annotations

from dspamd.telemetry.metric import Metric


def counted(metric: Metric) -> dict[tuple[str, ...], float]:
    """The readings of a metric that are not zero, by their labels."""
    return {labels: numbers[0] for labels, numbers in metric.readings() if numbers[0]}
