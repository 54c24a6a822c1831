"""The installed commands, run in this process."""

from __future__ import annotations

import importlib
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest

SCRIPTS: dict[str, str] = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())[
    "project"
]["scripts"]
"""By name: the module and function of each."""


def run(command: str, words: Sequence[str], stdin: object, patch: pytest.MonkeyPatch) -> int:
    """The exit status of a command line."""
    module, _, function = SCRIPTS[command].partition(":")
    patch.setattr(sys, "argv", [command, *words])
    patch.setattr(sys, "stdin", stdin)
    try:
        return int(getattr(importlib.import_module(module), function)())
    except SystemExit as end:  # so does argparse
        return int(end.code or 0)
