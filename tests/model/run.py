"""One message from hits to verdict and lesson (reference/engine.md 6.2, 7 and 8.2).

`Reference` answers like `dspamd.engine.Run`, so that tests can hold the two
side by side.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Mapping
from dataclasses import replace

from dspamd.engine.model import (
    Label,
    Learned,
    Lesson,
    Mode,
    Result,
    ScoreOptions,
    Source,
    TokenChange,
    Totals,
)
from tests.model import noise
from tests.model.combination import Verdict, combine
from tests.model.probability import Scale
from tests.model.tokens import Entry, Table

Counts = Mapping[int, tuple[int, int]]
MARGIN = 0.8  # the confidence from which mode tone is sure


def effective_mode(totals: Totals, options: ScoreOptions, lesson: Lesson | None) -> Mode:
    """7.1 rule 2, and 7.10."""
    if lesson and lesson.unlearn:
        return Mode.TEFT
    few = totals.innocent_learned <= 100 or totals.spam_learned <= 100
    if options.mode is Mode.TOE and options.pvalue != "markov" and few:
        return Mode.TEFT
    return options.mode


class Reference:
    """A run over `table`; `counts` are the hits of every token known, patterns too."""

    def __init__(
        self,
        table: Table,
        totals: Totals,
        counts: Counts,
        options: ScoreOptions,
        lesson: Lesson | None = None,
        *,
        from_signature: bool = False,
    ) -> None:
        self.table, self.totals, self.counts = table, totals, counts
        self.lesson, self.from_signature = lesson, from_signature
        if lesson and options.classify_only:
            raise ValueError("a message is either classified or taught")
        self.mode = effective_mode(totals, options, lesson)
        self.options = replace(options, mode=self.mode)
        self.taught_by_signature = lesson is not None and from_signature
        self.load(table)
        self.entries: list[Entry] = []
        self.verdict = self.judge()
        self.spam = self.verdict.spam
        self.whitelisted = self.is_whitelisted()
        if self.whitelisted:
            self.spam = False
        if self.mode is Mode.TONE:
            self.mode = Mode.TEFT if self.is_unsure() else Mode.TOE

    def load(self, table: Table) -> None:
        for entry in table.entries.values():
            entry.spam, entry.innocent = self.counts.get(entry.value, (0, 0))

    def judge(self) -> Verdict:
        scale = Scale(self.options, self.totals, self.lesson, from_signature=self.from_signature)
        for entry in self.table.entries.values():
            entry.probability = scale(entry)
        if self.taught_by_signature:
            self.entries = self.table.iterate()
            spam = self.label is Label.SPAM
            return Verdict(spam, float(spam), 0.0, [])
        if self.options.noise and not self.from_signature:
            self.reduce_noise(scale)
        self.entries = self.table.iterate()
        return combine(self.entries, self.options, self.lesson)

    def reduce_noise(self, scale: Scale) -> None:
        innocent = self.totals.innocent_learned + self.totals.innocent_classified
        found, streams = noise.patterns(self.table, scale)
        self.load(found)
        total = next(entry for entry in found.entries.values() if entry.name == noise.TOTAL)
        if self.lesson is None and innocent > 2500:
            of_patterns = Scale(self.options, self.totals, None, (total.spam, total.innocent))
            noise.eliminate(self.table, found, streams, of_patterns)
        if innocent > 1000:
            noise.move(found, self.table)

    def is_whitelisted(self) -> bool:
        """6.2."""
        if not self.options.whitelist or self.lesson or self.table.whitelist is None:
            return False
        sender = self.table.entries[self.table.whitelist]
        return sender.innocent > self.options.whitelist_threshold and sender.spam <= sender.innocent // 15

    def is_unsure(self) -> bool:
        """Whether mode tone learns new mail: as teft does, and as toe if not."""
        known = self.totals.spam_learned if self.spam else self.totals.innocent_learned
        return self.lesson is None and (self.verdict.confidence < MARGIN * self.options.margin or not known)

    @property
    def label(self) -> Label:
        if self.lesson:
            return self.lesson.label
        return Label.SPAM if self.spam else Label.INNOCENT

    @property
    def source(self) -> Source | None:
        return self.lesson.source if self.lesson else None

    @property
    def unlearn(self) -> bool:
        return self.lesson is not None and self.lesson.unlearn

    @property
    def keep(self) -> bool:
        """7.3: whether a correction takes back the earlier lesson."""
        return self.mode not in (Mode.TOE, Mode.NOTRAIN)

    @property
    def result(self) -> Result:
        name = "Whitelisted" if self.whitelisted else "Spam" if self.spam else "Innocent"
        return Result(self.spam, name, self.verdict.probability, self.verdict.confidence)

    @property
    def factors(self) -> list[tuple[bytes, float]]:
        return [(entry.name, p) for entry, p in self.verdict.factors]

    @property
    def totals_change(self) -> Totals:
        """7.3."""
        spam = self.label is Label.SPAM
        zero = Totals()
        if self.options.classify_only or (self.mode is Mode.NOTRAIN and not self.strictly_taught):
            return zero
        if self.lesson is None and self.mode is Mode.TOE:
            return Totals(spam_classified=1) if spam else Totals(innocent_classified=1)
        if self.unlearn:
            innocent_defect = not spam and not self.from_signature and self.source is not Source.ERROR
            if innocent_defect and self.options.strict:
                return Totals(innocent_corpusfed=1)
            return Totals(spam_learned=-1) if spam else Totals(innocent_learned=-1)
        mine = "spam" if spam else "innocent"
        other = "innocent" if spam else "spam"
        change = zero._replace(**{mine + "_learned": 1})
        if self.source in (Source.CORPUS, Source.INOCULATION):
            change = change._replace(**{mine + "_corpusfed": 1})
        if self.source is Source.ERROR:
            change = change._replace(**{mine + "_misclassified": 1})
            if self.keep:
                change = change._replace(**{other + "_learned": -1})
        return change

    @property
    def strictly_taught(self) -> bool:
        """Q-T6: the original changed the totals of users that do not train."""
        return self.options.strict and self.lesson is not None

    @property
    def token_changes(self) -> dict[int, tuple[int, int]]:
        """7.4 for the entries that 7.5 writes."""
        return {entry.value: self.step(entry) for entry in self.entries if self.writes(entry)}

    @property
    def learned(self) -> Learned:
        """Both changes together, as a store takes them."""
        changes = self.token_changes
        spam, innocent = [s for s, _ in changes.values()], [i for _, i in changes.values()]
        packed = TokenChange(array("Q", changes), array("i", spam), array("i", innocent))
        return Learned(self.totals_change, packed)

    def step(self, entry: Entry) -> tuple[int, int]:
        """7.4: the change of the hits (spam, innocent) of one token."""
        control = self.options.control_token  # all known tokens get its step (7.6)
        c = entry.frequency if self.options.occurrence and not control else 1
        spam = self.label is Label.SPAM
        mine, other = (entry.spam, entry.innocent) if spam else (entry.innocent, entry.spam)
        inoculated = self.source is Source.INOCULATION and (spam or self.from_signature)
        if self.unlearn and not (inoculated and self.options.strict and not self.from_signature):
            here, there = -c, 0
        elif inoculated and control:
            here, there = (2 if mine or other else 1), 0
        elif inoculated:
            here, there = (5 if other < 2 and mine < 5 else 2), 0
        else:
            here, there = c, -c if self.source is Source.ERROR and self.keep else 0
        return (here, there) if spam else (there, here)

    def writes(self, entry: Entry) -> bool:
        """7.5."""
        if self.mode is Mode.NOTRAIN:
            return False
        if self.taught_by_signature:
            return True
        if self.options.classify_only and not (self.options.strict and self.mode is Mode.TOE):
            return False
        sender = entry.value == self.table.whitelist
        if self.lesson is None and self.mode is Mode.TOE and not (sender or entry.pattern):
            return False
        return (
            entry.pattern
            or self.mode is not Mode.TUM
            or self.source in (Source.ERROR, Source.INOCULATION)
            or entry.spam + entry.innocent < 50
            or sender
            or self.verdict.confidence < 0.70
        )

    @property
    def signature(self) -> bytes:
        """8.2."""
        return b"".join(struct.pack("<QB7x", entry.value, entry.frequency % 256) for entry in self.entries)
