"""The time from the start of dspamc, which starts once per message, to its first bytes at the daemon.

It runs without the `site` module, as a packaged dspamc does; the cost of a virtual
environment for every Python program is not ours.
"""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.figures import Figure

ROUNDS = 40
BUDGET = 2.0

BARE = [sys.executable, "-S", "-c", "pass"]
DSPAMC = [sys.executable, "-S", "-E", "-m", "dspamd.commands.dspamc", "--user", "bob"]
SAMPLE = Path(__file__).parent.parent / "etc" / "dspam.conf"


def measure() -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as server:
        path = f"{folder}/s"
        server.bind(path)
        server.listen()
        config = Path(folder) / "dspam.conf"
        # The sample with its hundreds of lines, as an administrator keeps it.
        config.write_text(f"ClientHost {path}\nClientIdent secret@relay\n{SAMPLE.read_text()}")
        turns = [(_first_byte(server, config), _bare()) for _ in range(ROUNDS)]
    ours, bare = (statistics.median(times) for times in zip(*turns, strict=True))
    return [Figure("dspamc, start to first byte sent", ours * 1e3, "ms", bare * 1e3, BUDGET)]


def _bare() -> float:
    started = time.perf_counter()
    subprocess.run(BARE, check=True)
    return time.perf_counter() - started


def _first_byte(server: socket.socket, config: Path) -> float:
    """Seconds until a dspamc that was greeted at once says something."""
    env = {**os.environ, "DSPAM_CONF": str(config)}
    started = time.perf_counter()
    with subprocess.Popen(DSPAMC, env=env, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdin is not None
        process.stdin.write(b"Subject: x\n\nbody\n")
        process.stdin.close()
        connection, _ = server.accept()
        with connection:
            connection.sendall(b"220 ready\r\n")
            connection.recv(1)
            took = time.perf_counter() - started
        process.wait()
    return took
