"""Golden cases that a person can read: a folder each, with the message `in.eml` and the facts in `case.toml`.

A new folder below `rewrite`, `tokens` or `retrain` is a new test.  `recorded` names the row of the recordings
with which a case agrees; a case without it says what we do on purpose.  README.md describes the keys.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).parent


class Case(NamedTuple):
    """A folder of a kind: its name, the facts, the message, and the result if it is a message."""

    name: str
    facts: dict[str, Any]
    given: bytes
    wanted: bytes


def cases(kind: str) -> list[Case]:
    """All cases of a kind, by name."""
    return [_case(folder) for folder in sorted((FOLDER / kind).iterdir()) if folder.is_dir()]


def _case(folder: Path) -> Case:
    out = folder / "out.eml"
    facts = tomllib.loads((folder / "case.toml").read_text("utf-8"))
    wanted = out.read_bytes() if out.exists() else b""
    return Case(folder.name, facts, (folder / "in.eml").read_bytes(), wanted)
