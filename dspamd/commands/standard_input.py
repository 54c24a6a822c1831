"""The message on standard input, kept so that `dspamc` can print it as it came.

No failure loses a byte: the object holds those that have no room in the spool, and the rest is still
unread.
"""

from __future__ import annotations

import os
import stat
from select import POLLIN

from dspamd.commands.complaint import Trouble
from dspamd.commands.interruption import Interruption
from dspamd.commands.spool import CHUNK, Spool

TYPE_CHECKING = False  # typing takes too long to load
if TYPE_CHECKING:
    from collections.abc import Iterator


class StandardInput:
    """A message that is read once, piece by piece."""

    doubtful = False
    """Whether its end may be none: a signal that came before may have ended its writer, too."""

    def __init__(self, interruption: Interruption) -> None:
        self._interruption = interruption
        self._spool = Spool()
        self._hand = b""  # a piece that is in no spool
        self._ended = False

    def read(self, *, to_the_end: bool) -> Spool:
        """All of it; a signal stops the reading, unless it goes on `to_the_end`.  Raises Trouble."""
        while not self._ended:
            if not to_the_end:
                self._interruption.wait(0, POLLIN)
            self._hand = self._next()
            try:
                self._spool.write(self._hand)
            except OSError as error:
                raise Trouble(f"no room for the message: {error.strerror or error}") from None
            self._hand = b""
        self._interruption.check()
        return self._spool

    def as_it_came(self) -> Iterator[bytes]:
        """All of it, whatever became of `read`; what was not read yet, too.  Raises Trouble."""
        yield from self._spool.pieces()
        yield self._hand
        while not self._ended:
            yield self._next()

    def _next(self) -> bytes:
        try:
            piece = os.read(0, CHUNK)
            if not piece:
                self._ended = True
                self.doubtful = bool(self._interruption.came) and not stat.S_ISREG(os.fstat(0).st_mode)
        except OSError as error:
            raise Trouble(f"standard input: {error.strerror or error}", final=True) from None
        return piece
