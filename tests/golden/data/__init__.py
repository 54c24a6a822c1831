"""Golden data: what DSPAM 3.10.2 really produced, recorded row by row.

Texts are bytes read as ISO-8859-1: `text.encode("latin-1")` gives the bytes back.
"""

from __future__ import annotations

import functools
import gzip
import json
import tarfile
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
TOTALS = {
    "SL": "spam_learned",
    "IL": "innocent_learned",
    "SM": "spam_misclassified",
    "IM": "innocent_misclassified",
    "SC": "spam_corpusfed",
    "IC": "innocent_corpusfed",
    "SCl": "spam_classified",
    "ICl": "innocent_classified",
}
"""The totals by their names in the recordings."""


def rows(name: str) -> list[dict[str, Any]]:
    """The rows of a JSONL file, named without its `.gz`."""
    with gzip.open(FOLDER / f"{name}.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


@functools.cache
def messages(archive: str) -> dict[str, bytes]:
    """The messages of a tar file by their names, without folders."""
    with tarfile.open(FOLDER / archive) as tar:
        files = {member.name.rpartition("/")[2]: tar.extractfile(member) for member in tar if member.isfile()}
        return {name: file.read() for name, file in files.items() if file is not None}
