"""Waiting for an event under a deadline: the only way these tests pass time.

The events are things of other processes (a file in a Maildir, a listening
port), which can only be looked at again and again.
"""

from __future__ import annotations

import time
from collections.abc import Callable


def until(
    event: Callable[[], bool], what: str | Callable[[], str], timeout_s: float = 30, every_s: float = 0.02
) -> None:
    """Return once `event` is true; fail saying `what` was awaited after `timeout_s` seconds.

    `every_s`: how often to look; 0 for an event that must not be missed by a moment.
    """
    deadline = time.monotonic() + timeout_s
    while not event():
        if time.monotonic() > deadline:
            raise AssertionError(f"Waited {timeout_s} s for " + (what if isinstance(what, str) else what()))
        time.sleep(every_s)
