"""A bar that shows on a terminal how much of a long work is done."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Self

_WIDTH = 40  # characters


class Bar:
    """How much is done, on a terminal; a context, which leaves its line at the end."""

    def __init__(self) -> None:
        self._shown = -1 if sys.stderr.isatty() else None

    def show(self, share: float, note: str = "") -> None:
        """Draw it, with a note beside it, if it has grown by a tenth of a percent."""
        if self._shown is None or int(1000 * share) == self._shown:
            return
        self._shown = int(1000 * share)
        done = int(_WIDTH * share)
        sys.stderr.write(f"\r{'█' * done}{'░' * (_WIDTH - done)} {100 * share:5.1f} %  {note}\x1b[K")
        sys.stderr.flush()

    def end(self) -> None:
        """Leave its line."""
        if self._shown is not None and self._shown >= 0:
            sys.stderr.write("\n")
            self._shown = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()
