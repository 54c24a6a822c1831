"""The audit refuses a ledger in which anything is wrong, however small, and says what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime

import pytest

from dspamd.engine.model import Totals
from tests.chaos.audit import audit
from tests.chaos.ledger import (
    Arrival,
    Attempt,
    Contents,
    End,
    Kill,
    Ledger,
    Said,
    Trouble,
    Word,
    attempts_in,
    dated,
    said_in,
)
from tests.chaos.mails import USERS, Mail
from tests.chaos.outcomes import Outcome

_MAILS = [Mail(1, number) for number in range(12)]
_WORKER, _VICTIM = 1001, 1002
_TOKENS = frozenset({7, 8, 9})  # of every mail here

_CUT, _UNHEARD, _VANISHED, _TOLD = 1, 2, 3, 4
"""The mails to which something happens; each is for one user."""


def _user(number: int) -> str:
    return _MAILS[number].users[0]


def _arrival(number: int, user: str, at: float, *, queued: bool = True, worker: int = _WORKER) -> Arrival:
    """A copy with what Postfix and the daemon add; its hand-over began in the second before `at`."""
    received = (
        b"Received: from client (localhost)\r\n\tby mx.example.org (Postfix) with ESMTP id Q%d\r\n" % number
    )
    signature = b"%08x%d%05d%05d" % (int(at - 1), worker, 10000 + number, 10000 + USERS.index(user))
    head, empty, body = _MAILS[number].content.partition(b"\r\n\r\n")
    ours = b"\r\nX-DSPAM-Result: Innocent\r\nX-DSPAM-Signature: " + signature
    return Arrival(at, user, (received if queued else b"") + head + ours + empty + body, answered=at + 0.01)


def _sound() -> Ledger:
    """A ledger that keeps the rules: all mail is acknowledged; each thing that may happen happens once."""
    arrivals, attempts, said = [], [], []

    def acknowledged(number: int, user: str, at: float) -> None:
        arrivals.append(_arrival(number, user, at))
        attempts.append(Attempt(f"Q{number}", user, at, End.SENT))
        said.append(Said(at + 0.02, Word.MESSAGE, f"Q{number}", user, arrivals[-1].signature))

    for mail in _MAILS:
        for user in mail.users:
            acknowledged(mail.number, user, 200.0 + mail.number)
    arrivals.append(_arrival(_CUT, _user(_CUT), 100.0, worker=_VICTIM))
    attempts.append(Attempt(f"Q{_CUT}", _user(_CUT), 100.0, End.CUT))
    arrivals.append(replace(_arrival(_UNHEARD, _user(_UNHEARD), 110.0), answered=None))
    attempts.append(Attempt(f"Q{_UNHEARD}", _user(_UNHEARD), 113.0, End.REFUSED))
    refusal = "450 4.3.0 Deferred: no answer"
    said.append(Said(113.0, Word.DEFERRED, f"Q{_UNHEARD}", _user(_UNHEARD), reply=refusal))
    arrivals.append(_arrival(_VANISHED, _user(_VANISHED), 120.0, queued=False))
    said.append(Said(120.1, Word.MESSAGE, "", _user(_VANISHED), arrivals[-1].signature))
    told = next(each.signature for each in arrivals if each.number == _TOLD)
    said.append(Said(204.0, Word.NOT_LEARNED, signature=told))
    learned = [each for each in arrivals if each.answered is not None and each.signature != told]
    return Ledger(
        mails=_MAILS,
        arrivals=arrivals,
        attempts=attempts,
        said=said,
        contents={user: _contents(each.signature for each in learned if each.user == user) for user in USERS},
        kills=[Kill(100.5, frozenset({_VICTIM}))],
        troubles=[Trouble(110.2, 114.0)],
        vanished=frozenset({_VANISHED}),
    )


def _contents(signatures: Iterable[str]) -> Contents:
    ids = list(signatures)
    hits = {token: (0, len(ids)) for token in _TOKENS} if ids else {}
    return Contents(Totals(innocent_learned=len(ids)), dict.fromkeys(ids, _TOKENS), hits)


def _of(ledger: Ledger, number: int) -> Arrival:
    """The first copy of a mail that arrived."""
    return min((each for each in ledger.arrivals if each.number == number), key=lambda each: each.at)


def _instead(ledger: Ledger, old: Arrival, *new: Arrival) -> Ledger:
    return replace(ledger, arrivals=[each for each in ledger.arrivals if each is not old] + list(new))


def _in_store(ledger: Ledger, number: int, *, learned: bool) -> Ledger:
    """With the first hand-over of a mail learned or not, and all counters as they are then."""
    arrival = _of(ledger, number)
    ids = ledger.contents[arrival.user].signatures.keys() - {arrival.signature}
    kept = _contents(ids | {arrival.signature} if learned else ids)
    return replace(ledger, contents={**ledger.contents, arrival.user: kept})


def _in_dictionary(ledger: Ledger, change: Callable[[Contents], Contents]) -> Ledger:
    user = _user(6)
    return replace(ledger, contents={**ledger.contents, user: change(ledger.contents[user])})


def _without(ledger: Ledger, number: int, end: End) -> Ledger:
    attempts = [each for each in ledger.attempts if (each.queue_id, each.end) != (f"Q{number}", end)]
    return replace(ledger, attempts=attempts)


def _changed_byte(ledger: Ledger) -> Ledger:
    old = _of(ledger, 6)
    return _instead(ledger, old, replace(old, content=old.content[:-3] + b"!" + old.content[-2:]))


def _from(ledger: Ledger, number: int, worker: int, at: float) -> Ledger:
    """With one more copy of a mail."""
    return replace(ledger, arrivals=[*ledger.arrivals, _arrival(number, _user(number), at, worker=worker)])


def _answered(ledger: Ledger, number: int, answered: float | None) -> Ledger:
    old = _of(ledger, number)
    return _instead(ledger, old, replace(old, answered=answered))


def _hits(kept: Contents, spam: int, innocent: int) -> Contents:
    return replace(kept, hits={**kept.hits, 7: (spam, kept.hits[7][1] + innocent)})


def _taught(kept: Contents) -> Contents:
    return replace(kept, block=kept.block + b"x")


_DOCTORED: dict[str, tuple[Callable[[Ledger], Ledger], str]] = {
    "a lesson that no message gave": (lambda ledger: _in_dictionary(ledger, _taught), "weights of"),
    "a mail is lost": (lambda ledger: _instead(ledger, _of(ledger, 6)), "lost: 6"),
    "one byte is another": (_changed_byte, "changed: 6"),
    "a line is missing": (
        lambda ledger: _instead(
            ledger,
            _of(ledger, 6),
            replace(_of(ledger, 6), content=_of(ledger, 6).content.rpartition(b"\r\n")[0]),
        ),
        "changed: 6",
    ),
    "a mail that nobody sent": (
        lambda ledger: replace(ledger, mails=[mail for mail in _MAILS if mail.number != 6]),
        "came from nowhere: 6",
    ),
    "a copy for somebody else": (
        lambda ledger: _instead(ledger, _of(ledger, 6), replace(_of(ledger, 6), user="nobody")),
        "came from nowhere: 6 for nobody",
    ),
    "a second copy, nothing happened": (
        lambda ledger: _from(ledger, 6, _WORKER, 201.0),
        "2 times, without a cause: 6",
    ),
    "a second copy near a kill, of a worker that lives": (
        lambda ledger: _from(ledger, 6, _WORKER, 100.4),
        "2 times, without a cause: 6",
    ),
    "a second copy of the worker killed, whose client lost nothing": (
        lambda ledger: _from(ledger, 6, _VICTIM, 100.4),
        "2 times, without a cause: 6",
    ),
    "two second copies, one lost connection": (
        lambda ledger: _from(ledger, _CUT, _VICTIM, 98.0),
        f"2 times, without a cause: {_CUT}",
    ),
    "the connection was lost, but not at the kill": (
        lambda ledger: replace(ledger, kills=[Kill(80.0, frozenset({_VICTIM}))]),
        f"2 times, without a cause: {_CUT}",
    ),
    "refused, though the next hop had answered": (
        lambda ledger: _answered(ledger, _UNHEARD, 112.9),
        f"2 times, without a cause: {_UNHEARD}",
    ),
    "refused, though the next hop was well": (
        lambda ledger: replace(ledger, troubles=[]),
        f"2 times, without a cause: {_UNHEARD}",
    ),
    "a client did not finish, and its mail was taken": (
        lambda ledger: replace(ledger, vanished=frozenset()),
        f"for a client that had not finished: {_VANISHED}",
    ),
    "never acknowledged": (lambda ledger: _without(ledger, 6, End.SENT), "acknowledged 0 times: 6"),
    "acknowledged twice": (
        lambda ledger: replace(ledger, attempts=[*ledger.attempts, *ledger.attempts[-3:]]),
        "acknowledged 2 times",
    ),
    "acknowledged before the next hop answered": (
        lambda ledger: _answered(ledger, 6, None),
        "acknowledged too early: 6",
    ),
    "the same signature twice": (
        lambda ledger: replace(ledger, arrivals=[*ledger.arrivals, _of(ledger, 6)]),
        "without a signature of its own: 6",
    ),
    "acknowledged, but not learned": (
        lambda ledger: _in_store(ledger, 6, learned=False),
        "not learned, and not told",
    ),
    "its client vanished, and it was not learned": (
        lambda ledger: _in_store(ledger, _VANISHED, learned=False),
        "not learned, and not told",
    ),
    "learned, though the hand-over failed": (
        lambda ledger: _in_store(ledger, _UNHEARD, learned=True),
        "learned, though not handed over",
    ),
    "learned, and told as not learned": (
        lambda ledger: _in_store(ledger, _TOLD, learned=True),
        "learned, and told as not learned",
    ),
    "learned, and never handed over": (
        lambda ledger: _in_dictionary(
            ledger, lambda kept: _contents([*kept.signatures, "6b0000001001999999"])
        ),
        "but not handed over: 6b0000001001999999",
    ),
    "one total too many": (
        lambda ledger: _in_dictionary(
            ledger, lambda kept: replace(kept, totals=kept.totals.plus(Totals(innocent_learned=1)))
        ),
        "totals of",
    ),
    "one total too few": (
        lambda ledger: _in_dictionary(
            ledger, lambda kept: replace(kept, totals=kept.totals.plus(Totals(innocent_learned=-1)))
        ),
        "totals of",
    ),
    "learned as the other class": (
        lambda ledger: _in_dictionary(
            ledger,
            lambda kept: replace(kept, totals=kept.totals.plus(Totals(spam_learned=1, innocent_learned=-1))),
        ),
        "totals of",
    ),
    "one hit too many": (
        lambda ledger: _in_dictionary(ledger, lambda kept: _hits(kept, 0, 1)),
        "hits of 1 of 3 tokens",
    ),
    "one hit too few": (
        lambda ledger: _in_dictionary(ledger, lambda kept: _hits(kept, 0, -1)),
        "hits of 1 of 3 tokens",
    ),
    "a token too many": (
        lambda ledger: _in_dictionary(ledger, lambda kept: replace(kept, hits={**kept.hits, 99: (0, 1)})),
        "hits of 1 of 3 tokens",
    ),
}


def test_books_that_keep_the_rules_are_accepted() -> None:
    found = audit(_sound())
    assert not found.problems
    copies = sum(len(mail.users) for mail in _MAILS)
    assert found.outcomes == Counter(
        {Outcome.ACKNOWLEDGED: copies, Outcome.KILLED: 1, Outcome.UNHEARD: 1, Outcome.VANISHED: 1}
    )
    assert (found.told, found.learned, found.flights) == (1, copies + 1, [(1, 1)])
    assert (found.least, found.most) == (copies, copies + 2)


@pytest.mark.parametrize("name", _DOCTORED)
def test_doctored_books_are_refused(name: str) -> None:
    doctor, complaint = _DOCTORED[name]
    problems = audit(doctor(_sound())).problems
    assert any(complaint in problem for problem in problems), problems


def test_a_lesson_in_flight_at_a_kill_may_be_lost() -> None:
    found = audit(_in_store(_sound(), _CUT, learned=False))
    assert not found.problems
    assert found.flights == [(1, 0)]


def test_a_server_may_have_committed_what_it_did_not_answer() -> None:
    ledger = _in_store(_sound(), _TOLD, learned=True)
    assert not audit(replace(ledger, on_server=True)).problems


_MAIL_LOG = """\
Nov 20 13:17:21 mx postfix/lmtp[9]: 510EE25A2BC: to=<bob@example.org>, relay=127.0.0.1[127.0.0.1]:24, \
delay=0.2, delays=0/0/0/0.2, dsn=2.6.0, status=sent (250 2.6.0 <bob@example.org> Message accepted)
Nov  2 13:17:22 mx postfix/lmtp[9]: 510EE25A2BC: to=<bob@example.org>, relay=127.0.0.1[127.0.0.1]:24, \
delay=0.2, delays=0/0/0/0.2, dsn=4.4.2, status=deferred (lost connection with 127.0.0.1[127.0.0.1] \
while sending end of data -- message may be sent more than once)
"""
_DAEMON_LOG = """\
timestamp=2026-11-20T13:17:21.563179 level=info event=message queue_id=5A user=bob signature=6b01 next="250"
timestamp=2026-11-20T13:17:22.563179 level=error event=not_learned uid=1 signature=6b02 reason="busy: \\"x\\""
timestamp=2026-11-20T13:17:22.663179 level=info event=not_learned uid=1 signature=6b03
timestamp=2026-11-20T13:17:23.563179 level=warning event=deferred queue_id="" user=bob reply="Deferred: no"
timestamp=2026-11-20T13:17:24.563179 level=info event=listening user=nobody
"""


def test_logs_are_read() -> None:
    assert [(each.queue_id, each.user, each.end) for each in attempts_in(_MAIL_LOG, 0.0)] == [
        ("510EE25A2BC", "bob", End.SENT),
        ("510EE25A2BC", "bob", End.CUT),
    ]
    first, second, again, third = said_in(_DAEMON_LOG, 0.0)
    assert (first.word, first.queue_id, first.user, first.signature) == (Word.MESSAGE, "5A", "bob", "6b01")
    assert (second.word, second.signature) == (Word.NOT_LEARNED, "6b02")
    assert (again.word, again.signature) == (Word.NOT_LEARNED, "6b03")
    assert (third.word, third.queue_id, third.reply) == (Word.DEFERRED, "", "Deferred: no")
    assert second.at - first.at == pytest.approx(1)


def test_a_log_without_years_may_span_two() -> None:
    now = datetime(2000, 1, 1, 0, 1)
    assert dated("Dec 31 23:59:58", now) == datetime(1999, 12, 31, 23, 59, 58)
    assert dated("Jan  1 00:00:59", now) == datetime(2000, 1, 1, 0, 0, 59)
    assert dated("Feb 29 12:00:00", datetime(2000, 2, 29, 12, 1)) == datetime(2000, 2, 29, 12)
