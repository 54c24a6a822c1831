"""`make chaos [SEED=number] [MAILS=number]`: the faults in full, on every kind of store.

    python -m tests.chaos MAILS [SEED]      MAILS: the fewest that flow for each store

It prints an account for each store.  The exit status is 1 if the daemon broke a promise, and 2 if
it kept all, but some faults were LEFT OUT because they are impossible here.  The same seed sends
the same mails and plans the same faults; their exact moments, and so the work that they hit, differ
in each run.
"""

from __future__ import annotations

import os
import secrets
import sys
import tempfile
from pathlib import Path

from tests.chaos.experiment import experiment
from tests.chaos.faults import faults
from tests.chaos.fixture import STORES

ROUNDS = 3


def main() -> int:
    if os.geteuid() != 0:
        sys.exit("Run this as root: nobody else can start Postfix, and mount a small disk to fill it.")
    mails = int(sys.argv[1])
    seed = int(sys.argv[2]) if sys.argv[2:] else secrets.randbelow(1_000_000)
    kept, left_out = True, False
    for store in STORES:
        with tempfile.TemporaryDirectory(prefix="chaos") as folder:
            account = experiment(store, Path(folder), seed, faults(store) * ROUNDS, mails)
        print(account, end="\n\n", flush=True)
        kept, left_out = kept and not account.problems, left_out or bool(account.left_out)
    return (2 if left_out else 0) if kept else 1


if __name__ == "__main__":
    sys.exit(main())
