"""Signals that would end a program while it holds a mail.

SIGHUP, SIGINT and SIGTERM end a program between any two of its steps: a pipe would get half a mail, or
none.  Inside an `Interruption` they only set `came` and end a wait (`wait`), so the program itself chooses
where it ends.  No handler raises: an exception between two steps could lose a piece of the mail.

`dspamc` starts once per message and imports this module, which avoids `signal` because that loads `enum`.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import os
import time
from select import POLLIN, poll

from dspamd.commands.complaint import Trouble

TYPE_CHECKING = False  # typing takes too long to load
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

SIGNALS = {1: "SIGHUP", 2: "SIGINT", 15: "SIGTERM"}


class Interruption:
    """Catches `SIGNALS` from entry to exit; an ignored one (nohup) stays ignored.

    Only the main thread gets signals, so none comes in other threads.
    """

    def __init__(self, *, off: bool = False) -> None:
        self._off = off  # signals keep their meaning
        self._came = ""
        self._ends = (-1, -1)
        self._former: dict[int, Callable[..., object] | int | None] = {}
        self._former_wakeup: int | None = None

    def __enter__(self) -> Self:
        read, write = self._ends = os.pipe()
        os.set_blocking(read, False)
        os.set_blocking(write, False)
        if self._off:
            return self
        try:
            self._former_wakeup = _signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        except ValueError:
            return self
        for number in SIGNALS:
            if _signal.getsignal(number) != _signal.SIG_IGN:
                self._former[number] = _signal.signal(number, _nothing)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._former.items():
            _signal.signal(number, handler)
        if self._former_wakeup is not None:
            _signal.set_wakeup_fd(self._former_wakeup)
        for end in self._ends:
            os.close(end)

    @property
    def came(self) -> str:
        """The name of the first signal; empty if none came."""
        while not self._came:
            try:
                number = os.read(self._ends[0], 1)
            except BlockingIOError:
                return ""
            self._came = SIGNALS.get(number[0], "")  # others have handlers of their own
        return self._came

    def check(self) -> None:
        """Raises Trouble if a signal came."""
        if self.came:
            raise Trouble(f"ended by {self.came}")

    def wait(self, descriptor: int, event: int, deadline: float | None = None) -> None:
        """Wait for a descriptor (POLLIN, POLLOUT).  Raises TimeoutError, and Trouble if a signal comes.

        `deadline` is a time of `time.monotonic`.
        """
        waiting = poll()
        waiting.register(self._ends[0], POLLIN)
        waiting.register(descriptor, event)
        self.check()
        ready = waiting.poll(None if deadline is None else max(1, 1000 * (deadline - time.monotonic())))
        self.check()
        if not ready:
            raise TimeoutError("timed out")

    def pause(self, seconds: float) -> None:
        """Wait.  Raises Trouble if a signal comes."""
        waiting = poll()
        waiting.register(self._ends[0], POLLIN)
        self.check()
        waiting.poll(1000 * seconds)
        self.check()


def _nothing(*_: object) -> None:
    """Do nothing: the wakeup descriptor has noted the signal."""
