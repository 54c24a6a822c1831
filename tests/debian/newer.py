"""A package with the next version, made of another one without compiling."""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path


def newer(package: Path, folder: Path) -> Path:
    """The package as a later release would be; returns its path."""
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(scratch, "tree")
        subprocess.run(["dpkg-deb", "--raw-extract", package, tree], check=True, timeout=60)
        for path, pattern in (
            (tree / "DEBIAN/control", r"(?m)^(Version: )\d+"),
            (
                next(tree.glob("usr/lib/dspamd/lib/*/site-packages/dspamd/__init__.py")),
                r'(__version__ = ")\d+',
            ),
        ):
            path.write_text(re.sub(pattern, r"\g<1>99", path.read_text()))
        made = folder / re.sub(r"_\d+", "_99", package.name)
        command: list[str | Path] = ["dpkg-deb", "-Znone", "--root-owner-group", "--build", tree, made]
        subprocess.run(command, check=True, timeout=60, stdout=subprocess.DEVNULL)
    return made
