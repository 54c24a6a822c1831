"""A client that costs next to nothing: smtp-source(1), the benchmark of Postfix itself.

It measures rates.  It does not measure latencies or pipeline commands; `client` does both.

One smtp-source sends one message, again and again.  So several run, at once or in turn, each with its
own message for its own user, over its share of the sessions; with enough sessions each worker
serves each user.  Still there are only `MAILS` different messages: after the first round all of their
tokens are in the dictionaries, and from then on TEFT raises existing counters and adds none.
The text is that of real mail (see `sample`).
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from bench.client import names
from bench.sample import of_size

PROGRAM = "/usr/sbin/smtp-source"
OPTIONS = ("-L", "-d", "-M", "client", "-f", "sender@example.net")  # LMTP, many messages in a session
MAILS = 8
TIMEOUT_S = 120


def send(port: int, *, sessions: int, count: int, size: int) -> float:
    """Deliver `count` messages of `size` bytes over LMTP, over `sessions` at once; the seconds it took.

    Both numbers are multiples of `MAILS`, or there is one session.  Raises `RuntimeError` with the
    words of smtp-source if a reply was not as it should be.
    """
    at_once = min(sessions, MAILS)
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(at_once) as pool:
        options = [*OPTIONS, "-s", str(sessions // at_once), "-m", str(count // MAILS)]
        commands = [
            [PROGRAM, *options, "-t", f"{user}@example.org", "-F", f"{folder}/{user}", f"127.0.0.1:{port}"]
            for user in names(MAILS)
        ]
        for user, content in zip(names(MAILS), _contents(size), strict=True):
            Path(folder, user).write_bytes(content)
        start = time.perf_counter()
        list(pool.map(_run, commands))
        return time.perf_counter() - start


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
    if done.returncode:
        raise RuntimeError(done.stderr)


@cache
def _contents(size: int) -> list[bytes]:
    """Messages as smtp-source reads them: it ends lines with CR LF itself, and adds an empty one."""
    return [content.replace(b"\r\n", b"\n") for content in of_size(size - 2, MAILS)]
