"""A delivery agent that records its input."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from dspamd.delivery.agent import Agent


class RecordingAgent:
    """A delivery agent that records its arguments and its input, then ends with a given status."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.command = str(folder / "lda")
        self.ends("pass")

    def ends(self, code: str) -> None:
        path = Path(self.command)
        path.write_text(
            f"#!{sys.executable}\nimport os, pathlib, sys, time\n"
            f"folder = pathlib.Path({str(self._folder)!r})\n"
            "(folder / 'words').write_bytes(b'\\0'.join(map(os.fsencode, sys.argv[1:])))\n"
            "(folder / 'message').write_bytes(sys.stdin.buffer.read())\n"
            f"{code}\n"
        )
        path.chmod(0o755)

    @property
    def words(self) -> list[bytes]:
        return (self._folder / "words").read_bytes().split(b"\0")

    @property
    def message(self) -> bytes:
        return (self._folder / "message").read_bytes()

    def agent(
        self,
        words: str = "",
        arguments: Sequence[str] = (),
        *,
        permanent: bool = False,
        timeout_s: float = 20,
    ) -> Agent:
        return Agent(
            f"{self.command} {words}", arguments, user="bob", timeout_s=timeout_s, errors_permanent=permanent
        )
