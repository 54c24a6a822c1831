"""`make chaos [SEED=number] [MAILS=number]`: the faults in full, on every kind of store.

    python -m tests.chaos MAILS [SEED]      MAILS: the fewest that flow for each store

It prints two accounts for each store: one with counters, one with `Algorithm joint` and `TrainingMode tone`.
The exit status is 1 if the daemon broke a promise, and 2 if it kept all, but some faults were LEFT OUT
because they are impossible here.  The same seed sends the same mails and plans the same faults; their exact
moments, and so the work that they hit, differ in each run.
"""

from __future__ import annotations

import itertools
import os
import secrets
import sys
import tempfile
from pathlib import Path

from tests.chaos.experiment import experiment
from tests.chaos.faults import faults
from tests.chaos.fixture import JOINT, STORES
from tests.support.daemon import SCORING

ROUNDS = {SCORING: 2, JOINT: 1}
"""How often each fault happens, and its share of the mails, by what the daemon learns."""


def main() -> int:
    if os.geteuid() != 0:
        sys.exit("Run this as root: nobody else can start Postfix, and mount a small disk to fill it.")
    mails = int(sys.argv[1])
    seed = int(sys.argv[2]) if sys.argv[2:] else secrets.randbelow(1_000_000)
    kept, left_out = True, False
    for store, scoring in itertools.product(STORES, ROUNDS):
        kinds, share = faults(store) * ROUNDS[scoring], mails * ROUNDS[scoring] // sum(ROUNDS.values())
        with tempfile.TemporaryDirectory(prefix="chaos") as folder:
            account = experiment(store, Path(folder), seed, kinds, share, scoring=scoring)
        print(account, end="\n\n", flush=True)
        kept, left_out = kept and not account.problems, left_out or bool(account.left_out)
    return (2 if left_out else 0) if kept else 1


if __name__ == "__main__":
    sys.exit(main())
