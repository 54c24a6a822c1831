"""Work that the package does in one place only: a second copy would drift from the first."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "dspamd"
ONCE = {
    "replaces a file": (
        r"\.replace\((?:self\._)?path\)|os\.(?:replace|rename)\(|\.rename\(self\._path",
        {"files.py"},
    ),
    "asks whether an open file is still there": (r"samestat|\.st_dev\b.*\.st_ino\b", {"files.py"}),
    "counts days from 1970": (r"date\(1970|719_?163", {"storage/clock.py"}),
}


@pytest.mark.parametrize("what", ONCE)
def test_one_module_alone(what: str) -> None:
    pattern, modules = ONCE[what]
    found = {
        str(file.relative_to(PACKAGE))
        for file in PACKAGE.rglob("*.py")
        if re.search(pattern, file.read_text("utf-8"))
    }
    assert found == modules
