"""The scorers with weights: logistic regression, alone or beside counters, over hashed features.

`joint` asks three experts about the features of the modern view: logistic regression, which ranks mail
best once it has seen much; counters of each feature, which make the fewest mistakes while it has seen
little; and logistic regression over the words alone.  They live in one table of slots (`_weights`),
which the store keeps as a block.  `logistic` asks no counters.  A message of which much is unknown has a
probability nearer to one half.

Somebody who has reported spam alone taught what spam has, and what all mail has.  So nothing is spam before
some ham is known, and little while it is much less than the spam (`Evidence.lopsided`).

A lesson is a sum of integers.  The store keeps it with the signature, so a correction takes back exactly what
was added, whatever came between.  The sender (automatic whitelist) stays a token with hits, as in DSPAM.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator
from functools import cached_property

from dspamd.engine import _weights
from dspamd.engine._weights import Evidence, Table
from dspamd.engine.arrival import unmarked
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
from dspamd.engine.reasons import POINTS, Balance, Share, factors, merged, probability
from dspamd.engine.tokenizer import FEATURES_MARK, Tokens
from dspamd.mail._features import AREAS

_DOUBT = 4  # lessons of the rarer class at which confidence is half of what the odds say
_SENDER_SHARE = 15  # innocent messages for each spam of a sender who passes (engine.md 6.2)
_BELIEVED = 6  # lessons of ham from which on mode tone learns verdicts of spam: counters confirm early ones
_ALWAYS = 1e9  # a margin that includes everything

_GROUP_SHIFT = 60  # of the bits of a feature that are its group

_SENDER_BYTES = 8  # of the sender's token, which follows the mark of a signature; 0: there is none

_EMPTY = Table()


class Weighted:
    """A scorer with weights; `counted`: counters count beside them.

    Log-odds of a message that is known well are `temper` times too sure; it gives the least log loss.
    """

    view = "modern"

    def __init__(self, block: str, *, counted: bool, temper: float) -> None:
        self.block, self.counted, self.temper = block, counted, temper

    def wanted(self, tokens: Tokens) -> array[int]:
        """The tokens whose hits count: that of the sender."""
        return array("Q", [] if tokens.whitelist is None else [tokens.whitelist])

    def weights(self, base: bytes) -> Table:
        """The base of a block as a table.  Raises ValueError if it is damaged."""
        return Table.read(base)

    def score(
        self, tokens: Tokens, snapshot: Snapshot, options: ScoreOptions, lesson: Lesson | None = None
    ) -> WeightedRun:
        return WeightedRun(tokens, snapshot, options, lesson, self)

    def recall(self, signature: bytes, options: TokenOptions) -> Tokens:
        """The features that a signature keeps; none, if it is that of another scorer."""
        if not signature.startswith(FEATURES_MARK):
            return Tokens.recalled(array("Q"))
        at = len(FEATURES_MARK) + _SENDER_BYTES
        sender = int.from_bytes(signature[len(FEATURES_MARK) : at], "little")
        return Tokens.recalled(_weights.unpacked(unmarked(signature)[at:]), sender or None)

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
        scorer: Weighted,
    ) -> None:
        if lesson is not None and options.classify_only:
            raise ValueError("a message is either classified or taught")
        self._tokens, self._options, self._lesson, self._scorer = tokens, options, lesson, scorer
        self._tables = _tables(snapshot)
        self._evidence = self._asked(self._tables)
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

    def _asked(self, tables: tuple[Table, ...]) -> Evidence:
        """What tables say of the features; the sender is none."""
        sender = self._tokens.whitelist
        at = -1 if sender is None else self._tokens.index(sender)
        return Evidence(self._tokens.values, tables, at, self._scorer.counted)

    def weigh(self, hits: Hits) -> None:
        """Raises RuntimeError: there are no patterns."""
        raise RuntimeError("there are no patterns to weigh")

    def _verdict(self, hits: Hits) -> Result:
        if self._lesson is not None:
            spam = self._lesson.label is Label.SPAM
            return Result(spam, "Spam" if spam else "Innocent", 1.0 if spam else 0.0, 0.0)
        logit = self._evidence.logit
        believed = max(min(logit, 0.0), logit - self._evidence.lopsided)
        chance = probability(believed * self._evidence.familiar / self._scorer.temper)
        known = self._evidence.experience / (self._evidence.experience + _DOUBT)
        confidence = abs(2 * chance - 1) * known
        if logit > self._evidence.threshold and not (self._options.whitelist and self._known_sender(hits)):
            return Result(True, "Spam", chance, confidence)
        name = "Whitelisted" if self._options.whitelist and self._known_sender(hits) else "Innocent"
        return Result(False, name, chance, confidence)

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
            return _weights.negated(self._evidence.lesson(spam, _ALWAYS, turns=False))
        if lesson is not None:
            return self._evidence.lesson(spam)
        if rules.unsure is not None and spam and self._too_early:
            return b""
        if rules.unsure is not None:
            return self._evidence.lesson(spam, self._options.margin)
        return self._evidence.lesson(spam, _ALWAYS) if rules.learns_mail else b""

    @property
    def _too_early(self) -> bool:
        return self._scorer.counted and self._evidence.innocent < _BELIEVED

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

    @cached_property
    def _reasons(self) -> list[Explained]:
        return merged(self._shares())

    def _shares(self) -> Iterator[Share]:
        for part in range(self._evidence.length):
            i, spam, innocent, logit = self._evidence.share(part)
            yield Share(
                self._tokens.name(i), self._tokens.topic(i), spam, innocent, logit / self._scorer.temper
            )

    @property
    def factors(self) -> list[Factor]:
        """The sum of all features, and those with most weight for either side."""
        balance = self.balance
        return [] if balance is None else factors(self._reasons, balance, self.result.probability)

    @property
    def factor_count(self) -> int:
        """How many lines `factors` shows."""
        return len(self.factors)

    def explain(self, most: int | None = None) -> list[Explained]:
        """The features of the message, the weightiest first: all, or `most` of them."""
        shares = sorted(self._shares(), key=lambda share: -abs(share.logit))[:most]
        return [
            Explained(share.name, share.spam, share.innocent, probability(share.logit)) for share in shares
        ]

    def reasons(self, most: int | None = None) -> list[Explained]:
        """What the features say, without repetition, the strongest first: all, or `most` of it."""
        return self._reasons[:most]

    @property
    def balance(self) -> Balance | None:
        """How the points of all features add up; None for a lesson."""
        if self._lesson is not None:
            return None
        points = POINTS / self._scorer.temper
        own, shares = self._tables[0], [self._evidence.share(part) for part in range(self._evidence.length)]
        values, areas = self._tokens.values, dict.fromkeys(AREAS.values(), 0.0)
        for i, _, _, logit in shares:
            areas[AREAS[values[i] >> _GROUP_SHIFT]] += points * logit
        return Balance(
            points * math.fsum(share[-1] for share in shares if share[-1] > 0),
            points * math.fsum(share[-1] for share in shares if share[-1] < 0),
            points * self._evidence.threshold,
            points * (self._evidence.logit - self._asked((own,)).logit),
            (own.spam, own.innocent),
            tuple(areas.items()),
        )

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


JOINT = Weighted("joint", counted=True, temper=1.2)
LOGISTIC = Weighted("logistic", counted=False, temper=0.6)
