"""The figures of a measurement, as values, as tables and as JSON."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dspamd.evaluation import metrics
from dspamd.evaluation.configurations import Configuration
from dspamd.evaluation.corpus import Item
from dspamd.evaluation.counted import TOKEN_BYTES
from dspamd.evaluation.saved import Observed

_STRICT_LOSS = 0.1  # % of ham lost, at which the report shows missed spam
_STAGES = {"view_tokens": ("tokens",), "score": ("classify",), "learn": ("learn",), "store": ("store",)}


@dataclass(frozen=True, slots=True)
class Measured:
    """One configuration in one order: what was observed, and in which order the messages came."""

    configuration: Configuration
    order: str
    items: Sequence[Item]
    observed: Observed

    @property
    def labels(self) -> list[bool]:
        return [bool(label) for label in self.observed.record.labels]

    @property
    def verdicts(self) -> list[bool]:
        return [bool(verdict) for verdict in self.observed.record.verdicts]

    @property
    def scores(self) -> list[float]:
        return list(self.observed.record.scores)

    def figures(self) -> dict[str, float | None]:
        """The figures that tables show: shares in %, the others by their names."""
        labels, verdicts, scores = self.labels, self.verdicts, self.scores
        count, ham, spam = len(labels), labels.count(False), labels.count(True)
        wrong = metrics.errors(labels, verdicts)
        record, written, size = self.observed.record, self.observed.written, self.observed.size
        return {
            "above_roc": metrics.above_roc(labels, scores),
            "lam": metrics.logistic_average(wrong.ham_lost, ham, wrong.spam_missed, spam),
            "ham_lost": wrong.ham_lost,
            "spam_missed": wrong.spam_missed,
            "spam_missed_strict": metrics.missed_at(labels, scores, _STRICT_LOSS),
            "errors_of_50": self._first(50),
            "errors_of_200": self._first(200),
            "brier": metrics.brier(labels, scores),
            "not_judged": count - sum(record.judged),
            "trained": 100 * sum(record.trained) / count,
            "corrections": record.corrections,
            "rows_written": written.rows / count,
            "bytes_written": written.bytes / count,
            "rows": size.rows,
            "size": TOKEN_BYTES * size.rows + size.block_bytes,
        }

    def _first(self, number: int) -> float:
        """Errors among the first messages of a user; the mean, if there are several."""
        seen: dict[str, int] = {}
        wrong = 0
        for item, label, verdict in zip(self.items, self.labels, self.verdicts, strict=True):
            seen[item.user] = seen.get(item.user, 0) + 1
            wrong += seen[item.user] <= number and label != verdict
        return wrong / len(seen)

    def cpu(self) -> dict[str, float]:
        """Microseconds of CPU for a message, by stage."""
        seconds, count = self.observed.record.seconds, len(self.items)
        return {
            name: sum(seconds.get(stage, 0.0) for stage in stages) * 1e6 / count
            for name, stages in _STAGES.items()
        }

    def users(self) -> dict[str, metrics.Errors]:
        """The wrong verdicts by user."""
        found: dict[str, tuple[list[bool], list[bool]]] = {}
        for item, label, verdict in zip(self.items, self.labels, self.verdicts, strict=True):
            labels, verdicts = found.setdefault(item.user, ([], []))
            labels.append(label)
            verdicts.append(verdict)
        return {user: metrics.errors(*found[user]) for user in sorted(found)}


def document(measured: Sequence[Measured], feedback: Mapping[str, float]) -> dict[str, Any]:
    """All figures, for JSON.  Only those of `cpu` differ from run to run."""
    first = measured[0]
    return {
        "messages": len(first.items),
        "ham": first.labels.count(False),
        "spam": first.labels.count(True),
        "users": len({item.user for item in first.items}),
        "feedback": dict(feedback),
        "configurations": [_configuration(found) for found in by_configuration(measured)],
    }


def by_configuration(measured: Iterable[Measured]) -> list[list[Measured]]:
    """The measurements of each configuration."""
    found: dict[str, list[Measured]] = {}
    for each in measured:
        found.setdefault(each.configuration.name, []).append(each)
    return list(found.values())


def _configuration(found: Sequence[Measured]) -> dict[str, Any]:
    configuration = found[0].configuration
    figures = [each.figures() for each in found]
    return {
        "name": configuration.name,
        "settings": configuration.settings,
        "mean": {name: _mean([each[name] for each in figures]) for name in figures[0]},
        "sd": {name: _deviation([each[name] for each in figures]) for name in figures[0]},
        "cpu_us": {name: _mean([each.cpu()[name] for each in found]) for name in _STAGES},
        "orders": [_order(each, told) for each, told in zip(found, figures, strict=True)],
    }


def _order(measured: Measured, figures: Mapping[str, float | None]) -> dict[str, Any]:
    labels, verdicts, scores = measured.labels, measured.verdicts, measured.scores
    return {
        "order": measured.order,
        "figures": dict(figures),
        "tenths": [each._asdict() for each in metrics.tenths(labels, verdicts)],
        "reliability": [each._asdict() for each in metrics.reliability(labels, scores)],
        "users": {user: each._asdict() for user, each in measured.users().items()},
        "errors": [
            {"number": number, "message": item.name, "user": item.user, "spam": label, "score": score}
            for number, (item, label, verdict, score) in enumerate(
                zip(measured.items, labels, verdicts, scores, strict=True), 1
            )
            if label != verdict
        ],
    }


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def _deviation(values: Sequence[float | None]) -> float | None:
    """The standard deviation of a sample; None for a single value."""
    known = [value for value in values if value is not None]
    return statistics.stdev(known) if len(known) > 1 else None


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its head of two lines, the name of its figure, and how that is written."""

    head: str
    name: str
    decimals: int = 0
    scale: float = 1.0

    def cell(self, mean: Mapping[str, float | None], deviation: Mapping[str, float | None]) -> str:
        """The mean of the figure, and its deviation if there is one."""
        value, spread = mean.get(self.name), deviation.get(self.name)
        if value is None:
            return "-"
        counted = value.is_integer() and spread is None
        decimals = self.decimals or (0 if counted else 1)
        text = f"{value * self.scale:.{decimals}f}"
        return text if spread is None else f"{text} ±{spread * self.scale:.{decimals}f}"


_ACCURACY = (
    Column("1-ROCA|%", "above_roc", 4),
    Column("lam|%", "lam", 3),
    Column("ham|lost", "ham_lost"),
    Column("spam|missed", "spam_missed"),
    Column("missed % at|.1 % ham lost", "spam_missed_strict", 3),
    Column("errors|of 50", "errors_of_50"),
    Column("errors|of 200", "errors_of_200"),
    Column("Brier|", "brier", 5),
)
_COST = (
    Column("trained|%", "trained", 1),
    Column("rows written|a message", "rows_written", 1),
    Column("kB written|a message", "bytes_written", 2, 1e-3),
    Column("rows|at the end", "rows"),
    Column("MB|at the end", "size", 2, 1e-6),
    Column("CPU µs a message:|view, tokens", "view_tokens", 1),
    Column("|score", "score", 1),
    Column("|learn", "learn", 1),
)


def tables(measured: Sequence[Measured]) -> str:
    """The figures as text: accuracy, errors as time goes by, cost."""
    told = [_configuration(each) for each in by_configuration(measured)]
    drift = [[each["name"], *_errors_by_tenth(each)] for each in told]
    return "\n".join(
        [
            _table(["configuration|", *(column.head for column in _ACCURACY)], _rows(told, _ACCURACY)),
            _table(["errors in each tenth|", *(f"|{n}" for n in range(1, metrics.TENTHS + 1))], drift),
            _table(["configuration|", *(column.head for column in _COST)], _rows(told, _COST)),
        ]
    )


def _rows(told: Iterable[Mapping[str, Any]], columns: Iterable[Column]) -> list[list[str]]:
    return [
        [each["name"], *(column.cell(each["mean"] | each["cpu_us"], each["sd"]) for column in columns)]
        for each in told
    ]


def _errors_by_tenth(told: Mapping[str, Any]) -> list[str]:
    orders = [
        [each["ham_lost"] + each["spam_missed"] for each in order["tenths"]] for order in told["orders"]
    ]
    means = [statistics.fmean(tenth) for tenth in zip(*orders, strict=True)]
    return [f"{mean:.0f}" if len(orders) == 1 else f"{mean:.1f}" for mean in means]


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns under heads of two lines; the first one begins at the left, numbers end at the right."""
    lines = [[head.partition("|")[0] for head in heads], [head.partition("|")[2] for head in heads], *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = ""
    for first, *others in lines:
        cells = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        text += "  ".join([first.ljust(widths[0]), *cells]).rstrip() + "\n"
    return text
