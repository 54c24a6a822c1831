"""Plots of a measurement, as SVG: curves of ROC, of learning, and of reliability.

Each configuration has a colour; the axes say what they show.  Pure.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from xml.sax.saxutils import escape

from dspamd.evaluation import metrics
from dspamd.evaluation.report import Measured, by_configuration

Point = tuple[float, float]

_WIDTH, _HEIGHT = 760, 520
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 20, 44, 56
_COLOURS = ("#0b5fa5", "#c8430e", "#2c7a3f", "#7a3fa0", "#8a6a00", "#00808a", "#b0195f", "#555555")
_LARGEST_DOT = 9.0
_LEAST, _MOST = 0.01, 50.0  # % on the axes of the curve of ROC


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis: its title, the numbers at its marks, and where a value lies on it, 0 to 1."""

    title: str
    marks: Sequence[float]
    place: Callable[[float], float]


@dataclass(frozen=True, slots=True)
class Curve:
    """A curve with its name, and how large the dots at its points are, if it has dots."""

    name: str
    points: Sequence[Point]
    radii: Sequence[float] = ()


def plots(measured: Sequence[Measured]) -> dict[str, str]:
    """The plots by the names of their files."""
    found = by_configuration(measured)
    return {"roc.svg": _roc(found), "learning.svg": _learning(found), "reliability.svg": _reliability(found)}


def _pooled(measured: Sequence[Measured]) -> tuple[list[bool], list[float]]:
    """Labels and scores of all orders together."""
    return [y for each in measured for y in each.labels], [s for each in measured for s in each.scores]


def _roc(found: Sequence[Sequence[Measured]]) -> str:
    curves = [
        Curve(
            each[0].configuration.name, [(_clipped(x), _clipped(y)) for x, y in metrics.roc(*_pooled(each))]
        )
        for each in found
    ]
    marks = (0.01, 0.1, 1.0, 10.0, 50.0)
    axes = (Axis("ham lost, %", marks, _logarithmic), Axis("spam missed, %", marks, _logarithmic))
    return drawn("Ham lost and spam missed, for each threshold", axes, curves, names_left=False)


def _clipped(share: float) -> float:
    return min(max(share, _LEAST), _MOST)


def _logarithmic(share: float) -> float:
    return math.log(share / _LEAST) / math.log(_MOST / _LEAST)


def _learning(found: Sequence[Sequence[Measured]]) -> str:
    curves = []
    for each in found:
        wrong = [
            list(
                accumulate(label != verdict for label, verdict in zip(one.labels, one.verdicts, strict=True))
            )
            for one in each
        ]
        means = [sum(values) / len(wrong) for values in zip(*wrong, strict=True)]
        step = max(1, len(means) // 500)
        points = [(0.0, 0.0), *((float(n + 1), means[n]) for n in range(0, len(means), step))]
        curves.append(Curve(each[0].configuration.name, [*points, (float(len(means)), means[-1])]))
    axes = (
        _linear("messages", max(x for curve in curves for x, _ in curve.points)),
        _linear("errors so far", max(y for curve in curves for _, y in curve.points)),
    )
    return drawn("Errors, as the users' dictionaries learn", axes, curves)


def _reliability(found: Sequence[Sequence[Measured]]) -> str:
    curves = [Curve("", [(0.0, 0.0), (1.0, 1.0)])]
    for each in found:
        bins = metrics.reliability(*_pooled(each))
        points, most = [(bin.score, bin.spam) for bin in bins], max(bin.messages for bin in bins)
        radii = [_LARGEST_DOT * math.sqrt(bin.messages / most) for bin in bins]
        curves.append(Curve(each[0].configuration.name, points, radii))
    axes = (_linear("score: probability of spam", 1.0), _linear("share that is spam", 1.0))
    return drawn("Probability, promised and true; a dot has the area of its messages", axes, curves)


def _linear(title: str, most: float) -> Axis:
    """An axis from zero to a round number at `most` or above."""
    scale = 10 ** math.floor(math.log10(most)) if most > 0 else 1.0
    step = next(step for step in (0.1, 0.2, 0.5, 1.0, 2.0) if step * scale * 6 >= most) * scale
    end = math.ceil(most / step - 1e-9) * step or step
    return Axis(title, [n * step for n in range(round(end / step) + 1)], lambda value: value / end)


def drawn(title: str, axes: tuple[Axis, Axis], curves: Sequence[Curve], *, names_left: bool = True) -> str:
    """A plot, with the names in the upper left corner or in the right one.

    A curve without a name is grey, and not explained.
    """
    across, up = axes
    wide, high = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def at(point: Point) -> Point:
        return _LEFT + wide * across.place(point[0]), _TOP + high * (1 - up.place(point[1]))

    base = _TOP + high
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" '
        f'font-size="13"><rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        _text(_LEFT, 24, title, size=16),
        _text(_LEFT + wide / 2, _HEIGHT - 14, across.title, anchor="middle"),
        f'<g transform="translate(18 {_TOP + high / 2:.1f}) rotate(-90)">'
        + _text(0, 0, up.title, anchor="middle")
        + "</g>",
    ]
    for mark in across.marks:
        x = _LEFT + wide * across.place(mark)
        parts += [_line(x, _TOP, x, base), _text(x, base + 18, f"{mark:g}", anchor="middle")]
    for mark in up.marks:
        y = _TOP + high * (1 - up.place(mark))
        parts += [_line(_LEFT, y, _LEFT + wide, y), _text(_LEFT - 8, y + 4, f"{mark:g}", anchor="end")]
    named = 0
    for curve in curves:
        colour = _COLOURS[named % len(_COLOURS)] if curve.name else "#999999"
        places = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(at, curve.points))
        parts.append(f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="1.8"/>')
        for (x, y), radius in zip(map(at, curve.points), curve.radii, strict=False):
            parts.append(
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="{colour}" opacity="0.6"/>'
            )
        if curve.name:
            y = _TOP + 18 + 18 * named
            x, anchor = (_LEFT + 10, "start") if names_left else (_LEFT + wide - 10, "end")
            parts.append(_text(x, y, curve.name, anchor=anchor, colour=colour))
            named += 1
    return "\n".join([*parts, "</svg>\n"])


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#dddddd"/>'


def _text(
    x: float, y: float, text: str, *, anchor: str = "start", size: int = 13, colour: str = "#222222"
) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{colour}"'
    return f"<text {place}>{escape(text)}</text>"
