"""The action that a message gets, by its verdict and its request.

`choose` is the decision table of reference/cli.md 3.5; `status` is the word of the logs
(reference/storage.md 7.1).  Pure: values in, values out.
"""

from __future__ import annotations

import enum

from dspamd.engine.model import Source
from dspamd.filter.verdict import Verdict
from dspamd.request.request import Request


class Action(enum.Enum):
    """An action for a message; its value is the word of the logs."""

    DELIVER = "Delivered"
    PRINT = "Printed"  # for the client: --stdout
    QUARANTINE = "Quarantined"
    REFUSE = "Refused"  # for good, because of its content
    NOTHING = ""


def choose(
    verdict: Verdict,
    request: Request,
    spam_action: str,
    virus_response: str = "accept",
    *,
    agent: bool = False,
    next_hop: bool = True,
) -> Action:
    """The action for a message that has a verdict; a summary never starts a delivery agent.

    `spam_action` is the preference of the user, `virus_response` is ClamAVResponse.  A
    QuarantineAgent (`agent`) also takes the place of the delivery agent, but not that of
    a DeliveryHost (`next_hop`).
    """
    spam, lesson = verdict.result.spam, request.lesson
    if verdict.result.name == "Virus" and virus_response != "spam":
        return Action.REFUSE if virus_response == "reject" else Action.NOTHING
    if request.classify:
        return Action.NOTHING
    deliver = Action.PRINT if request.stdout else Action.DELIVER
    if request.deliver_spam if spam else request.deliver_innocent:
        return deliver
    if not spam or (lesson is not None and lesson.source is not Source.INOCULATION):
        return Action.NOTHING
    kept = spam_action == "quarantine"
    caught = agent and (kept or not next_hop) and not request.stdout
    if lesson is None and (agent or not kept) and not caught:
        return Action.NOTHING if request.summary and not request.stdout else deliver
    return Action.NOTHING if request.summary else Action.QUARANTINE


def untouched(request: Request) -> Action:
    """The action for a message without a verdict."""
    if request.classify or not request.deliver_innocent:
        return Action.NOTHING
    return Action.PRINT if request.stdout else Action.DELIVER


def status(action: Action, verdict: Verdict, spam_action: str) -> str:
    """The word of the logs for a message in which no scanner found anything."""
    if verdict.source is Source.ERROR:
        return "Retrained"
    if verdict.source is not None:
        return ""
    if verdict.result.name == "Whitelisted":
        return "Auto-Whitelisted"
    if action is Action.QUARANTINE:
        return "Quarantined"
    return "Tagged" if verdict.result.spam and spam_action == "tag" else "Delivered"
