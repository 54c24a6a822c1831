"""The scorers: what the names of `Algorithm` stand for.

A scorer turns the tokens of a message, and what a store knows of them, into a verdict and a lesson.
It says what it needs to know of a user, and it can take back what it taught.  The pipeline and the
commands ask this registry; they know no scorer by its name.

To add a scorer, write a class like `Classic` and name it in `SCORERS`.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
from typing import Protocol, Self

from dspamd.engine import _kernel
from dspamd.engine.changes import joined
from dspamd.engine.joint import JOINT, LOGISTIC
from dspamd.engine.model import (
    Explained,
    Factor,
    Hits,
    Learned,
    Lesson,
    Result,
    ScoreOptions,
    Snapshot,
    TokenOptions,
)
from dspamd.engine.reasons import Balance
from dspamd.engine.tokenizer import Tokens, tokens_from_signature


class Run(Protocol):
    """One message scored for one user: the verdict, and what the message teaches.

    If `patterns` is not None, the caller reads the hits of these tokens too and gives them to `weigh`
    before it asks for anything else.
    """

    def __len__(self) -> int:
        """The number of tokens that are scored."""

    @property
    def patterns(self) -> array[int] | None:
        """Further tokens whose hits are needed, array('Q')."""

    def weigh(self, hits: Hits) -> None:
        """Go on with the hits of the patterns.  Raises RuntimeError if there are none."""

    @property
    def result(self) -> Result:
        """The verdict."""

    @property
    def factors(self) -> list[Factor]:
        """The tokens that decided, as many as a header can show; empty for lessons."""

    @property
    def factor_count(self) -> int:
        """How many tokens decided."""

    @property
    def learned(self) -> Learned:
        """What the message teaches; changes are signed and not cut at zero."""

    @property
    def provisional(self) -> bool:
        """Whether the store keeps `learned` with the signature, as a correction in force (mode tone).

        The label is that of the verdict.  The correction of the user takes exactly that back.
        """

    @property
    def signature(self) -> bytes:
        """What the store keeps, so that the user can correct the verdict later."""

    def explain(self, most: int | None = None) -> list[Explained]:
        """The tokens of the message, the most interesting first: all, or `most` of them."""

    def reasons(self, most: int | None = None) -> list[Explained]:
        """What the verdict rests on, the strongest first: all, or `most` of it.

        These are the tokens; if a scorer adds up evidence, what they say without repetition, in points.
        """

    @property
    def balance(self) -> Balance | None:
        """How the points of all reasons add up; None for formulas that do not add, and for lessons."""


class Weights(Protocol):
    """What a scorer knows of an owner, made from the owner's block."""

    @property
    def memory(self) -> int:
        """Bytes of memory that it takes."""

    def add(self, change: bytes) -> None:
        """Add a change, as `Learned.block` has it.  Raises ValueError, and adds nothing, if it is damaged."""

    def merge(self, other: Self) -> None:
        """Add what another owner's weights know."""

    def copy(self) -> Weights: ...

    def seed(self) -> Weights:
        """Weights for others to begin with: what they learn themselves soon counts more."""

    def write(self) -> bytes:
        """The base of a block with all that was added."""


class Scorer(Protocol):
    """A way to turn tokens into a verdict."""

    @property
    def view(self) -> str | None:
        """The view that it reads, a name of `dspamd.mail.views`; None: any, as MessageView says."""

    @property
    def block(self) -> str | None:
        """The name of the block that its lessons change; None: it has none."""

    def wanted(self, tokens: Tokens) -> array[int]:
        """The tokens whose hits it needs, array('Q')."""

    def weights(self, base: bytes) -> Weights:
        """What the base of its block says; empty: nothing is known.  Raises ValueError if it is damaged."""

    def score(
        self, tokens: Tokens, snapshot: Snapshot, options: ScoreOptions, lesson: Lesson | None = None
    ) -> Run:
        """Score a message, or the lesson that a user gives about it.

        Raises ValueError for options that contradict each other.
        """

    def recall(self, signature: bytes, options: TokenOptions) -> Tokens:
        """The tokens that a signature keeps."""

    def take_back(self, applied: Learned) -> Learned:
        """What undoes a lesson; `applied` is the change that the lesson made in effect, with its block."""

    def join(self, first: Learned, second: Learned) -> Learned:
        """Two changes as one, blocks included."""


class Classic:
    """DSPAM's own scorers: probabilities of single tokens, combined by formulas (engine.md 3 to 7).

    Several formulas can be combined: each is asked, and any of them can say spam (4.7).
    """

    view: str | None = None
    block: str | None = None

    def score(
        self, tokens: Tokens, snapshot: Snapshot, options: ScoreOptions, lesson: Lesson | None = None
    ) -> Run:
        return _kernel.Run(tokens, snapshot, options, lesson)

    def wanted(self, tokens: Tokens) -> array[int]:
        return tokens.values

    def weights(self, base: bytes) -> Weights:
        raise ValueError("counters are no weights")

    def recall(self, signature: bytes, options: TokenOptions) -> Tokens:
        return tokens_from_signature(signature, options)

    def take_back(self, applied: Learned) -> Learned:
        return applied.negated()

    def join(self, first: Learned, second: Learned) -> Learned:
        return joined(first, second)


class Confidence(Classic):
    """All tokens vote, each as much as it is to be trusted, on the counters of the classic scorers.

    It reads the same counters and teaches them alike, so a site can change between them at any time.
    PValue, sedation, noise reduction and frequencies mean nothing to it; with bias it takes a
    message that leans to spam but little for innocent.  Senders pass as always.
    """


CLASSIC = Classic()
CONFIDENCE = Confidence()

SCORERS: Mapping[str, Scorer] = {
    **dict.fromkeys(_kernel.FORMULAS, CLASSIC),
    _kernel.CONFIDENT: CONFIDENCE,
    "logistic": LOGISTIC,
    "joint": JOINT,
}
"""The scorer that each value of `Algorithm` stands for."""


def scorer(algorithms: Iterable[str], registry: Mapping[str, Scorer] = SCORERS) -> Scorer:
    """The scorer that these values of `Algorithm` stand for together; the classic one if there are none.

    Raises ValueError for an unknown name, and for names of scorers that cannot be combined.
    """
    names = sorted(algorithms)
    if unknown := [name for name in names if name not in registry]:
        raise ValueError(f"unknown algorithm {unknown[0]}")
    first, *others = [registry[name] for name in names] or [CLASSIC]
    if any(other is not first for other in others):
        raise ValueError(f"algorithms that cannot be combined: {' '.join(names)}")
    return first


def view_of(algorithms: Iterable[str]) -> str | None:
    """The view that one of these values of `Algorithm` asks for; None: any."""
    return next((view for name in algorithms if (view := SCORERS[name].view) is not None), None)
