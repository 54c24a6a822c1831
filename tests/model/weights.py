"""Weights and counters, slow and plain: what `dspamd/engine/_weights.pyx` must compute.

A table is a dict from slot to four integers; nothing is packed.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

BITS = 18
WEIGHT_UNIT, SQUARES_UNIT = 1 / 64, 1 / 32768


class Slot(NamedTuple):
    weight: int = 0
    squares: int = 0
    spam: int = 0
    innocent: int = 0


@dataclass
class Table:
    slots: dict[int, Slot] = field(default_factory=dict)
    lessons: int = 0
    readings: int = 0
    spam: int = 0
    innocent: int = 0

    def add(self, lesson: Lesson, sign: int = 1) -> None:
        """Add a lesson, or with sign -1 take it back."""
        self.lessons = max(0, self.lessons + sign * lesson.lessons)
        self.readings = max(0, self.readings + sign * lesson.readings)
        self.spam = max(0, self.spam + sign * lesson.spam)
        self.innocent = max(0, self.innocent + sign * lesson.innocent)
        for slot, (step, squares) in lesson.steps.items():
            self._move(slot, sign * step, sign * squares, sign * lesson.spam, sign * lesson.innocent)
        for slot, (step, squares) in lesson.reading_steps.items():
            self._move(slot, sign * step, sign * squares, 0, 0)

    def _move(self, slot: int, step: int, squares: int, spam: int, innocent: int) -> None:
        old = self.slots.get(slot, Slot())
        self.slots[slot] = Slot(
            min(32767, max(-32768, old.weight + step)),
            min(65535, max(0, old.squares + squares)),
            min(65535, max(0, old.spam + spam)),
            min(65535, max(0, old.innocent + innocent)),
        )


class Lesson(NamedTuple):
    """`lessons`, `readings`: 1 if the expert moves; `spam`, `innocent`: 1 if the message is counted."""

    lessons: int
    readings: int
    spam: int
    innocent: int
    steps: dict[int, tuple[int, int]]  # slot: step of the weight, more squares
    reading_steps: dict[int, tuple[int, int]]


def slot_of(feature: int) -> int:
    return (feature * 2654435761 % 2**32) >> (32 - BITS)


def placed(features: Sequence[int], groups: int = 16) -> list[tuple[int, float]]:
    """Slot and value of each feature of the first groups."""
    sizes = Counter(feature >> 28 for feature in features)
    length = 0.0
    for group in range(groups):
        length += math.sqrt(sizes[group])
    return [
        (slot_of(feature), 1 / math.sqrt(math.sqrt(sizes[feature >> 28]) * length))
        for feature in features
        if feature >> 28 < groups
    ]


def read(features: Sequence[int]) -> list[tuple[int, float]]:
    """The slots of the expert who reads words, which are the neighbours of those of the words."""
    return [(slot ^ 1, value) for slot, value in placed(features, 2)]


def evidence(spam: float, innocent: float) -> float:
    both = spam + innocent
    if both <= 0 or (difference := (spam - innocent) ** 2 - 0.25 / both) <= 0:
        return 0.0
    confidence = difference / (both * both)
    for _ in range(3):
        confidence *= confidence
    p = min(1 - 1e-6, max(1e-6, 0.5 + confidence / (1 + 8 / both) * (spam / both - 0.5)))
    return math.log(p / (1 - p))


class Asked(NamedTuple):
    """What the experts say: log-odds, the sum of the second, log-odds; and the share that was seen before."""

    weighed: float
    counted_up: float
    read: float
    familiar: float


def experts(features: Sequence[int], tables: Sequence[Table], *, counted: bool) -> Asked:
    spam_lessons, innocent_lessons = sum(t.spam for t in tables), sum(t.innocent for t in tables)
    most = max(spam_lessons, innocent_lessons)
    both = spam_lessons and innocent_lessons
    weighed = counted_up = by_words = seen = 0.0
    for slot, value in placed(features):
        known = [table.slots.get(slot, Slot()) for table in tables]
        weighed += sum(each.weight for each in known) * WEIGHT_UNIT * value
        spam, innocent = sum(each.spam for each in known), sum(each.innocent for each in known)
        seen += value if spam + innocent else 0.0
        if counted and both:
            counted_up += evidence(spam * (most / spam_lessons), innocent * (most / innocent_lessons)) * value
    for slot, value in read(features):
        by_words += sum(table.slots.get(slot, Slot()).weight for table in tables) * WEIGHT_UNIT * value
    values = sum(value for _, value in placed(features))
    return Asked(weighed, counted_up, by_words, seen / values if features else 0.0)


def read_share(tables: Sequence[Table]) -> float:
    readings = sum(table.readings for table in tables)
    return 0.5 * readings / (20.0 + readings)


def logit(features: Sequence[int], tables: Sequence[Table], *, counted: bool) -> float:
    asked = experts(features, tables, counted=counted)
    mean = asked.weighed + read_share(tables) * (asked.read - asked.weighed)
    return mean + 6 * math.tanh(6.25 * asked.counted_up / 6)


def doubt(tables: Sequence[Table]) -> float:
    return 0.3 + 1.0 * 30.0 / (30.0 + sum(table.spam + table.innocent for table in tables))


def threshold(tables: Sequence[Table]) -> float:
    spam, innocent = sum(table.spam for table in tables), sum(table.innocent for table in tables)
    if not innocent:
        return math.inf
    more = max(0.0, math.log((1 + spam) / (0.5 + innocent)))
    return doubt(tables) + 6.0 * more * 5.0 / (5.0 + innocent)


def dither(slot: int, lesson: int) -> float:
    x = ((lesson << 32) ^ slot) % 2**64
    for _ in range(2):
        x = ((x ^ x >> 32) * 0xD6E8FEB86659FD93) % 2**64
    return (x >> 40) / 2**24


def rounded(number: float, share: float) -> int:
    whole = math.floor(number)
    return whole + (number - whole > share)


@dataclass
class Expert:
    """One who learns: the error, the pull, whether it moves, and the values of the slots."""

    error: float
    near: float
    parts: Sequence[tuple[int, float]]
    own: Table

    def __post_init__(self) -> None:
        self.pull = 0.3 * (1 + 2.0 * 200.0 / (200.0 + self.own.lessons)) * self.error
        self.values: dict[int, float] = {}
        for slot, value in self.parts:
            self.values[slot] = self.values.get(slot, 0.0) + value

    def errs(self, margin: float) -> bool:
        return abs(self.error) >= 0.5 - margin * (0.5 - self.near)

    def squares(self, slot: int) -> float:
        return self.own.slots.get(slot, Slot()).squares * SQUARES_UNIT

    def reach(self) -> float:
        return sum(
            value * value / math.sqrt(1e-5 + (self.squares(slot) + (self.error * value) ** 2))
            for slot, value in sorted(self.values.items())
        )

    def steps(self, number: int) -> dict[int, tuple[int, int]]:
        steps = {}
        for slot, value in self.values.items():
            gradient = self.error * value
            more = rounded(gradient * gradient / SQUARES_UNIT, dither(slot, number))
            step = (
                self.pull * value / math.sqrt(1e-5 + (self.squares(slot) + gradient * gradient)) / WEIGHT_UNIT
            )
            steps[slot] = rounded(step, dither(~slot % 2**32, number)), more
        return steps


def lesson(
    features: Sequence[int],
    tables: Sequence[Table],
    spam: bool,
    margin: float,
    *,
    counted: bool,
    turns: bool = True,
) -> Lesson | None:
    """The lesson of a label for the first table; None if all experts are sure."""
    asked, own, side = experts(features, tables, counted=counted), tables[0], 1.0 if spam else -1.0
    first = Expert(spam - 1 / (1 + math.exp(-asked.weighed)), 0.02, placed(features), own)
    third = Expert(spam - 1 / (1 + math.exp(-asked.read)), 0.08, read(features), own)
    moves, reads = first.errs(margin), third.errs(margin)
    none_yet = not sum(table.spam if spam else table.innocent for table in tables)
    wanted = margin * min(1.7, 0.07 * sum(value for _, value in placed(features)))
    counts = asked.counted_up * side < wanted or none_yet if counted else moves
    against = (doubt(tables) - logit(features, tables, counted=counted)) * side
    doubtful = against > 7.0 * (1 + 60.0 / (1 + own.lessons))
    if not features:
        return None
    if turns and against >= 0:
        moves = reads = True
        counts = counts and not doubtful
        if doubtful:
            first.error = first.pull = third.error = third.pull = 0.0
        share = read_share(tables)
        reach, reach_of_words = (1 - share) * first.reach(), share * third.reach()
        lacks = against + 1.0 - (first.pull * reach + third.pull * reach_of_words) * side
        if lacks > 0:
            first.pull += lacks / (reach + reach_of_words) * side
            third.pull += lacks / (reach + reach_of_words) * side
    reads = reads and bool(third.values)
    if not (moves or counts or reads):
        return None
    number = own.lessons + own.readings + sum(table.spam + table.innocent for table in tables)
    return Lesson(
        int(moves),
        int(reads),
        int(counts and spam),
        int(counts and not spam),
        first.steps(number) if moves else dict.fromkeys(first.values, (0, 0)) if counts else {},
        third.steps(number) if reads else {},
    )
