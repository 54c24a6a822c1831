"""The daemon as process 1, which it is in a container: nothing else stops it or buries the dead."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemon import PROGRAM, Daemon
from tests.support.namespaces import unshare
from tests.support.ports import free_port, greets
from tests.support.wait import until

ORPHAN = "sleep 0.3 & exit 0"  # its parent is gone before it ends
MAIL = b"From: x@example.net\r\nSubject: hello\r\n\r\nhello\r\n"


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[tuple[Daemon, subprocess.Popen[bytes]]]:
    """The daemon in a namespace of processes, and the program around it; its agent leaves an orphan."""
    agent = tmp_path / "agent"
    agent.write_text(f"#!/bin/sh\ncat >/dev/null\n{ORPHAN}\n")
    agent.chmod(0o755)
    daemon = Daemon(tmp_path, free_port(), settings=f"TrustedDeliveryAgent {agent}\nServerWorkers 1\n")
    text = daemon.config.read_text()
    daemon.config.write_text(
        "".join(line for line in text.splitlines(True) if not line.startswith("Delivery"))
    )
    command: list[str | Path] = [
        *unshare("--pid", "--fork", "--kill-child"),
        PROGRAM,
        "--config",
        daemon.config,
    ]
    with (tmp_path / "output").open("wb") as output:
        program = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        until(lambda: greets(daemon.port), lambda: f"dspamd to greet; {daemon.output}")
        yield daemon, program
    finally:
        program.kill()
        program.wait(20)


def children(pid: int) -> list[int]:
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def test_it_buries_orphans_and_ends_on_sigterm(outside: tuple[Daemon, subprocess.Popen[bytes]]) -> None:
    daemon, program = outside
    (first,) = children(program.pid)
    workers = children(first)
    assert daemon.deliver(MAIL, "bob") == [250], daemon.output
    until(lambda: set(children(first)) > set(workers), lambda: f"an orphan; {daemon.output}")
    until(lambda: children(first) == workers, lambda: f"the orphan to be buried; {children(first)}")
    os.kill(workers[0], signal.SIGKILL)
    until(lambda: children(first) not in ([], workers), lambda: f"another worker; {daemon.output}")
    until(lambda: greets(daemon.port), lambda: f"dspamd to greet again; {daemon.output}")
    os.kill(first, signal.SIGTERM)
    assert program.wait(30) == 0, daemon.output
