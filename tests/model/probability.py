"""The probability that a token speaks for spam (reference/engine.md 3).

Graham's "A Plan for Spam" is the base, Robinson's f(w) and a weighing of
markov chains are the alternatives.  `f32` marks the places where the original
calculated in single precision, and the verdict depends on it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from dspamd.engine.model import Label, Lesson, Mode, ScoreOptions, Totals
from tests.model.tokens import Entry, weight


def f32(x: float) -> float:
    """`x` in single precision."""
    return float(struct.unpack("f", struct.pack("f", x))[0])


def ratio(a: float, b: float) -> float:
    """a / b where 0/0 and inf/inf are NaN, as in C."""
    if b == 0:
        return a * float("inf") if a else float("nan")
    return a / b


def minimum_hits(options: ScoreOptions, totals: Totals, pattern: bool) -> int:
    """3.1: the hits that a token needs to count, raised by sedation."""
    tb, base = options.sedation, 25 if pattern and options.sedation else 5
    spam = totals.spam_learned + totals.spam_classified
    innocent = totals.innocent_learned + totals.innocent_classified
    sedated = 0
    if tb > 0 and innocent < 1000 and innocent < spam:
        sedated = base + tb // 2 + tb * ((spam - innocent) // 200)
    if tb > 0 and 1000 <= innocent < 2500 and spam > innocent:
        share = f32(spam / (spam + innocent) * 100)
        sedated = int(f32((base + tb // 2) + f32(tb * f32(share / 20))))
    hits = sedated if pattern else max(base, sedated)
    return min(hits, 20) if options.mode is Mode.TUM else hits


@dataclass(frozen=True)
class Scale:
    """Everything but the token itself that decides a probability."""

    options: ScoreOptions
    totals: Totals  # as loaded
    lesson: Lesson | None = None
    messages: tuple[int, int] = (0, 0)  # spam and innocent hits of bnr.t|
    from_signature: bool = False

    def __call__(self, entry: Entry) -> float:
        if self.options.pvalue == "markov":
            return clamp(self.markov(entry))
        return self.bayes(entry)

    def bayes(self, entry: Entry) -> float:
        """3.2: Graham's probability, with Robinson's correction for rare tokens."""
        s, i = entry.spam, entry.innocent
        sl, il = self.totals.spam_learned, self.totals.innocent_learned
        b = 2 if self.options.bias else 1
        p = 0.7 if self.lesson and self.lesson.label is Label.SPAM else 0.4
        known = sl > 0 and il > 0
        if known and entry.pattern:
            x, y = ratio(s, self.messages[0]), ratio(i, self.messages[1])
            p = ratio(x, x + y)
        elif known:
            p = ratio(s / sl, s / sl + i * b / il)
        if s == 0 and i > 0:
            p = 0.01
            if known:
                p = min(p, (1 / sl) / (1 / sl + i * b / il))
        elif s > 0 and i == 0:
            p = 0.99
            if known:
                p = max(p, (s / sl) / (s / sl + b / il))
        if s + b * i < minimum_hits(self.options, self.totals, entry.pattern):
            p = 0.4
        p = clamp(p)
        if self.options.pvalue == "robinson" and not entry.pattern:
            n = s + i
            p = (0.1 * 0.5 + n * p) / (0.1 + n)
        return p

    def markov(self, entry: Entry) -> float:
        """3.3: neutral, moved by the hits times the weight of the name."""
        if entry.pattern or self.from_signature or entry.name.startswith((b"bnr.", b"From*")):
            return 0.5
        s, i, w = entry.spam, entry.innocent, weight(entry.name)
        if self.options.bias:
            return 0.49 + w * (s - 2 * i) / (16 * (s + 2 * i + 1) * 256)
        return 0.5 + w * (s - i) / (16 * (s + i + 1) * 256)


def clamp(p: float) -> float:
    """p within [0.0001, 0.9999]; NaN stays NaN."""
    if p < 0.0001:
        return 0.0001
    return 0.9999 if p > 0.9999 else p
