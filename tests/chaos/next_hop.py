"""The next hop as a process of its own, which can be stopped, frozen and started again.

    python -m tests.chaos.next_hop PORT FOLDER

is a mail server that writes each copy it takes to a file before it answers, so that
what it acknowledged is there whatever happens to it.  The name of the file says when
(monotonic nanoseconds, the same clock in all processes) and for whom.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session

from tests.e2e.postfix import free_port, greets
from tests.e2e.wait import until

_REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class Arrival:
    """A copy that was taken, at `at` (monotonic seconds)."""

    at: float
    user: str
    content: bytes


class NextHop:
    """That process.  A context manager that starts and stops it; what arrived is in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder / "arrived"
        self._folder.mkdir()
        (self._folder / "tally").touch()

    def __enter__(self) -> NextHop:
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
        found = []
        for path in sorted(self._folder.glob("*.eml")):
            at, _, user, _ = path.name.split(".")
            found.append(Arrival(int(at) / 1e9, user, path.read_bytes()))
        return found


class _Keeper:
    """What aiosmtpd calls for each message."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count()

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.original_content, bytes)
        for address in envelope.rcpt_tos:
            user = address.partition("@")[0]
            name = f"{time.monotonic_ns():020}.{os.getpid()}-{next(self._numbers)}.{user}.eml"
            unfinished = self._folder / f"{name}.part"
            unfinished.write_bytes(envelope.original_content)
            unfinished.rename(self._folder / name)
            with (self._folder / "tally").open("ab") as tally:
                tally.write(b".")
        return "250 2.0.0 kept"


async def _serve(port: int, folder: Path) -> None:
    keeper = _Keeper(folder)
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(keeper, ident="next hop", data_size_limit=1 << 24), "127.0.0.1", port
    )
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), Path(sys.argv[2])))
