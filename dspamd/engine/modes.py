"""The training modes: one table, a row for each mode (engine.md 7.1 to 7.5).

A row says which mail a mode learns without a lesson, what a correction takes back, and which counter a
message changes.  The kernel, the purge, the groups and the pipeline read the fields of a row; none of them
knows a mode by its name.

Changes of totals are signed and not cut at zero: the store adds them to counters that others may have
moved meanwhile, and cuts the sum.  The kernel (`training.pxi`) finds the changes of token hits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from dspamd.engine.model import Label, Lesson, Mode, ScoreOptions, Source, Totals

LEARNED = {Label.SPAM: Totals(spam_learned=1), Label.INNOCENT: Totals(innocent_learned=1)}
MISCLASSIFIED = {Label.SPAM: Totals(spam_misclassified=1), Label.INNOCENT: Totals(innocent_misclassified=1)}
CORPUSFED = {Label.SPAM: Totals(spam_corpusfed=1), Label.INNOCENT: Totals(innocent_corpusfed=1)}
CLASSIFIED = {Label.SPAM: Totals(spam_classified=1), Label.INNOCENT: Totals(innocent_classified=1)}
_UNCOUNTED = {Label.SPAM: Totals(), Label.INNOCENT: Totals()}

UNLIMITED = 2**63 - 1
"""A number of hits that no token reaches."""


@dataclass(frozen=True, slots=True)
class Rules:
    """A row of the table: the rules of one mode."""

    counted: Mapping[Label, Totals]
    """The counter that a new message moves, by the verdict (7.3)."""

    learns: bool = True
    """Lessons change the dictionary, and new mail leaves a signature that can be corrected."""

    learns_mail: bool = True
    """New mail changes the hits of its tokens; if not, only those of its sender and its patterns (7.5)."""

    takes_back: bool = True
    """A correction takes back the lesson of the wrong verdict (`keep` in 7.3)."""

    well_known: int = UNLIMITED
    """Hits from which a token learns no more, unless the user corrects us or the verdict is unsure (7.5)."""

    sure: float = 0.0
    """The confidence from which a verdict is sure, in that sense."""

    most_minimum: int = UNLIMITED
    """A token with as many hits always counts, whatever the sedation (3.1)."""

    startup: int = -1
    """Up to as many learned messages of either class the mode learns like teft (7.1 rule 2)."""

    unsure: Rules | None = None
    """The rules for new mail of whose verdict the scorer is not sure; None: the same."""

    provisional: bool = False
    """The store keeps what new mail teaches with its signature, as a correction in force: the user's own
    correction takes back exactly that, and then teaches."""


RULES: Mapping[Mode, Rules] = {
    Mode.TEFT: Rules(LEARNED),
    Mode.TOE: Rules(CLASSIFIED, learns_mail=False, takes_back=False, startup=100),
    Mode.TUM: Rules(LEARNED, well_known=50, sure=0.70, most_minimum=20),
    Mode.TONE: Rules(
        CLASSIFIED,
        learns_mail=False,
        takes_back=False,
        unsure=Rules(LEARNED, takes_back=False, provisional=True),
    ),
    Mode.NOTRAIN: Rules(_UNCOUNTED, learns=False, learns_mail=False, takes_back=False),
}


def effective(totals: Totals, options: ScoreOptions, lesson: Lesson | None) -> Rules:
    """The rules that hold for one message (7.1 rule 2; 7.10: to unlearn is teft backwards)."""
    rules = RULES[options.mode]
    starting = min(totals.spam_learned, totals.innocent_learned) <= rules.startup
    if (lesson is not None and lesson.unlearn) or (starting and options.pvalue != "markov"):
        return RULES[Mode.TEFT]
    return rules


def near_errors(options: ScoreOptions) -> ScoreOptions:
    """The same options in the mode that learns what the scorer is not sure of."""
    return replace(options, mode=Mode.TONE)


def takes_back(mode: Mode) -> bool:
    """Whether the store keeps what new mail teaches in this mode, for corrections to take back."""
    unsure = RULES[mode].unsure
    return unsure is not None and unsure.provisional


def only_teaching(options: ScoreOptions) -> ScoreOptions:
    """Options for a lesson that takes nothing back by itself: the caller does, and knows what."""
    return replace(options, mode=Mode.TONE) if RULES[options.mode].learns else options


def totals_change(
    label: Label, lesson: Lesson | None, rules: Rules, options: ScoreOptions, *, by_signature: bool
) -> Totals:
    """The change of the totals (7.3).

    `label` is the verdict, or the label of the lesson.  `rules` are the effective ones.  `by_signature`
    distinguishes a lesson by signature from one with the full text.
    """
    if options.classify_only:
        return Totals()
    if lesson is None:
        return rules.counted[label]
    if not rules.learns and not options.strict:
        return Totals()  # Q-T6: the original counted lessons that it did not learn
    if lesson.unlearn:
        return _unlearned(label, lesson, strict=options.strict and not by_signature)
    if lesson.source is not Source.ERROR:
        return LEARNED[label].joined(CORPUSFED[label])
    learned = LEARNED[label].joined(MISCLASSIFIED[label])
    return learned.joined(LEARNED[label.opposite].negated()) if rules.takes_back else learned


def _unlearned(label: Label, lesson: Lesson, *, strict: bool) -> Totals:
    if strict and label is Label.INNOCENT and lesson.source is not Source.ERROR:
        return CORPUSFED[label]  # Q-T5: the original counted up here
    return LEARNED[label].negated()
