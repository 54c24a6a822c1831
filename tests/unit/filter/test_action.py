"""The action for a message: the decision table (reference/cli.md 3.5) and the words of the logs."""

from __future__ import annotations

import pytest

from dspamd.engine.model import Label, Lesson, Result, Source
from dspamd.filter.action import Action, choose, status, untouched
from dspamd.filter.verdict import Verdict
from dspamd.request.request import Request

BOTH = Request(deliver_innocent=True, deliver_spam=True)
INNOCENT_ONLY = Request(deliver_innocent=True)
PRINTED = Request(deliver_innocent=True, stdout=True)
ERROR_SPAM = Lesson(Label.SPAM, Source.ERROR)
ERROR_INNOCENT = Lesson(Label.INNOCENT, Source.ERROR)
CORPUS_SPAM = Lesson(Label.SPAM, Source.CORPUS)


def verdict(name: str, source: Source | None = None) -> Verdict:
    return Verdict(Result(name not in ("Innocent", "Whitelisted"), name, 0.5, 0.5), source=source)


@pytest.mark.parametrize(
    ("name", "request_", "spam_action", "action"),
    [
        ("Innocent", BOTH, "quarantine", Action.DELIVER),
        ("Innocent", Request(), "quarantine", Action.NOTHING),
        ("Innocent", PRINTED, "quarantine", Action.PRINT),
        ("Innocent", Request(classify=True, deliver_innocent=True), "quarantine", Action.NOTHING),
        ("Spam", BOTH, "quarantine", Action.DELIVER),
        ("Spam", INNOCENT_ONLY, "quarantine", Action.QUARANTINE),
        ("Spam", INNOCENT_ONLY, "tag", Action.DELIVER),
        ("Spam", INNOCENT_ONLY, "deliver", Action.DELIVER),
        ("Blacklisted", INNOCENT_ONLY, "quarantine", Action.QUARANTINE),
        ("Blocklisted", INNOCENT_ONLY, "tag", Action.DELIVER),
        ("Spam", PRINTED, "tag", Action.PRINT),
        ("Spam", Request(classify=True), "quarantine", Action.NOTHING),
        ("Spam", Request(summary=True), "quarantine", Action.NOTHING),
        ("Spam", Request(summary=True), "tag", Action.NOTHING),
        ("Spam", Request(summary=True, stdout=True), "tag", Action.PRINT),
        ("Spam", Request(lesson=ERROR_SPAM, deliver_innocent=True), "tag", Action.NOTHING),
        ("Spam", Request(lesson=CORPUS_SPAM, deliver_innocent=True), "quarantine", Action.NOTHING),
        ("Spam", Request(lesson=ERROR_SPAM, deliver_spam=True), "tag", Action.DELIVER),
        ("Spam", Request(lesson=Lesson(Label.SPAM, Source.INOCULATION)), "tag", Action.QUARANTINE),
        ("Innocent", Request(lesson=ERROR_INNOCENT, deliver_innocent=True), "tag", Action.DELIVER),
    ],
)
def test_table(name: str, request_: Request, spam_action: str, action: Action) -> None:
    assert choose(verdict(name), request_, spam_action) is action


@pytest.mark.parametrize(
    ("request_", "spam_action", "next_hop", "action"),
    [
        (INNOCENT_ONLY, "quarantine", True, Action.QUARANTINE),
        (INNOCENT_ONLY, "quarantine", False, Action.QUARANTINE),
        (INNOCENT_ONLY, "tag", True, Action.DELIVER),
        (INNOCENT_ONLY, "tag", False, Action.QUARANTINE),
        (BOTH, "quarantine", False, Action.DELIVER),
        (PRINTED, "quarantine", False, Action.PRINT),
        (PRINTED, "tag", True, Action.PRINT),
        (Request(summary=True), "quarantine", False, Action.NOTHING),
        (Request(summary=True), "tag", False, Action.NOTHING),
        (Request(lesson=ERROR_SPAM), "quarantine", False, Action.NOTHING),
    ],
)
def test_a_quarantine_agent_takes_spam(
    request_: Request, spam_action: str, next_hop: bool, action: Action
) -> None:
    assert choose(verdict("Spam"), request_, spam_action, agent=True, next_hop=next_hop) is action


@pytest.mark.parametrize("request_", [BOTH, INNOCENT_ONLY, PRINTED, Request(summary=True)])
def test_viruses_are_dropped_or_refused_whatever_is_asked_for(request_: Request) -> None:
    assert choose(verdict("Virus"), request_, "deliver", "accept") is Action.NOTHING
    assert choose(verdict("Virus"), request_, "deliver", "reject") is Action.REFUSE


def test_viruses_may_be_spam() -> None:
    assert choose(verdict("Virus"), INNOCENT_ONLY, "quarantine", "spam") is Action.QUARANTINE
    assert choose(verdict("Virus"), INNOCENT_ONLY, "tag", "spam") is Action.DELIVER


@pytest.mark.parametrize(
    ("request_", "action"),
    [
        (BOTH, Action.DELIVER),
        (PRINTED, Action.PRINT),
        (Request(deliver_spam=True), Action.NOTHING),
        (Request(classify=True, deliver_innocent=True), Action.NOTHING),
    ],
)
def test_what_was_not_judged(request_: Request, action: Action) -> None:
    assert untouched(request_) is action


@pytest.mark.parametrize(
    ("action", "judged", "spam_action", "text"),
    [
        (Action.DELIVER, verdict("Innocent"), "quarantine", "Delivered"),
        (Action.DELIVER, verdict("Whitelisted"), "quarantine", "Auto-Whitelisted"),
        (Action.QUARANTINE, verdict("Spam"), "quarantine", "Quarantined"),
        (Action.DELIVER, verdict("Spam"), "tag", "Tagged"),
        (Action.DELIVER, verdict("Spam"), "deliver", "Delivered"),
        (Action.NOTHING, verdict("Spam", Source.ERROR), "tag", "Retrained"),
        (Action.NOTHING, verdict("Spam", Source.CORPUS), "tag", ""),
    ],
)
def test_words_of_the_logs(action: Action, judged: Verdict, spam_action: str, text: str) -> None:
    assert status(action, judged, spam_action) == text
