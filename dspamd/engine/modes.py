"""What a message changes in the totals of its reader, and when a mode learns.

The training modes as tables (engine.md 7.1 to 7.3): teft learns every message,
toe only from errors once it has seen enough mail, tum like teft but leaves well
known tokens alone, notrain nothing.

Changes are signed and not cut at zero: the store adds them to counters that
others may have moved meanwhile, and does the cutting.  What happens to the
hits of each token is the kernel's half (`training.pxi`); this half sees no
token.
"""

from __future__ import annotations

from dspamd.engine.model import Label, Lesson, Mode, ScoreOptions, Source, Totals

STARTUP = 100
"""Messages of each class that toe learns like teft (7.11)."""

LEARNED = {Label.SPAM: Totals(spam_learned=1), Label.INNOCENT: Totals(innocent_learned=1)}
MISCLASSIFIED = {Label.SPAM: Totals(spam_misclassified=1), Label.INNOCENT: Totals(innocent_misclassified=1)}
CORPUSFED = {Label.SPAM: Totals(spam_corpusfed=1), Label.INNOCENT: Totals(innocent_corpusfed=1)}
CLASSIFIED = {Label.SPAM: Totals(spam_classified=1), Label.INNOCENT: Totals(innocent_classified=1)}


def effective_mode(totals: Totals, options: ScoreOptions, lesson: Lesson | None) -> Mode:
    """The mode that a run really has (7.1 rule 2; 7.10: unlearning is teft backwards)."""
    if lesson is not None and lesson.unlearn:
        return Mode.TEFT
    starting = totals.innocent_learned <= STARTUP or totals.spam_learned <= STARTUP
    if options.mode is Mode.TOE and options.pvalue != "markov" and starting:
        return Mode.TEFT
    return options.mode


def takes_back(mode: Mode) -> bool:
    """Whether a correction in this mode undoes what the wrong verdict had taught ("keep" in 7.3)."""
    return mode not in (Mode.TOE, Mode.NOTRAIN)


def totals_change(
    label: Label, lesson: Lesson | None, mode: Mode, options: ScoreOptions, *, by_signature: bool
) -> Totals:
    """The change of the totals (7.3).

    `label` is the verdict, or what the lesson says; `mode` the effective one; `by_signature`
    tells a lesson by signature from one with the full text.
    """
    if options.classify_only:
        return Totals()
    if lesson is None:
        if mode is Mode.TOE:
            return CLASSIFIED[label]
        return Totals() if mode is Mode.NOTRAIN else LEARNED[label]
    if mode is Mode.NOTRAIN and not options.strict:
        return Totals()  # Q-T6: the original counted lessons that it did not learn
    if lesson.unlearn:
        return _unlearned(label, lesson, strict=options.strict and not by_signature)
    if lesson.source is not Source.ERROR:
        return LEARNED[label].joined(CORPUSFED[label])
    learned = LEARNED[label].joined(MISCLASSIFIED[label])
    return learned.joined(LEARNED[label.opposite].negated()) if takes_back(mode) else learned


def _unlearned(label: Label, lesson: Lesson, *, strict: bool) -> Totals:
    if strict and label is Label.INNOCENT and lesson.source is not Source.ERROR:
        return CORPUSFED[label]  # Q-T5: the original counted up here
    return LEARNED[label].negated()
