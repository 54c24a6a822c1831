"""The doctor examines the daemon that answers, and the libraries."""

from __future__ import annotations

import pytest

import dspamd
from dspamd.diagnosis import Severity
from dspamd.doctor.programs import Library, judged_answer, judged_libraries

OURS = dspamd.__version__


@pytest.mark.parametrize(
    ("answer", "severity", "said"),
    [
        (f"220 DSPAM LMTP {OURS} Ready", Severity.FINE, f"version {OURS}"),
        (f"220 DSPAM DLMTP {OURS} Authentication Required", Severity.FINE, f"version {OURS}"),
        ("220 DSPAM LMTP 3.9.9 Ready", Severity.PROBLEM, f"has version 3.9.9, installed is {OURS}"),
        ("220 mx.example.org ESMTP", Severity.PROBLEM, "another program answers at *:24: 220 mx.ex"),
        ("", Severity.PROBLEM, "another program answers at *:24: it hangs up"),
        (ConnectionRefusedError(111, "Connection refused"), Severity.PROBLEM, "24: Connection refused"),
    ],
)
def test_the_daemon(answer: str | OSError, severity: Severity, said: str) -> None:
    diagnosis = judged_answer("*:24", answer)
    assert diagnosis.severity is severity
    assert said in diagnosis.what


def test_libraries() -> None:
    good = Library("asyncpg", "0.30", "0.30.0")
    (well,) = judged_libraries([good, Library("uvloop", "0.9", "0.10")], "3.11.2")
    assert well.severity is Severity.FINE
    old, missing = judged_libraries([good, Library("a", "2.1", "2.0.9"), Library("b", "1", None)], "3.11.2")
    assert (old.severity, old.what) == (Severity.PROBLEM, "the library a is 2.0.9, 2.1 is needed")
    assert missing.what == "the library b is not installed, 1 is needed"
    assert "pip install 'b>=1'" in missing.cure
