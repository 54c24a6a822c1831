"""A process that learns: `python -m tests.support.learner DRIVER FOLDER OWNER COUNT`.

Each message adds one to the total and to every token, and a change to a block that is
folded now and then, so a store in which they differ has a message half.  A line on stdout
follows each message that was applied.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from dspamd.maintenance.conformance.steps import learning, new
from dspamd.storage.contract import BlockChange, Change, Storage, Uid
from tests.support.drivers import driver

TOKENS = range(1, 501)
LESSON = Change(learning(TOKENS, 1, 0, spam_learned=1), block=BlockChange("weights", b"x"))
FOLDED = 4  # messages of a process until it folds


async def joined(storage: Storage, uid: Uid) -> tuple[int, bytes]:
    """The block with all changes, and its version."""
    block = await storage.block(uid, "weights")
    return block.version, (block.base or b"") + b"".join(block.changes)


async def fold(storage: Storage, uid: Uid) -> None:
    await storage.fold(uid, "weights", *await joined(storage, uid))


async def main(name: str, folder: str, owner: str, count: str) -> None:
    storage = driver(name, Path(folder))
    await storage.open()
    uid = await new(storage, owner)
    for n in range(int(count)):
        await storage.apply(uid, LESSON)
        if not n % FOLDED:
            await fold(storage, uid)
        print(flush=True)
    await storage.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
