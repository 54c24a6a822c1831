"""A run: mail flows, faults happen at random moments, and then the audit reads the ledger.

One fault happens after the other, in an order that the seed decides, while mail is under way.  The run
ends when the queue of Postfix is empty, and the daemon has stopped as an administrator would stop
it.  Then the run collects the records of all parties, and `audit` checks them.  A traceback in
the daemon's log, a bounce, or a complaint of Postfix is a problem, too.

This module does not decide which second copy has a cause, or which counters are right: `outcomes`
and `audit` do, and they know nothing of processes.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import NamedTuple

from dspamd.config.config import Config
from tests.chaos.audit import Findings, audit
from tests.chaos.contents import contents
from tests.chaos.faults import OF_DISKS, Fault, Scene
from tests.chaos.fixture import DATABASES, Fixture, fixture
from tests.chaos.ledger import Ledger, attempts_in, said_in
from tests.chaos.load import Load
from tests.chaos.mails import Mail
from tests.chaos.outcomes import DEADLINE_S, Outcome
from tests.support.daemon import SCORING
from tests.support.postfix import Postfix
from tests.support.wait import until

PATIENCE_S = 180


class Pace(NamedTuple):
    """How fast things happen.

    A fault lasts `longest_s` seconds at most.  Before the next one fewer copies than `between`
    arrive, and all of them after the last one.
    """

    longest_s: float
    between: int


IN_FULL = Pace(DEADLINE_S + 1.5, 60)
"""By then a process that hangs is noticed, or has ended."""
BRIEFLY = Pace(0.6, 25)


@dataclass
class Happened:
    """A fault that happened, from `begun` to `over` (monotonic seconds), and what it put off."""

    fault: Fault
    begun: float
    over: float = 0.0
    deferred: int = 0


@dataclass
class Account:
    """The result of a run."""

    store: str
    seed: int
    mails: int = 0
    attempts: int = 0  # of Postfix, to hand a copy to the daemon
    seconds: float = 0.0
    left_out: str = ""  # faults that are impossible here, and why
    findings: Findings = field(default_factory=Findings)
    happened: list[Happened] = field(default_factory=list)

    @property
    def problems(self) -> list[str]:
        """Empty if every promise was kept."""
        return self.findings.problems

    def __str__(self) -> str:
        found = self.findings
        second = ", ".join(
            f"{found.outcomes[outcome]} {outcome.value}"
            for outcome in Outcome
            if outcome is not Outcome.ACKNOWLEDGED
        )
        flights = ", ".join(f"{learned} of {flight}" for flight, learned in found.flights)
        return "\n".join([
            f"{self.store}: seed {self.seed}, {self.mails} mails, {found.copies} copies, "
            f"{self.attempts} attempts, {self.seconds:.0f} s",
            *self._rows(),
            f"arrived {found.arrived}: {found.outcomes[Outcome.ACKNOWLEDGED]} acknowledged, {second}",
            f"learned {found.learned}: at least {found.least} ({found.told} told as not learned), "
            f"at most {found.most}; in flight at kills, learned: {flights or 'none'}",
            *([f"LEFT OUT: {self.left_out}"] if self.left_out else ()),
            *(self.problems or ["every promise kept"]),
        ])  # fmt: skip

    def _rows(self) -> list[str]:
        by_name: dict[str, list[Happened]] = defaultdict(list)
        for each in self.happened:
            by_name[each.fault.name].append(each)
        rows = [f"{'fault':<22}{'times':>6}{'seconds':>9}{'deferred':>10}"]
        for name, these in by_name.items():
            seconds, deferred = (
                sum(each.over - each.begun for each in these),
                sum(each.deferred for each in these),
            )
            rows.append(f"{name:<22}{len(these):>6}{seconds:>9.1f}{deferred:>10}")
        return rows


def experiment(
    store: str,
    folder: Path,
    seed: int,
    kinds: Sequence[Fault],
    mails: int = 0,
    pace: Pace = IN_FULL,
    scoring: str = SCORING,
) -> Account:
    """Let faults of these kinds happen in an order that chance chooses, while `mails` mails or more flow."""
    chance = Random(f"{seed} {store}")
    plan = chance.sample(kinds, len(kinds))
    account = Account(f"{store}, {scoring.splitlines()[0]}", seed)
    begun, epoch = time.monotonic(), time.time() - time.monotonic()
    with fixture(store, folder, scoring) as site:
        with Load(site.front, site.hop, seed) as load:
            scene = Scene(site, load, chance)
            account.left_out = site.left_out
            for fault in plan:
                if site.left_out and fault in OF_DISKS:
                    continue
                _flow(site, chance.randrange(1, pace.between))
                account.happened.append(_let_happen(fault, scene, pace.longest_s))
            _flow(site, pace.between)
            while load.mails < mails:
                _flow(site, pace.between)
        until(lambda: _empty(site.front), lambda: f"an empty queue: {site.front.queue()}", PATIENCE_S)
        site.daemon.stop()
        account.mails = load.mails
        account.findings = audit(ledger := _ledger(scene, seed, epoch, on_server=store in DATABASES))
        account.attempts = len(ledger.attempts)
        account.problems.extend(re.findall("^.*Traceback.*$", site.daemon.output, re.M))
        account.problems.extend(re.findall("^.*status=bounced.*$", site.front.log, re.M))
        account.problems.extend(site.front.complaints)
    account.seconds = time.monotonic() - begun
    return account


def _ledger(scene: Scene, seed: int, epoch: float, *, on_server: bool) -> Ledger:
    """The records of all parties at the end."""
    site = scene.fixture
    return Ledger(
        mails=[Mail(seed, number) for number in range(scene.load.mails)],
        arrivals=site.hop.arrivals(),
        attempts=attempts_in(site.front.log, epoch),
        said=said_in(site.daemon.output, epoch),
        contents=asyncio.run(contents(Config.load(site.daemon.config))),
        kills=scene.kills,
        troubles=scene.troubles,
        epoch=epoch,
        clocks=frozenset(scene.clocks),
        vanished=frozenset(scene.vanished),
        on_server=on_server,
    )


def _flow(site: Fixture, copies: int) -> None:
    """Wait until so many more copies have arrived."""
    wanted = site.hop.count + copies
    until(lambda: site.hop.count >= wanted, f"{copies} more copies", PATIENCE_S)


def _empty(front: Postfix) -> bool:
    """Whether Postfix has delivered everything; else it is asked to hurry.

    A mail that its queue manager met while another attempt was just ending rests for minutes.
    """
    if not front.queue():
        return True
    front.flush()
    return False


def _let_happen(fault: Fault, scene: Scene, longest_s: float) -> Happened:
    deferred = _deferred(scene.fixture)
    happened = Happened(fault, begun=time.monotonic())
    with fault.happen(scene):
        time.sleep(scene.chance.uniform(0.1, longest_s))  # the duration is random, too
    happened.over = time.monotonic()
    happened.deferred = _deferred(scene.fixture) - deferred
    return happened


def _deferred(fixture: Fixture) -> int:
    return fixture.front.log.count("status=deferred")
