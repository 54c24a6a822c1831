"""`make chaos [SEED=number] [MAILS=number]`: the faults in full, on every kind of store.

    python -m tests.chaos MAILS [SEED]      MAILS: the fewest that flow for each store

Prints a table for each store; the exit status is 1 if a promise was broken.  The same
seed sends the same mails and plans the same faults; when exactly they strike, and so
what they meet, is never the same twice.
"""

from __future__ import annotations

import secrets
import sys
import tempfile
from pathlib import Path

from tests.chaos.faults import faults
from tests.chaos.ground import STORES
from tests.chaos.storm import storm

ROUNDS = 3


def main() -> int:
    mails = int(sys.argv[1])
    seed = int(sys.argv[2]) if sys.argv[2:] else secrets.randbelow(1_000_000)
    kept = True
    for store in STORES:
        with tempfile.TemporaryDirectory(prefix="chaos") as folder:
            account = storm(store, Path(folder), seed, faults(store) * ROUNDS, mails)
        print(account, end="\n\n", flush=True)
        kept = kept and not account.problems
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
