"""The lesson of a message, in every mode (engine.md 7, the summary of 7.5)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import dspamd
from dspamd.engine._kernel import Run
from dspamd.engine.model import Label, Lesson, Mode, ScoreOptions, Snapshot, Source, TokenOptions, Totals
from dspamd.engine.modes import RULES, UNLIMITED
from dspamd.engine.tokenizer import tokens_from_signature
from tests.support.engine import body_run, hits, learned

SEEN = Totals(500, 500)  # past the start of toe
NEW = Totals(50, 500)
KNOWN = {b"rare": (1, 3), b"common": (30, 30)}
SPAM_ERROR = Lesson(Label.SPAM, Source.ERROR)
HAM_ERROR = Lesson(Label.INNOCENT, Source.ERROR)
SPAM_CORPUS = Lesson(Label.SPAM, Source.CORPUS)
HAM_CORPUS = Lesson(Label.INNOCENT, Source.CORPUS)
VACCINE = Lesson(Label.SPAM, Source.INOCULATION)

ONE_INNOCENT = Totals(innocent_learned=1)
CLASSIFIED = Totals(innocent_classified=1)
FED = Totals(spam_learned=1, spam_corpusfed=1)
CORRECTED = Totals(spam_learned=1, innocent_learned=-1, spam_misclassified=1)
CORRECTED_ONLY = Totals(spam_learned=1, spam_misclassified=1)
NOTHING = Totals()


def run_of(
    mode: Mode, lesson: Lesson | None = None, *, totals: Totals = SEEN, options: ScoreOptions | None = None
) -> Run:
    options = replace(options or ScoreOptions(), mode=mode)
    return body_run(b"rare common", KNOWN, totals, options, lesson)


def by_signature(mode: Mode, lesson: Lesson, options: ScoreOptions | None = None) -> Run:
    signature = run_of(Mode.TEFT).signature
    tokens = tokens_from_signature(signature, TokenOptions("word"))
    return Run(tokens, Snapshot(SEEN, hits(KNOWN)), replace(options or ScoreOptions(), mode=mode), lesson)


@pytest.mark.parametrize(
    ("mode", "lesson", "totals", "rare", "common"),
    [
        (Mode.TEFT, None, ONE_INNOCENT, (0, 1), (0, 1)),
        (Mode.TEFT, SPAM_CORPUS, FED, (1, 0), (1, 0)),
        (Mode.TEFT, VACCINE, FED, (2, 0), (2, 0)),
        (Mode.TEFT, SPAM_ERROR, CORRECTED, (1, -1), (1, -1)),
        (Mode.TOE, None, CLASSIFIED, None, None),
        (Mode.TOE, SPAM_CORPUS, FED, (1, 0), (1, 0)),
        (Mode.TOE, SPAM_ERROR, CORRECTED_ONLY, (1, 0), (1, 0)),
        (Mode.TUM, SPAM_ERROR, CORRECTED, (1, -1), (1, -1)),
        (Mode.TUM, VACCINE, FED, (2, 0), (2, 0)),
        (Mode.TONE, None, CLASSIFIED, None, None),
        (Mode.TONE, SPAM_CORPUS, FED, (1, 0), (1, 0)),
        (Mode.TONE, SPAM_ERROR, CORRECTED_ONLY, (1, 0), (1, 0)),
        (Mode.NOTRAIN, None, NOTHING, None, None),
        (Mode.NOTRAIN, SPAM_CORPUS, NOTHING, None, None),
        (Mode.NOTRAIN, SPAM_ERROR, NOTHING, None, None),
    ],
)
def test_modes(
    mode: Mode,
    lesson: Lesson | None,
    totals: Totals,
    rare: tuple[int, int] | None,
    common: tuple[int, int] | None,
) -> None:
    run = run_of(mode, lesson)
    assert run.learned.totals == totals
    assert learned(run, b"rare", b"common") == [rare, common]


def test_tum_leaves_common_tokens_alone_if_it_is_sure() -> None:
    sure = run_of(Mode.TUM)
    assert sure.result.confidence == 1.0
    assert learned(sure, b"rare", b"common") == [(0, 1), None]
    known = KNOWN | {b"vile": (300, 0), b"fine": (0, 300)}
    unsure = body_run(b"rare common vile fine", known, SEEN, ScoreOptions(mode=Mode.TUM))
    assert unsure.result.confidence < 0.70
    assert learned(unsure, b"rare", b"common") == [(0, 1), (0, 1)]


def test_tone_learns_provisionally_what_it_is_not_sure_of() -> None:
    known = KNOWN | {b"vile": (300, 0), b"fine": (0, 300)}

    def tone(text: bytes, totals: Totals = SEEN, *, margin: float = 1.0, classify: bool = False) -> Run:
        options = ScoreOptions(mode=Mode.TONE, margin=margin, classify_only=classify)
        return body_run(text, known, totals, options)

    sure, unsure = tone(b"rare common"), tone(b"rare common vile fine")
    assert (sure.result.confidence, unsure.result.confidence < 0.7) == (1.0, True)
    assert (sure.provisional, sure.learned.totals, learned(sure, b"rare")) == (False, CLASSIFIED, [None])
    assert (unsure.provisional, unsure.learned.totals) == (True, ONE_INNOCENT)
    assert learned(unsure, b"rare", b"common", b"vile") == [(0, 1)] * 3
    assert tone(b"rare common", Totals(500, 0)).provisional, "the first of its class"
    assert not tone(b"rare common vile fine", margin=0.0).provisional, "errors only"
    asked = tone(b"rare common vile fine", classify=True)
    assert (asked.provisional, asked.learned.totals, learned(asked, b"rare")) == (False, NOTHING, [None])
    assert not run_of(Mode.TONE, SPAM_ERROR).provisional
    assert not any(run_of(mode).provisional for mode in Mode if mode is not Mode.TONE)


def test_toe_starts_like_teft() -> None:
    assert run_of(Mode.TOE, totals=NEW).learned.totals == ONE_INNOCENT
    assert run_of(Mode.TOE, totals=Totals(100, 500)).learned.totals == ONE_INNOCENT
    assert run_of(Mode.TOE, totals=Totals(101, 101)).learned.totals == CLASSIFIED
    markov = ScoreOptions(pvalue="markov")
    assert run_of(Mode.TOE, totals=NEW, options=markov).learned.totals == CLASSIFIED


def test_toe_keeps_counting_the_sender() -> None:
    options = ScoreOptions(mode=Mode.TOE, whitelist=True)
    run = body_run(b"rare", KNOWN, SEEN, options, headers=b"From: Bob <bob@example.org>\n")
    assert learned(run, b"From*Bob <bob@example.org>", b"rare", b"From*Bob") == [(0, 1), None, None]


def test_classifying_teaches_nothing() -> None:
    for mode in Mode:
        assert run_of(mode, options=ScoreOptions(classify_only=True)).learned.totals == NOTHING


def test_classifying_for_toe_wrote_the_sender() -> None:
    """Q-T4: only the original did."""
    options = ScoreOptions(mode=Mode.TOE, whitelist=True, classify_only=True)
    for strict, step in ((False, None), (True, (0, 1))):
        run = body_run(b"rare", KNOWN, SEEN, replace(options, strict=strict), headers=b"From: Bob\n")
        assert learned(run, b"From*Bob", b"rare") == [step, None]
        assert run.learned.totals == NOTHING


def test_a_message_is_not_classified_and_taught_at_once() -> None:
    with pytest.raises(ValueError, match="either classified or taught"):
        run_of(Mode.TEFT, SPAM_ERROR, options=ScoreOptions(classify_only=True))


def test_lessons_for_users_who_do_not_train_counted() -> None:
    """Q-T6: the original changed the totals alone."""
    strict = ScoreOptions(strict=True)
    run = run_of(Mode.NOTRAIN, SPAM_ERROR, options=strict)
    assert run.learned.totals == CORRECTED_ONLY
    assert learned(run, b"rare") == [None]
    assert by_signature(Mode.NOTRAIN, SPAM_CORPUS, strict).learned.totals == FED
    assert by_signature(Mode.NOTRAIN, SPAM_CORPUS).learned.totals == NOTHING


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("source", list(Source))
@pytest.mark.parametrize("label", list(Label))
def test_unlearning(label: Label, source: Source, strict: bool) -> None:
    """7.10; Q-T5: for some sources the original took the wrong direction."""
    lesson = Lesson(label, source, unlearn=True)
    run = run_of(Mode.TOE, lesson, options=ScoreOptions(strict=strict))
    spam = label is Label.SPAM
    totals = Totals(spam_learned=-1) if spam else Totals(innocent_learned=-1)
    if strict and not spam and source is not Source.ERROR:
        totals = Totals(innocent_corpusfed=1)
    step = (-1, 0) if spam else (0, -1)
    if strict and spam and source is Source.INOCULATION:
        step = (2, 0)
    assert run.learned.totals == totals
    assert learned(run, b"rare") == [step]


def test_unlearning_takes_back_what_a_verdict_taught() -> None:
    taught = run_of(Mode.TEFT).learned
    taken = run_of(Mode.TEFT, Lesson(Label.INNOCENT, Source.ERROR, unlearn=True)).learned
    assert taken == taught.negated()


@pytest.mark.parametrize(("known", "step"), [((4, 1), 5), ((5, 1), 2), ((4, 2), 2), ((0, 0), 5)])
def test_inoculation_counts_five_for_rare_tokens(known: tuple[int, int], step: int) -> None:
    run = body_run(b"rare", {b"rare": known}, SEEN, ScoreOptions(), VACCINE)
    assert learned(run, b"rare") == [(step, 0)]


def test_inoculation_against_innocent_mail_needs_a_signature() -> None:
    vaccine = Lesson(Label.INNOCENT, Source.INOCULATION)
    assert learned(run_of(Mode.TEFT, vaccine), b"rare") == [(0, 1)]
    assert learned(by_signature(Mode.TEFT, vaccine), b"rare", b"common") == [(0, 5), (0, 2)]


def test_a_lesson_from_signatureneeds_no_statistics() -> None:
    run = by_signature(Mode.TUM, SPAM_ERROR)
    assert run.result == (True, "Spam", 1.0, 0.0)
    assert run.factors == []
    assert run.learned.totals == CORRECTED
    assert learned(run, b"rare", b"common") == [(1, -1), (1, -1)]


def test_the_opposite_lesson_reverses_token_by_token() -> None:
    spam, innocent = by_signature(Mode.TEFT, SPAM_ERROR), by_signature(Mode.TEFT, HAM_ERROR)
    assert innocent.learned.tokens == spam.learned.tokens.negated()


def test_an_empty_signature_changes_the_totals_alone() -> None:
    run = Run(
        tokens_from_signature(b"", TokenOptions("word")), Snapshot(SEEN, hits({})), ScoreOptions(), SPAM_ERROR
    )
    assert run.learned.totals == CORRECTED
    assert len(run.learned.tokens.tokens) == 0


def test_occurrence_counts_every_occurrence() -> None:
    options = ScoreOptions(occurrence=True)
    run = body_run(b"rare common rare rare", KNOWN, SEEN, options, HAM_ERROR)
    assert learned(run, b"rare", b"common") == [(-3, 3), (-1, 1)]


def test_corpus_mail_takes_nothing_back() -> None:
    assert run_of(Mode.TEFT, HAM_CORPUS).learned.totals == Totals(innocent_learned=1, innocent_corpusfed=1)


@pytest.mark.parametrize("from_signature", [False, True])
@pytest.mark.parametrize(
    ("hits_before", "step", "even"),
    [
        ((0, 0), 5, 1),
        ((1, 0), 5, 2),
        ((0, 1), 5, 2),
        ((4, 1), 5, 2),
        ((5, 0), 2, 2),
        ((0, 2), 2, 2),
        ((30, 30), 2, 2),
    ],
)
def test_inoculation_in_sql_stores(
    from_signature: bool, hits_before: tuple[int, int], step: int, even: int
) -> None:
    """7.6, Q-T9: the original's gave a known token 2, a new one 1, whatever 7.4 says."""
    known = {b"rare": hits_before}
    for options, wanted in ((ScoreOptions(), step), (ScoreOptions(strict=True, control_token=True), even)):
        run = body_run(b"rare", known, SEEN, options, VACCINE)
        if from_signature:
            tokens = tokens_from_signature(run.signature, TokenOptions("word"))
            run = Run(tokens, Snapshot(SEEN, hits(known)), options, VACCINE)
        assert learned(run, b"rare") == [(wanted, 0)]


def test_occurrence_in_sql_stores() -> None:
    """7.6, Q-T9: a token counts once there, however often it occurs."""
    for even, wanted in ((False, (0, 3)), (True, (0, 1))):
        options = ScoreOptions(occurrence=True, control_token=even)
        run = body_run(b"rare rare rare", KNOWN, SEEN, options)
        assert learned(run, b"rare") == [wanted]


@pytest.mark.parametrize(
    ("mode", "rules"),
    [
        (Mode.TEFT, (True, True, True, UNLIMITED, 0.0, UNLIMITED, -1)),
        (Mode.TOE, (True, False, False, UNLIMITED, 0.0, UNLIMITED, 100)),
        (Mode.TUM, (True, True, True, 50, 0.70, 20, -1)),
        (Mode.TONE, (True, False, False, UNLIMITED, 0.0, UNLIMITED, -1)),
        (Mode.NOTRAIN, (False, False, False, UNLIMITED, 0.0, UNLIMITED, -1)),
    ],
)
def test_the_table_of_modes(mode: Mode, rules: tuple[object, ...]) -> None:
    """engine.md 7.1, 7.3, 7.5, 7.11 and 3.1."""
    row = RULES[mode]
    assert rules == (
        row.learns, row.learns_mail, row.takes_back, row.well_known, row.sure, row.most_minimum, row.startup
    )  # fmt: skip


def test_nothing_but_the_table_and_requests_knows_a_mode_by_its_name() -> None:
    """A rule that asks for `Mode.TOE` belongs into a row of `RULES`."""
    package = Path(dspamd.__file__).parent
    allowed = {"engine/model.py", "engine/modes.py", "request/request.py", "users/preferences.py"}
    allowed |= {"filter/consultation.py"}  # inoculation teaches the others in mode teft, whatever their mode
    found = {
        file.relative_to(package).as_posix()
        for file in package.rglob("*.p*")
        if file.suffix in (".py", ".pyx", ".pxi") and "Mode.T" in file.read_text().replace("ServerMode.", "")
    }
    assert found <= allowed
