"""A real clamd of our own, with one signature: that of `VIRUS`.

It lives in a folder of its own, listens on a free port and on a socket, and shares
nothing with the clamd of the machine, which need not run.
"""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

from tests.support.ports import free_port
from tests.support.wait import until

PROGRAM = "/usr/sbin/clamd"
VIRUS = b"DSPAMD-TEST-VIRUS/4f1c9a"
NAME = "Dspamd.Test"
STREAM_BYTES = 1 << 20  # clamd does not scan more

CONF = f"""\
Foreground yes
DatabaseDirectory {{folder}}/signatures
TemporaryDirectory {{folder}}
LocalSocket {{folder}}/socket
TCPSocket {{port}}
TCPAddr 127.0.0.1
StreamMaxLength {STREAM_BYTES}
MaxThreads 2
"""


class Clamd:
    """A context manager that starts and stops it."""

    def __enter__(self) -> Clamd:
        self.folder = Path(tempfile.mkdtemp(prefix="clamd"))  # the path of a socket has to be short
        self.port = free_port()
        self.socket = self.folder / "socket"
        (self.folder / "clamd.conf").write_text(CONF.format(folder=self.folder, port=self.port))
        (self.folder / "signatures").mkdir()
        (self.folder / "signatures/test.ndb").write_text(f"{NAME}:0:*:{VIRUS.hex()}\n")
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()
        shutil.rmtree(self.folder)

    def start(self) -> None:
        """Start it, again too, and wait until it answers."""
        with (self.folder / "output").open("ab") as output:
            self._process = subprocess.Popen(
                [PROGRAM, "-c", self.folder / "clamd.conf"], stdout=output, stderr=subprocess.STDOUT
            )
        until(self._answers, lambda: "clamd to answer; it said:\n" + (self.folder / "output").read_text())

    def freeze(self) -> None:
        """Let it hang: connections are taken, and nothing happens."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it; a frozen one as well."""
        self._process.kill()
        self._process.wait(20)
        self.socket.unlink(missing_ok=True)

    def _answers(self) -> bool:
        assert self._process.poll() is None, "clamd ended at once"
        try:
            with socket.create_connection(("127.0.0.1", self.port), 5) as connection:
                connection.sendall(b"zPING\0")
                return connection.recv(10) == b"PONG\0" and self.socket.exists()
        except OSError:
            return False
