"""The scorers with weights: logistic regression, alone or beside counters, over hashed features.

`joint` asks two experts about the features of the modern view: logistic regression, which ranks mail best
once it has seen much, and counters of each feature, which make the fewest mistakes while it has seen
little.  Both live in one table of slots (`_weights`), which the store keeps as a block.  `logistic` is the
first expert alone.

A lesson is a sum of integers.  The store keeps it with the signature, so a correction takes back exactly what
was added, whatever came between.  The sender (automatic whitelist) stays a token with hits, as in DSPAM.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator

from dspamd.engine import _weights
from dspamd.engine._weights import Evidence, Table
from dspamd.engine.changes import joined
from dspamd.engine.model import (
    Explained,
    Factor,
    Hits,
    Label,
    Learned,
    Lesson,
    Result,
    ScoreOptions,
    Snapshot,
    Source,
    TokenChange,
    TokenOptions,
)
from dspamd.engine.modes import effective, totals_change
from dspamd.engine.tokenizer import FEATURES_MARK, Tokens

FACTORS = 15
"""Features that `X-DSPAM-Factors` shows, as many as Graham's formula uses."""

_TEMPER = 1.5  # log-odds are this many times too sure; it gives the least log loss
_DOUBT = 4  # lessons of the rarer class at which confidence is half of what the odds say
_SENDER_SHARE = 15  # innocent messages for each spam of a sender who passes (engine.md 6.2)
_ALWAYS = 1e9  # a margin within which everything lies

_SENDER_BYTES = 8  # of the sender's token, which follows the mark of a signature; 0: there is none

_EMPTY = Table()


class Weighted:
    """A scorer with weights; `counted`: counters have a say beside them."""

    view = "modern"

    def __init__(self, block: str, *, counted: bool) -> None:
        self.block, self._counted = block, counted

    def wanted(self, tokens: Tokens) -> array[int]:
        """The tokens whose hits count: that of the sender."""
        return array("Q", [] if tokens.whitelist is None else [tokens.whitelist])

    def weights(self, base: bytes) -> Table:
        """The base of a block as a table.  Raises ValueError if it is damaged."""
        return Table.read(base)

    def score(
        self, tokens: Tokens, snapshot: Snapshot, options: ScoreOptions, lesson: Lesson | None = None
    ) -> WeightedRun:
        sender = -1 if tokens.whitelist is None else tokens.index(tokens.whitelist)
        evidence = Evidence(tokens.values, _tables(snapshot), sender, self._counted)
        return WeightedRun(tokens, snapshot, options, lesson, evidence)

    def recall(self, signature: bytes, options: TokenOptions) -> Tokens:
        """The features that a signature keeps; none, if it is that of another scorer."""
        if not signature.startswith(FEATURES_MARK):
            return Tokens.recalled(array("Q"))
        at = len(FEATURES_MARK) + _SENDER_BYTES
        sender = int.from_bytes(signature[len(FEATURES_MARK) : at], "little")
        return Tokens.recalled(_weights.unpacked(signature[at:]), sender or None)

    def take_back(self, applied: Learned) -> Learned:
        return applied.negated()._replace(block=_weights.negated(applied.block))

    def join(self, first: Learned, second: Learned) -> Learned:
        """Two changes as one: records of a block stand one behind the other."""
        counters = joined(first._replace(block=b""), second._replace(block=b""))
        return counters._replace(block=first.block + second.block)


class WeightedRun:
    """One message scored by weights for one user."""

    patterns: array[int] | None = None

    def __init__(
        self,
        tokens: Tokens,
        snapshot: Snapshot,
        options: ScoreOptions,
        lesson: Lesson | None,
        evidence: Evidence,
    ) -> None:
        if lesson is not None and options.classify_only:
            raise ValueError("a message is either classified or taught")
        self._tokens, self._options, self._lesson, self._evidence = tokens, options, lesson, evidence
        self._rules = effective(snapshot.totals, options, lesson)
        self.result = self._verdict(snapshot.hits)
        self._label = Label.SPAM if self.result.spam else Label.INNOCENT
        block = self._block()
        if lesson is None and self._rules.unsure is not None and block:
            self._rules = self._rules.unsure
        self.learned = self._learned(block)
        # Steps cannot be found again later, so the store keeps those of any mode with the signature.
        self.provisional = lesson is None and bool(block)

    def __len__(self) -> int:
        return len(self._tokens)

    def weigh(self, hits: Hits) -> None:
        """Raises RuntimeError: there are no patterns."""
        raise RuntimeError("there are no patterns to weigh")

    def _verdict(self, hits: Hits) -> Result:
        if self._lesson is not None:
            spam = self._lesson.label is Label.SPAM
            return Result(spam, "Spam" if spam else "Innocent", 1.0 if spam else 0.0, 0.0)
        logit = self._evidence.logit
        probability = 1 / (1 + math.exp(-max(-700.0, min(700.0, logit / _TEMPER))))
        known = self._evidence.experience / (self._evidence.experience + _DOUBT)
        confidence = abs(2 * probability - 1) * known
        if logit > 0 and not (self._options.whitelist and self._known_sender(hits)):
            return Result(True, "Spam", probability, confidence)
        name = "Whitelisted" if self._options.whitelist and self._known_sender(hits) else "Innocent"
        return Result(False, name, probability, confidence)

    def _known_sender(self, hits: Hits) -> bool:
        """Whether the sender wrote much innocent mail and hardly any spam (engine.md 6.2)."""
        innocent, spam = sum(hits.innocent), sum(hits.spam)
        return innocent > self._options.whitelist_threshold and spam <= innocent // _SENDER_SHARE

    def _block(self) -> bytes:
        """What the message teaches the table; empty: nothing."""
        lesson, rules, spam = self._lesson, self._rules, self._label is Label.SPAM
        if self._options.classify_only or not rules.learns:
            return b""
        if lesson is not None and lesson.unlearn:
            return _weights.negated(self._evidence.lesson(spam, _ALWAYS))
        if lesson is not None:
            return self._evidence.lesson(spam)
        if rules.unsure is not None:
            return self._evidence.lesson(spam, self._options.margin)
        return self._evidence.lesson(spam, _ALWAYS) if rules.learns_mail else b""

    def _learned(self, block: bytes) -> Learned:
        # Where a lesson comes from matters in strict compatibility alone, which knows no weights.
        totals = totals_change(self._label, self._lesson, self._rules, self._options, by_signature=True)
        return Learned(totals, self._sender_change(), block)

    def _sender_change(self) -> TokenChange:
        """The change of the hits of the sender, which every message moves (engine.md 7.5)."""
        sender, lesson = self._tokens.whitelist, self._lesson
        if sender is None or not self._rules.learns or self._options.classify_only:
            return TokenChange.none()
        mine = -1 if lesson is not None and lesson.unlearn else 1
        corrects = lesson is not None and lesson.source is Source.ERROR and not lesson.unlearn
        other = -1 if corrects and self._rules.takes_back else 0
        spam, innocent = (mine, other) if self._label is Label.SPAM else (other, mine)
        return TokenChange(array("Q", [sender]), array("i", [spam]), array("i", [innocent]))

    def _shares(self) -> Iterator[tuple[float, int, int, int]]:
        for part in range(self._evidence.length):
            feature, spam, innocent, share = self._evidence.share(part)
            yield share, feature, spam, innocent

    @property
    def factors(self) -> list[Factor]:
        """The features with most weight for either side, each with the probability that it gives alone."""
        if self._lesson is not None:
            return []
        most = sorted(self._shares(), key=lambda share: -abs(share[0]))[:FACTORS]
        return [Factor(self._tokens.name(feature), _probability(share)) for share, feature, _, _ in most]

    @property
    def factor_count(self) -> int:
        """How many features `factors` shows."""
        return 0 if self._lesson is not None else min(FACTORS, self._evidence.length)

    def explain(self, most: int | None = None) -> list[Explained]:
        """The features of the message, the weightiest first: all, or `most` of them."""
        shares = sorted(self._shares(), key=lambda share: -abs(share[0]))[:most]
        return [
            Explained(self._tokens.name(feature), spam, innocent, _probability(share))
            for share, feature, spam, innocent in shares
        ]

    @property
    def signature(self) -> bytes:
        """The sender's token and the features, 4 bytes each."""
        sender = self._tokens.whitelist
        at = -1 if sender is None else self._tokens.index(sender)
        head = FEATURES_MARK + (sender or 0).to_bytes(_SENDER_BYTES, "little")
        return head + _weights.packed(self._tokens.values, at)


def _tables(snapshot: Snapshot) -> tuple[Table, ...]:
    """The tables of an owner, and of those whose knowledge is added; raises TypeError for other weights."""
    tables = tuple(table for table in snapshot.weights if isinstance(table, Table))
    if len(tables) != len(snapshot.weights):
        raise TypeError("weights of another scorer")
    return tables or (_EMPTY,)


def _probability(logit: float) -> float:
    return 1 / (1 + math.exp(-max(-700.0, min(700.0, logit))))


JOINT = Weighted("joint", counted=True)
LOGISTIC = Weighted("logistic", counted=False)
