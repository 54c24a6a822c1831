"""A process that learns: `python -m tests.support.learner DRIVER FOLDER OWNER COUNT`.

Each message adds one to the total and to every token, so a store in which they
differ has a message half.  A line on stdout follows each message that was applied.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from dspamd.maintenance.conformance import learn, new
from tests.support.drivers import driver

TOKENS = range(1, 501)


async def main(name: str, folder: str, owner: str, count: str) -> None:
    storage = driver(name, Path(folder))
    await storage.open()
    uid = await new(storage, owner)
    for _ in range(int(count)):
        await learn(storage, uid, TOKENS, 1, 0, spam_learned=1)
        print(flush=True)
    await storage.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
