"""A run: mail flows, faults happen at moments that chance chose, and then the books are checked.

Every copy of every mail must arrive, whole, and identical but for our fields.  A copy
may arrive twice only if a fault that cuts acknowledgements was near.  The counters must
equal what was acknowledged as learned, within the window that a message spends between
its hand-over and its acknowledgement: that of `Account.least` and `Account.most`.
"""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.chaos.faults import Fault, Scene
from tests.chaos.ground import DEADLINE_S, Ground, ground
from tests.chaos.load import Load
from tests.chaos.mails import Mail, number_of
from tests.chaos.next_hop import Arrival
from tests.e2e.postfix import Postfix
from tests.e2e.wait import until

LONGEST_S = DEADLINE_S + 1.5
"""A fault lasts so long at most: what hangs is noticed, or is over before."""
BETWEEN = 60
"""Before the next fault fewer copies than this arrive, and all of them after the last one."""
PATIENCE_S = 180
WINDOW_S = float(DEADLINE_S)
"""From the hand-over of a copy to its acknowledgement: learning has no longer."""


@dataclass
class Happened:
    """A fault that happened, from `begun` to `over` (monotonic seconds), and what it cost."""

    fault: Fault
    begun: float
    over: float = 0.0
    deferred: int = 0
    second_copies: int = 0

    def excuses(self, first: Arrival) -> bool:
        """Whether the acknowledgement of `first` was due while it was in force."""
        return self.fault.cuts and self.begun - WINDOW_S <= first.at <= self.over + WINDOW_S


@dataclass
class Account:
    """The result of a run.  `problems` is empty if every promise was kept."""

    store: str
    seed: int
    mails: int = 0
    copies: int = 0
    arrived: int = 0  # second copies included
    learned: int = 0
    not_learned: int = 0  # acknowledged, and said in the log to be not learned
    seconds: float = 0.0
    happened: list[Happened] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def least(self) -> int:
        """Each copy was acknowledged once; it was learned then, or the log says that it was not."""
        return self.copies - self.not_learned

    @property
    def most(self) -> int:
        """What was handed over and not acknowledged may have been learned, too."""
        return self.arrived

    def __str__(self) -> str:
        rows = [f"{'fault':<22}{'times':>6}{'seconds':>9}{'deferred':>10}{'second copies':>15}"]
        by_name: dict[str, list[Happened]] = defaultdict(list)
        for each in self.happened:
            by_name[each.fault.name].append(each)
        for name, these in by_name.items():
            seconds = sum(each.over - each.begun for each in these)
            deferred, second = sum(each.deferred for each in these), sum(each.second_copies for each in these)
            rows.append(f"{name:<22}{len(these):>6}{seconds:>9.1f}{deferred:>10}{second:>15}")
        return "\n".join([
            f"{self.store}: seed {self.seed}, {self.mails} mails, {self.copies} copies, {self.seconds:.0f} s",
            *rows,
            f"arrived {self.arrived}, of these {self.arrived - self.copies} second copies",
            f"learned {self.learned}: at least {self.least} ({self.not_learned} told as not learned), "
            f"at most {self.most}",
            *(self.problems or ["every promise kept"]),
        ])  # fmt: skip


def storm(store: str, folder: Path, seed: int, kinds: Sequence[Fault], mails: int = 0) -> Account:
    """Let faults of these kinds happen in an order that chance chooses, while `mails` mails or more flow."""
    chance = Random(f"{seed} {store}")
    plan = chance.sample(kinds, len(kinds))
    account = Account(store, seed)
    begun = time.monotonic()
    with ground(store, folder) as site:
        with Load(site.front, site.hop, seed) as load:
            for fault in plan:
                _flow(site, chance.randrange(1, BETWEEN))
                account.happened.append(_let_happen(fault, Scene(site, load, chance)))
            _flow(site, max(BETWEEN, mails - load.mails))
        until(lambda: _empty(site.front), lambda: f"an empty queue: {site.front.queue()}", PATIENCE_S)
        site.daemon.stop()
        account.mails, account.learned = load.mails, site.learned()
        account.not_learned = site.daemon.output.count("event=not_learned")
        account.problems += re.findall("^.*Traceback.*$", site.daemon.output, re.M)
        account.problems += re.findall("^.*status=bounced.*$", site.front.log, re.M)
        account.problems += site.front.complaints
        _check(account, site.hop.arrivals())
        site.daemon.start()  # the site stops what it started
    account.seconds = time.monotonic() - begun
    return account


def _flow(site: Ground, copies: int) -> None:
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


def _let_happen(fault: Fault, scene: Scene) -> Happened:
    deferred = _deferred(scene.ground)
    happened = Happened(fault, begun=time.monotonic())
    with fault.happen(scene):
        time.sleep(scene.chance.uniform(0.1, LONGEST_S))  # how long it lasts is chance, too
    happened.over = time.monotonic()
    happened.deferred = _deferred(scene.ground) - deferred
    return happened


def _deferred(ground: Ground) -> int:
    return ground.front.log.count("status=deferred")


def _check(account: Account, arrivals: list[Arrival]) -> None:
    """Compare what arrived with what was sent."""
    mails = [Mail(account.seed, number) for number in range(account.mails)]
    wanted = {(mail.number, user) for mail in mails for user in mail.users}
    account.copies, account.arrived = len(wanted), len(arrivals)
    found: dict[tuple[int, str], list[Arrival]] = defaultdict(list)
    for arrival in arrivals:
        number = number_of(arrival.content)
        if number is None or (number, arrival.user) not in wanted:
            account.problems.append(f"came from nowhere: {number} for {arrival.user}")
        elif not mails[number].is_in(arrival.content):
            account.problems.append(f"changed: {number} for {arrival.user}, {len(arrival.content)} bytes")
        else:
            found[number, arrival.user].append(arrival)
    account.problems += [f"lost: {number} for {user}" for number, user in sorted(wanted - found.keys())]
    for (number, user), copies in found.items():
        for first in copies[:-1]:
            cause = next((each for each in account.happened if each.excuses(first)), None)
            if cause is None:
                account.problems.append(f"twice, without a cause: {number} for {user}")
            else:
                cause.second_copies += 1
    if not account.least <= account.learned <= account.most:
        account.problems.append(f"learned {account.learned}, not {account.least} to {account.most}")
