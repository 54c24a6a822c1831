"""The next hop as a separate process that a test can stop, freeze and start again.

    python -m tests.chaos.next_hop PORT FOLDER

is a mail server that writes each copy to a file before it answers, so no acknowledged
copy can get lost.  The name of the file has the time (monotonic nanoseconds, the same
clock in all processes) and the recipient.  After each answer it writes a line to the
file `answers`.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import AnyStr

from aiosmtpd.smtp import SMTP, Envelope, Session

from tests.chaos.ledger import Arrival
from tests.support.ports import free_port, greets
from tests.support.wait import until

_REPOSITORY = Path(__file__).parents[2]


class HopProcess:
    """That process.  A context manager that starts and stops it; what arrived is in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder / "arrived"
        self._folder.mkdir()
        for name in ("tally", "answers"):
            (self._folder / name).touch()

    def __enter__(self) -> HopProcess:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it, again too, and wait until it greets."""
        words = (sys.executable, "-m", "tests.chaos.next_hop", str(self.port), str(self._folder))
        self._process = subprocess.Popen(words, cwd=_REPOSITORY)
        until(lambda: greets(self.port), "the next hop to greet")

    def stop(self) -> None:
        """End it at once; a frozen one too."""
        self._process.kill()
        self._process.wait(20)

    def freeze(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    @property
    def count(self) -> int:
        """How many copies have arrived, cheaply; a kill may cost it some of the last."""
        return (self._folder / "tally").stat().st_size

    def arrivals(self) -> list[Arrival]:
        """All copies, as they arrived."""
        answers = dict(line.split() for line in (self._folder / "answers").read_text().splitlines())
        found = []
        for path in sorted(self._folder.glob("*.eml")):
            at, _, user, _ = path.name.split(".")
            answered = int(answers[path.name]) / 1e9 if path.name in answers else None
            found.append(Arrival(int(at) / 1e9, user, path.read_bytes(), answered))
        return found


class _Keeper:
    """The handler of aiosmtpd."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count()

    async def handle_DATA(self, server: _Server, session: Session, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.original_content, bytes)
        for address in envelope.rcpt_tos:
            user = address.partition("@")[0]
            name = f"{time.monotonic_ns():020}.{os.getpid()}-{next(self._numbers)}.{user}.eml"
            unfinished = self._folder / f"{name}.part"
            unfinished.write_bytes(envelope.original_content)
            unfinished.rename(self._folder / name)
            self._note("tally", ".")
            server.unanswered.append(name)
        return "250 2.0.0 kept"

    def answered(self, names: list[str]) -> None:
        """Note that the answer for these copies has left."""
        for name in names:
            self._note("answers", f"{name} {time.monotonic_ns()}\n")

    def _note(self, file: str, text: str) -> None:
        with (self._folder / file).open("ab") as notes:
            notes.write(text.encode())


class _Server(SMTP):
    """A session, which knows what copies its next reply is the answer for."""

    def __init__(self, keeper: _Keeper) -> None:
        super().__init__(keeper, ident="next hop", data_size_limit=1 << 24)
        self._keeper = keeper
        self.unanswered: list[str] = []

    async def push(self, status: AnyStr) -> None:
        await super().push(status)
        names, self.unanswered = self.unanswered, []
        self._keeper.answered(names)


async def _serve(port: int, folder: Path) -> None:
    keeper = _Keeper(folder)
    server = await asyncio.get_running_loop().create_server(lambda: _Server(keeper), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), Path(sys.argv[2])))
