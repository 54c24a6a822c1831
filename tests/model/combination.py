"""Many probabilities become one verdict (reference/engine.md 4).

Graham and burton multiply the most interesting tokens, Robinson takes their
geometric mean (which is the confidence of every verdict), chi-square asks
Fisher's question of all tokens.  The first one that fires decides the reported probability and factors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from dspamd.engine.model import Label, Lesson, ScoreOptions
from tests.model.probability import f32
from tests.model.tokens import Entry, complexity

Factors = list[tuple[Entry, float]]


@dataclass
class Interesting:
    """An entry of the list of 4.1; `delta` is its distance from 0.5."""

    entry: Entry
    delta: float


def interesting(entries: list[Entry], options: ScoreOptions) -> list[Interesting]:
    """4.1: the tokens farthest from 0.5, from least to most interesting."""
    size = 27 if "burton" in options.algorithms else 25 if "robinson" in options.algorithms else 15
    chosen: list[Interesting] = []
    for entry in entries:
        if entry.pattern or entry.frequency <= 0:
            continue
        delta = abs(0.5 - entry.probability)
        single = f32(delta)

        def beaten(other: Interesting, entry: Entry = entry, single: float = single) -> bool:
            if single != other.delta:
                return single > other.delta
            if entry.frequency != other.entry.frequency:
                return entry.frequency > other.entry.frequency
            return complexity(entry.name) >= complexity(other.entry.name)

        at = 0
        if chosen and beaten(chosen[0]):
            at = 1 + max(n for n, other in enumerate(chosen) if beaten(other))
        elif len(chosen) == size:
            continue
        chosen.insert(at, Interesting(entry, delta))
        if len(chosen) > size:
            del chosen[0]
    return chosen


def graham(chosen: list[tuple[Entry, float]]) -> tuple[float, Factors]:
    """4.2: "A Plan for Spam" over the fifteen most interesting."""
    top = bottom = 1.0
    for _, p in chosen[:15]:
        top, bottom = f32(top * p), f32(bottom * (1 - p))
    return _share(top, bottom), chosen[:15]


def _share(top: float, bottom: float) -> float:
    total = f32(top + bottom)
    return f32(top / total) if total else float("nan")


def burton(chosen: list[tuple[Entry, float]]) -> tuple[float, Factors]:
    """4.3: up to 27 uses, a token that came twice is used twice."""
    factors: Factors = []
    top = bottom = 1.0
    for entry, p in chosen:
        for _ in range(2 if entry.frequency > 1 else 1):
            if len(factors) < 27:
                top, bottom = top * p, bottom * (1 - p)
                factors.append((entry, p))
    return top / (top + bottom) if top + bottom else float("nan"), factors


def robinson(chosen: list[tuple[Entry, float]]) -> tuple[float, Factors]:
    """4.4: the geometric mean of both sides."""
    factors: Factors = []
    n = min(25, len(chosen))
    uses, top, bottom = 0, 1.0, 1.0
    for entry, p in chosen:
        if uses >= 25:
            break
        factors.append((entry, p))
        q = f32((0.01 * 0.5 + n * p) / (0.01 + n))
        if 0.3 <= q <= 0.7:
            continue
        for repeat in range(2 if entry.frequency > 1 else 1):
            if uses < 25:
                top, bottom = f32(top * q), f32(bottom * f32(1 - q))
                uses += 1
                if repeat:
                    factors.append((entry, p))
    if not uses:
        return 0.0, factors
    spammy = 1 - bottom ** (1 / uses)
    innocent = 1 - top ** (1 / uses)
    if spammy + innocent == 0:
        return float("nan"), factors
    return f32(((spammy - innocent) / (spammy + innocent) + 1) / 2), factors


def chi_square(entries: list[Entry], options: ScoreOptions) -> tuple[float, Factors]:
    """4.5: Fisher's method over all tokens that are decided."""
    factors: Factors = []
    ln_s = ln_h = 0.0
    for entry in entries:
        if entry.pattern:
            continue
        fw, n = entry.probability, entry.spam + entry.innocent
        if options.pvalue != "robinson":
            fw = (0.05 + n * fw) / (0.1 + n)
        if abs(0.5 - fw) > 0.45:
            ln_s += math.log(1 - fw)
            ln_h += math.log(fw)
            factors.append((entry, entry.probability))
    if not factors:
        return f32(0.401), factors
    a = 1 - chi2q(-2 * ln_s, 2 * len(factors))
    b = 1 - chi2q(-2 * ln_h, 2 * len(factors))
    return f32((a - b + 1) / 2), factors


def chi2q(x: float, v: int) -> float:
    """The chance that chi-square with v degrees of freedom exceeds x."""
    m = x / 2
    total = term = math.exp(-m)
    for j in range(1, v // 2):
        term *= m / j
        total += term
    return min(total, 1.0)


def naive(
    entries: list[Entry], chosen: list[tuple[Entry, float]], options: ScoreOptions
) -> tuple[float, Factors]:
    """4.6: the product over all tokens; strictly, one token's p again and again (Q-N1)."""
    if not options.strict:
        data = [(entry, entry.probability) for entry in entries if not entry.pattern]
        distance = sum(math.log(1 - p) - math.log(p) for _, p in data)
        return f32(1 / (1 + math.exp(min(distance, 700.0)))), data
    p = chosen[-1][1] if chosen else 0.5
    top = bottom = 1.0
    for _ in range(len(entries) + options.control_token):
        top, bottom = f32(top * p), f32(bottom * (1 - p))
    return _share(top, bottom), [(entry, p) for entry in entries]


@dataclass
class Verdict:
    spam: bool
    probability: float
    confidence: float
    factors: Factors


def combine(entries: list[Entry], options: ScoreOptions, lesson: Lesson | None) -> Verdict:
    """4.7: the algorithm that decides, and the reported probability."""
    chosen = [(item.entry, item.entry.probability) for item in reversed(interesting(entries, options))]
    if lesson:
        told = 1.0 if lesson.label is Label.SPAM else 0.0
        chosen = [(entry, told) for entry, _ in chosen]
    mean, mean_factors = robinson(chosen)
    factors: Factors = []
    if lesson:
        spam, probability = bool(told), told
    else:
        results = {
            "naive": naive(entries, chosen, options),
            "graham": graham(chosen),
            "burton": burton(chosen),
            "robinson": (mean, mean_factors),
            "chi-square": chi_square(entries, options),
        }
        enabled = {name: result for name, result in results.items() if name in options.algorithms}
        spam, probability, factors = decide(enabled, options)
    if options.pvalue == "markov":
        confidence = probability if spam else f32(1 - probability)
    else:
        confidence = mean if spam else f32(1 - mean)
    return Verdict(spam, probability, confidence, factors)


def decide(results: dict[str, tuple[float, Factors]], options: ScoreOptions) -> tuple[bool, float, Factors]:
    probability: float | None = None
    factors: Factors | None = None
    for name, (value, its_factors) in results.items():
        threshold = {"robinson": 0.5, "chi-square": 0.5010}.get(name, 0.9)
        fires = value > 0.5 if options.pvalue == "markov" else value >= threshold
        if not fires:
            continue
        if name in ("naive", "graham", "burton") or probability is None:
            probability = f32(value)
        if name in ("naive", "graham") or factors is None:
            factors = its_factors
    if probability is not None and factors is not None:
        return True, probability, factors
    if not results:
        return False, -1.0, []
    (first, _), *_ = results.values()
    *_, (_, last) = results.values()
    return False, f32(first), last
