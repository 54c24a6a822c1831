"""The log of the program, for tests that read it."""

from __future__ import annotations


class Logged:
    """Keeps the lines of the log, each with its level; the fixture `logged` puts one in place."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def open(self) -> None:
        """It is there."""

    def write(self, level: str, line: str) -> None:
        self.lines.append((level, line))

    def close(self) -> None:
        """There is nothing to let go of."""

    def take(self) -> str:
        """The log lines since the last call."""
        lines, self.lines = self.lines, []
        return "".join(f"{line}\n" for _, line in lines)
