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
    spam: int = 0
    innocent: int = 0

    def add(self, lesson: Lesson, sign: int = 1) -> None:
        """Add a lesson, or with sign -1 take it back."""
        self.lessons = max(0, self.lessons + sign * lesson.lessons)
        self.spam = max(0, self.spam + sign * lesson.spam)
        self.innocent = max(0, self.innocent + sign * lesson.innocent)
        for slot, (step, squares) in lesson.steps.items():
            old = self.slots.get(slot, Slot())
            new = Slot(
                min(32767, max(-32768, old.weight + sign * step)),
                min(65535, max(0, old.squares + sign * squares)),
                min(65535, max(0, old.spam + sign * lesson.spam)),
                min(65535, max(0, old.innocent + sign * lesson.innocent)),
            )
            self.slots[slot] = new


class Lesson(NamedTuple):
    """`lessons` is 1 if weights move, `spam` or `innocent` is 1 if the message is counted."""

    lessons: int
    spam: int
    innocent: int
    steps: dict[int, tuple[int, int]]  # slot: step of the weight, more squares


def slot_of(feature: int) -> int:
    return (feature * 2654435761 % 2**32) >> (32 - BITS)


def placed(features: Sequence[int]) -> list[tuple[int, float]]:
    """Slot and value of each feature."""
    sizes = Counter(feature >> 28 for feature in features)
    length = 0.0
    for group in range(16):
        length += math.sqrt(sizes[group])
    return [
        (slot_of(feature), 1 / math.sqrt(math.sqrt(sizes[feature >> 28]) * length)) for feature in features
    ]


def evidence(spam: float, innocent: float) -> float:
    both = spam + innocent
    if both <= 0 or (difference := (spam - innocent) ** 2 - 0.25 / both) <= 0:
        return 0.0
    confidence = difference / (both * both)
    for _ in range(3):
        confidence *= confidence
    p = min(1 - 1e-6, max(1e-6, 0.5 + confidence / (1 + 8 / both) * (spam / both - 0.5)))
    return math.log(p / (1 - p))


def experts(features: Sequence[int], tables: Sequence[Table], *, counted: bool) -> tuple[float, float]:
    """The log-odds of the first expert, and the sum of the second."""
    spam_lessons, innocent_lessons = sum(t.spam for t in tables), sum(t.innocent for t in tables)
    most = max(spam_lessons, innocent_lessons)
    heard = counted and spam_lessons and innocent_lessons
    weighed = counted_up = 0.0
    for slot, value in placed(features):
        known = [table.slots.get(slot, Slot()) for table in tables]
        weighed += sum(each.weight for each in known) * WEIGHT_UNIT * value
        if heard:
            spam = sum(each.spam for each in known) * (most / spam_lessons)
            innocent = sum(each.innocent for each in known) * (most / innocent_lessons)
            counted_up += evidence(spam, innocent) * value
    return weighed, counted_up


def logit(features: Sequence[int], tables: Sequence[Table], *, counted: bool) -> float:
    weighed, counted_up = experts(features, tables, counted=counted)
    return weighed + 6 * math.tanh(6.25 * counted_up / 6)


def threshold(tables: Sequence[Table]) -> float:
    return 0.3 + 1.0 * 30.0 / (30.0 + sum(table.spam + table.innocent for table in tables))


def dither(slot: int, lesson: int) -> float:
    x = ((lesson << 32) ^ slot) % 2**64
    for _ in range(2):
        x = ((x ^ x >> 32) * 0xD6E8FEB86659FD93) % 2**64
    return (x >> 40) / 2**24


def rounded(number: float, share: float) -> int:
    whole = math.floor(number)
    return whole + (number - whole > share)


def lesson(
    features: Sequence[int],
    tables: Sequence[Table],
    spam: bool,
    margin: float,
    *,
    counted: bool,
    turns: bool = True,
) -> Lesson | None:
    """The lesson of a label for the first table; None if both experts are sure."""
    weighed, counted_up = experts(features, tables, counted=counted)
    error = spam - 1 / (1 + math.exp(-weighed))
    moves = abs(error) >= 0.5 - margin * (0.5 - 0.01)
    none_yet = not sum(table.spam if spam else table.innocent for table in tables)
    wanted = margin * min(1.7, 0.07 * sum(value for _, value in placed(features)))
    counts = (counted_up if spam else -counted_up) < wanted or none_yet if counted else moves
    values: dict[int, float] = {}
    for slot, value in placed(features):
        values[slot] = values.get(slot, 0.0) + value
    own = tables[0]
    squares = {slot: own.slots.get(slot, Slot()).squares * SQUARES_UNIT for slot in values}
    side = 1.0 if spam else -1.0
    against = (threshold(tables) - logit(features, tables, counted=counted)) * side
    pull = 0.3 * (1 + 2.0 * 200.0 / (200.0 + own.lessons)) * error
    doubtful = against > 7.0 * (1 + 60.0 / (1 + own.lessons))
    if turns and features and against >= 0:
        moves, counts, error = True, counts and not doubtful, 0.0 if doubtful else error
        reach = sum(
            values[slot] * values[slot] / math.sqrt(1e-5 + (squares[slot] + (error * values[slot]) ** 2))
            for slot in sorted(values)
        )
        turn = (against + 1.0) / reach
        pull = (turn if doubtful else max(turn, abs(pull))) * side
    if not features or not (moves or counts):
        return None
    number = own.lessons + sum(table.spam + table.innocent for table in tables)
    steps = {}
    for slot, value in values.items():
        gradient = error * value if moves else 0.0
        more = rounded(gradient * gradient / SQUARES_UNIT, dither(slot, number)) if moves else 0
        step = pull * value / math.sqrt(1e-5 + (squares[slot] + gradient * gradient)) / WEIGHT_UNIT
        steps[slot] = (rounded(step, dither(~slot % 2**32, number)) if moves else 0, more)
    return Lesson(int(moves), int(counts and spam), int(counts and not spam), steps)
