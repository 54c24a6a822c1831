"""The examples of alerts: well-formed, and of metrics and label values that exist.

Whether Prometheus understands the expressions is for `promtool check rules` to say.  It comes in a package
with the whole server and eleven libraries for its pages (100 MB), so no test asks for it.
"""

from __future__ import annotations

import re
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml

from dspamd.telemetry.metric import Histogram
from dspamd.telemetry.metrics import Metrics

FILE = Path(__file__).parents[2] / "etc/prometheus/alerts.yml"
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(FILE.read_text())["groups"] for rule in group["rules"]
]
ELSEWHERE = {"dspamd_build_info", "dspamd_home_free_bytes"}  # dspamd/web/health.py
KNOWN = {metric.name: metric for metric in Metrics()}


def names() -> set[str]:
    """All names under which Prometheus sees our numbers."""
    parts = ("_bucket", "_sum", "_count")
    histograms = (metric.name for metric in KNOWN.values() if isinstance(metric, Histogram))
    return ELSEWHERE | KNOWN.keys() | {name + part for name in histograms for part in parts}


def test_every_alert_has_a_name_of_its_own() -> None:
    assert len({rule["alert"] for rule in RULES}) == len(RULES) > 5


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_a_rule_has_what_prometheus_expects(rule: dict[str, Any]) -> None:
    assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}
    assert re.fullmatch(r"Dspamd[A-Za-z]+", rule["alert"])
    assert re.fullmatch(r"\d+[smhd]", rule.get("for", "0s"))
    assert rule["labels"]["severity"] in ("info", "warning", "critical")
    assert rule["annotations"]["summary"].count("{{") == rule["annotations"]["summary"].count("}}") > 0
    for opening, closing in ("()", "[]", "{}"):
        assert rule["expr"].count(opening) == rule["expr"].count(closing)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_a_rule_speaks_of_metrics_and_values_that_exist(rule: dict[str, Any]) -> None:
    used = set(re.findall(r"\bdspamd_\w+", rule["expr"]))
    assert used <= names()
    for name, label, wanted in re.findall(r'(dspamd_\w+)\{(\w+)=~?"([^"]+)"\}', rule["expr"]):
        metric = KNOWN[name]
        position = metric.labels.index(label)
        there = {values[position] for values in metric._at}
        assert set(wanted.split("|")) <= there
    grouped = chain.from_iterable(
        re.findall(r"\w+", by) for by in re.findall(r"by \(([^)]*)\)", rule["expr"])
    )
    labels = {label for metric in KNOWN.values() for label in metric.labels}
    assert set(grouped) <= labels | {"instance", "le"}
