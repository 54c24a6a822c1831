"""The report of the doctor, for people and for programs."""

from __future__ import annotations

import json

from dspamd.diagnosis import advice, fine, problem
from dspamd.doctor.examination import Examined
from dspamd.doctor.report import as_json, healthy, text


async def mend() -> str:
    return "done"


FOUND = [
    Examined("disk", problem("it is full", "mail waits", "rm something\nor buy one", mend)),
    Examined("clock", advice("it may be wrong", "purges go by it", "timedatectl")),
    Examined("daemon", fine("it answers")),
]


def test_for_people_the_worst_comes_last() -> None:
    assert text(FOUND) == (
        "fine     daemon: it answers\n"
        "advice   clock: it may be wrong\n"
        "   why:   purges go by it\n"
        "   do:    timedatectl\n"
        "\n"
        "problem  disk: it is full\n"
        "   why:   mail waits\n"
        "   do:    rm something\n"
        "          or buy one\n"
        "\n"
        "1 problem, 1 piece of advice, 1 fine\n"
    )


def test_prose_is_wrapped_and_commands_are_not() -> None:
    long = "word " * 60
    lines = text([Examined("disk", problem(long, long, long.strip()))]).splitlines()
    assert max(map(len, lines[:6])) <= 110
    assert f"   do:    {long.strip()}" in lines


def test_for_programs() -> None:
    told = json.loads(as_json(FOUND, ["disk: done"]))
    assert (told["healthy"], told["fixed"]) == (False, ["disk: done"])
    assert told["findings"][0] == {
        "subject": "disk",
        "severity": "problem",
        "what": "it is full",
        "why": "mail waits",
        "cure": "rm something\nor buy one",
        "fixable": True,
    }
    assert [each["severity"] for each in told["findings"]] == ["problem", "advice", "fine"]


def test_advice_alone_is_healthy() -> None:
    assert healthy(FOUND[1:])
    assert not healthy(FOUND)
