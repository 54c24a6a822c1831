"""The log of the program, for tests that look at what it tells."""

from __future__ import annotations


class Logged:
    """Takes the lines of the log; the fixture `logged` puts one in place."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def write(self, level: str, line: str) -> None:
        self._lines.append(line)

    def take(self) -> str:
        """What was told since the last time."""
        lines, self._lines = self._lines, []
        return "".join(f"{line}\n" for line in lines)
