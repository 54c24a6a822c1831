"""`python -m release.changes FILE`: what changes with this release, as CHANGELOG.md says it.

The version stands in `dspamd.__version__` alone. There is no release without a part of CHANGELOG.md for it.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from dspamd import __version__


def changes(changelog: str, version: str) -> str:
    """The part of a version, without its heading. Raises `LookupError` if there is none."""
    parts = re.split(r"^## (.*)\n", changelog, flags=re.M)
    found = dict(zip(parts[1::2], parts[2::2], strict=True))
    if version not in found:
        raise LookupError(f"CHANGELOG.md has no part {version}")
    return found[version].strip() + "\n"


if __name__ == "__main__":
    try:
        Path(sys.argv[1]).write_text(changes(Path("CHANGELOG.md").read_text(), __version__))
    except LookupError as error:
        sys.exit(str(error))
