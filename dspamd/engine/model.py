"""The input and output values of the engine.

Counters travel packed: arrays of token numbers and hits, never an object per
token.  A token is the 64-bit number of reference/engine.md 2.1; "hits" are the
messages of one class that contained it.

Everything here is a plain value; the arithmetic lives in the kernel.
"""

from __future__ import annotations

import enum
from array import array
from dataclasses import dataclass
from typing import NamedTuple


class Label(enum.Enum):
    """The class of a message, as its user says."""

    SPAM = "spam"
    INNOCENT = "innocent"

    __hash__ = object.__hash__  # that of Enum runs Python code with each look-up in a table

    @property
    def opposite(self) -> Label:
        return Label.INNOCENT if self is Label.SPAM else Label.SPAM


class Source(enum.Enum):
    """Why a user teaches a message: to correct us, from a corpus, or to inoculate."""

    ERROR = "error"
    CORPUS = "corpus"
    INOCULATION = "inoculation"


class Mode(enum.Enum):
    """When we learn by ourselves (engine.md 7.1)."""

    TEFT = "teft"
    TOE = "toe"
    TUM = "tum"
    TONE = "tone"
    NOTRAIN = "notrain"

    __hash__ = object.__hash__  # as for Label


class Lesson(NamedTuple):
    """A label and the reason for it, as `--class` and `--source` say.

    `unlearn` takes back an earlier lesson of the same label (engine.md 7.10).
    """

    label: Label
    source: Source
    unlearn: bool = False


class Totals(NamedTuple):
    """The eight message counters of a user, in the order every store keeps them.

    Also used for changes to them, where values may be negative.
    """

    spam_learned: int = 0
    innocent_learned: int = 0
    spam_misclassified: int = 0
    innocent_misclassified: int = 0
    spam_corpusfed: int = 0
    innocent_corpusfed: int = 0
    spam_classified: int = 0
    innocent_classified: int = 0

    def plus(self, change: Totals) -> Totals:
        """These totals after a change; no counter falls below zero."""
        return Totals(*(max(0, a + b) for a, b in zip(self, change, strict=True)))

    def joined(self, change: Totals) -> Totals:
        """Two changes as one."""
        return Totals(*(a + b for a, b in zip(self, change, strict=True)))

    def negated(self) -> Totals:
        return Totals(*(-a for a in self))


class Hits(NamedTuple):
    """Counters of the tokens that a store knows: parallel arrays, any order.

    Tokens the store has never seen are simply absent.  Those that are there twice,
    from two dictionaries, have the sum.
    """

    tokens: array[int]  # 'Q'
    spam: array[int]  # 'Q'
    innocent: array[int]  # 'Q'

    @classmethod
    def none(cls) -> Hits:
        return cls(array("Q"), array("Q"), array("Q"))

    def joined(self, other: Hits) -> Hits:
        """The hits in two dictionaries together."""
        return Hits(*(a + b for a, b in zip(self, other, strict=True)))


class Snapshot(NamedTuple):
    """What the store knows of a user and the tokens of a message, before the message is scored.

    `weights` is what a scorer made of the user's block, and of those that are added to it; only that
    scorer knows what it is.
    """

    totals: Totals
    hits: Hits
    weights: tuple[object, ...] = ()

    def joined(self, other: Snapshot) -> Snapshot:
        """Two dictionaries together (merged groups)."""
        totals, hits = self.totals.plus(other.totals), self.hits.joined(other.hits)
        return Snapshot(totals, hits, self.weights + other.weights)


class TokenChange(NamedTuple):
    """Signed changes of token hits: parallel arrays, tokens in iteration order."""

    tokens: array[int]  # 'Q'
    spam: array[int]  # 'i'
    innocent: array[int]  # 'i'

    @classmethod
    def none(cls) -> TokenChange:
        return cls(array("Q"), array("i"), array("i"))

    def negated(self) -> TokenChange:
        return TokenChange(
            self.tokens,
            array("i", (-n for n in self.spam)),
            array("i", (-n for n in self.innocent)),
        )


class Learned(NamedTuple):
    """The changes that one run makes in the user's dictionary.

    `block` is what it appends to the block of its scorer, who alone understands it; empty: nothing.
    """

    totals: Totals
    tokens: TokenChange
    block: bytes = b""

    @classmethod
    def nothing(cls) -> Learned:
        return cls(Totals(), TokenChange.none())

    @property
    def block_only(self) -> Learned:
        """The change of the block alone; counters stay as they are."""
        return Learned(Totals(), TokenChange.none(), self.block)

    def negated(self) -> Learned:
        """The changes of counters that take these back, with the block as it is (`Scorer.take_back`)."""
        return Learned(self.totals.negated(), self.tokens.negated(), self.block)


class Factor(NamedTuple):
    """A token that decided, by name, with its probability (single precision)."""

    name: bytes
    value: float


class Explained(NamedTuple):
    """A token of a message, with its hits and its probability in the user's dictionary.

    Of a scorer that adds up evidence it is a reason, whose points are added to those of others (`reasons`).
    """

    name: bytes
    spam: int
    innocent: int
    probability: float
    points: float = 0.0


@dataclass(frozen=True, slots=True)
class TokenOptions:
    """The settings that decide which tokens a message has; equal options, equal tokens."""

    tokenizer: str = "chain"  # word, chain, sbph, osb
    url_context: bool = False
    whitelist: bool = False
    noise: bool = False  # keep the ordered streams that noise reduction walks
    ignore_headers: frozenset[bytes] = frozenset()  # lower case
    document: bool = False  # text without headers, not mail
    view: str = "classic"  # a name of dspamd.mail.views
    our_hosts: frozenset[bytes] = frozenset()  # whose Authentication-Results are believed; lower case


@dataclass(frozen=True, slots=True)
class ScoreOptions:
    """The settings that decide how tokens become a verdict (engine.md 3 to 7)."""

    algorithms: frozenset[str] = frozenset({"graham", "burton"})  # naive robinson chi-square
    pvalue: str = "bcr"  # bcr, robinson, markov
    mode: Mode = Mode.TEFT
    margin: float = 1.0  # of mode tone, as a multiple of the scorer's own; 0: learn errors only
    bias: bool = False
    noise: bool = False
    whitelist: bool = False
    whitelist_threshold: int = 10
    sedation: int = 0  # the training buffer, tb=0..10
    occurrence: bool = False  # ProcessorWordFrequency occurrence
    classify_only: bool = False  # --classify: nothing may be learned
    strict: bool = False  # reproduce what the reference marks "fix"
    control_token: bool = False  # be strict as the original was with SQL stores, which add that token (7.6)


class Result(NamedTuple):
    """The verdict of the statistics on one message."""

    spam: bool
    name: str  # Spam, Innocent, Whitelisted: the word of X-DSPAM-Result
    probability: float
    confidence: float
