"""This source tree as published, without built files."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def tracked() -> list[Path]:
    """Its files; new ones too, that are not committed yet."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(listed, cwd=ROOT, capture_output=True, check=True, timeout=60)
    names = map(Path, filter(None, done.stdout.decode().split("\0")))
    return [name for name in names if (ROOT / name).is_file()]


def copy_to(folder: Path) -> None:
    """Copy it."""
    for name in tracked():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
