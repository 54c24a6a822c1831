"""The one time that all published files have, and what the programs that make them find around them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


def moment(tree: Path) -> int:
    """Seconds since 1970: SOURCE_DATE_EPOCH, else what a source distribution has, else the last commit."""
    if named := os.environ.get("SOURCE_DATE_EPOCH"):
        return int(named)
    if (information := tree / "PKG-INFO").exists():
        return int(information.stat().st_mtime)
    last = ["git", "log", "-1", "--format=%ct"]
    return int(subprocess.run(last, cwd=tree, capture_output=True, check=True, timeout=60).stdout)


def environment(tree: Path) -> dict[str, str]:
    """What those programs find around them: our variables, and the moment.

    What Cython once made of the same source is not at their hand (CYTHON_CACHE_DIR): the way from the folder
    where it did so to Cython's own files is in it.
    """
    ours = {name: value for name, value in os.environ.items() if name != "CYTHON_CACHE_DIR"}
    return {**ours, "SOURCE_DATE_EPOCH": str(moment(tree))}
