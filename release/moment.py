"""The one time that all published files have."""

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
