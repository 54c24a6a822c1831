"""What an examination of a site finds: a fact, why it matters, and what mends it.

Whoever knows a subject makes its diagnoses: the drivers those of their servers, `doctor` the others.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable
from dataclasses import dataclass


class Severity(enum.StrEnum):
    """`PROBLEM`: mail waits, or is handled otherwise than it should be, now or soon.

    `ADVICE`: it works, and could work better, or an administrator should look.  `FINE`: nothing to do.
    """

    PROBLEM = "problem"
    ADVICE = "advice"
    FINE = "fine"


Mend = Callable[[], Awaitable[str]]
"""Does the cure, where a program can do that safely; returns what it did.  Raises OSError, `Failure`."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One fact.  What is fine needs neither `why` (it matters) nor `cure` (a command, or what to change)."""

    severity: Severity
    what: str
    why: str = ""
    cure: str = ""
    mend: Mend | None = None


def problem(what: str, why: str, cure: str, mend: Mend | None = None) -> Diagnosis:
    return Diagnosis(Severity.PROBLEM, what, why, cure, mend)


def advice(what: str, why: str, cure: str, mend: Mend | None = None) -> Diagnosis:
    return Diagnosis(Severity.ADVICE, what, why, cure, mend)


def fine(what: str) -> Diagnosis:
    return Diagnosis(Severity.FINE, what)
