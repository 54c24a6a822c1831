"""The memory of an idle worker."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from bench.figures import Figure
from tests.support.daemon import Daemon
from tests.support.ports import free_port

BUDGET_MIB = 64.0


def measure() -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder, Daemon(Path(folder), free_port()) as daemon:
        worst = max(map(pss_mib, daemon.workers))
        return [Figure("idle worker, resident (PSS)", worst, "MiB", BUDGET_MIB, 1.0)]


def pss_mib(pid: int) -> float:
    """Memory of a process, shared pages counted in part: proc(5) smaps_rollup."""
    found = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)
    assert found
    return int(found[1]) / 1024
