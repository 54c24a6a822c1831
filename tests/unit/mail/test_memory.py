"""The memory of a message is reused for the next one, and not given back and cleared again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FAULTS = """
import resource, sys
from dspamd.engine.model import TokenOptions
from dspamd.engine.tokenizer import tokenize
from dspamd.mail._view import keep_memory
from dspamd.mail.view import View

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

if len(sys.argv) > 1:
    keep_memory(int(sys.argv[1]))
view = View(b"", b" ".join(b"%x" % (n * n) for n in range(10_000)))
for _ in range(5):
    tokenize(view, TokenOptions("osb"))
before = faults()
for _ in range(20):
    tokenize(view, TokenOptions("osb"))
print((faults() - before) // 20)
"""


def faults_per_message(*arguments: str) -> int:
    run = subprocess.run(
        [sys.executable, "-c", FAULTS, *arguments],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return int(run.stdout)


def test_memory_is_kept_if_asked() -> None:
    assert faults_per_message(str(16 << 20)) <= 2
    assert faults_per_message() > 100
