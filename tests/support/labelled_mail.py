"""The bundled sample of labelled mail, as a corpus with an index: ham and spam by turns."""

from __future__ import annotations

import tarfile
from pathlib import Path

SAMPLE = Path(__file__).parents[2] / "demo" / "sample.tar.xz"


def unpacked(folder: Path, count: int = 160) -> Path:
    """Unpack the first messages of the sample into a folder; returns its index."""
    with tarfile.open(SAMPLE) as archive:
        archive.extractall(folder, filter="data")
    names = {label: sorted((folder / label).iterdir()) for label in ("ham", "spam")}
    lines = [
        f"{label} {label}/{path.name}\n"
        for pair in zip(names["ham"], names["spam"], strict=True)
        for label, path in zip(("ham", "spam"), pair, strict=True)
    ]
    index = folder / "index"
    index.write_text("".join(lines[:count]))
    return index
