"""The report of an examination, for people and for programs."""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence

import dspamd
from dspamd.diagnosis import Severity
from dspamd.doctor.examination import Examined

_WIDTH = 110  # columns


def healthy(found: Sequence[Examined]) -> bool:
    """Whether there is no problem; advice may wait."""
    return all(each.diagnosis.severity is not Severity.PROBLEM for each in found)


def text(found: Sequence[Examined]) -> str:
    """For people: what is wrong comes last, since that is where a terminal ends."""
    ranked = sorted(found, key=lambda each: list(Severity).index(each.diagnosis.severity), reverse=True)
    counted = Counter(each.diagnosis.severity for each in found)
    summary = (
        f"{_number(counted[Severity.PROBLEM], 'problem')}, "
        f"{_number(counted[Severity.ADVICE], 'piece')} of advice, {counted[Severity.FINE]} fine"
    )
    return "\n".join([*(line for each in ranked for line in _lines(each)), summary, ""])


def _lines(examined: Examined) -> Iterator[str]:
    subject, diagnosis, *_ = examined
    yield from _wrapped(f"{diagnosis.severity:9}", f"{subject}: {diagnosis.what}")
    if diagnosis.why:
        yield from _wrapped("   why:   ", diagnosis.why)
    if diagnosis.cure:  # commands stay in one piece
        first, *others = diagnosis.cure.splitlines()
        yield f"   do:    {first}"
        yield from (f"          {line}" for line in others)
        yield ""


def _wrapped(start: str, words: str) -> list[str]:
    """Some prose, with lines that begin below its first word."""
    indent = " " * len(start)
    return textwrap.wrap(
        words, _WIDTH, initial_indent=start, subsequent_indent=indent, break_long_words=False
    )


def _number(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def as_json(found: Sequence[Examined], done: Sequence[str] = ()) -> str:
    """For programs; dspam_admin(1) describes it."""
    findings = [
        {
            "subject": subject,
            "severity": diagnosis.severity,
            "what": diagnosis.what,
            "why": diagnosis.why,
            "cure": diagnosis.cure,
            "fixable": diagnosis.mend is not None,
        }
        for subject, diagnosis, *_ in found
    ]
    whole = {
        "version": dspamd.__version__,
        "healthy": healthy(found),
        "findings": findings,
        "fixed": list(done),
    }
    return json.dumps(whole, indent=2) + "\n"
