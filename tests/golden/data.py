"""Golden data: what DSPAM 3.10.2 really produced, recorded row by row.

Texts are bytes read as ISO-8859-1: `text.encode("latin-1")` gives the bytes back.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "data"


def rows(name: str) -> list[dict[str, Any]]:
    """The rows of a JSONL file, named without its `.gz`."""
    with gzip.open(FOLDER / f"{name}.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]
