"""The signatures of a hash file: a folder with a file for each, and one beside it for its correction.

Names are those of DSPAM; the name of a correction lets DSPAM's maintenance script remove it with its
signature.  All of it blocks; the caller holds the lock of the hash file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from dspamd.files import make_folder
from dspamd.storage.contract import Stored
from dspamd.storage.correction import correction
from dspamd.storage.files.journal import write_file

_ID = re.compile(r"[0-9A-Za-z, ]{1,127}")  # protocols.md 8; anything else could lead out of the directory
_SIGNATURE, _CORRECTION = ".sig", ".corrected.sig"
_DAY_S = 86_400


class SignatureFiles:
    """The files in a folder, which need not be there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def stored(self, signature: str) -> Stored | None:
        """A signature with its correction; None for one that is not there."""
        if not _ID.fullmatch(signature):
            return None
        data = self.content(name_of(signature))
        if data is None:
            return None
        label, _, applied = (self.content(correction_of(signature)) or b"").partition(b"\n")
        return Stored(data, correction(label.decode(), applied) if label else None)

    def content(self, name: str) -> bytes | None:
        """The content of a file; None if it is not there."""
        try:
            return (self.folder / name).read_bytes()
        except FileNotFoundError:
            return None

    def write(self, files: Mapping[str, bytes], day: int | None = None) -> None:
        """Write files by their names, as files of this day."""
        for name, content in files.items():
            try:
                write_file(self.folder / name, content, day=day)
            except FileNotFoundError:
                make_folder(self.folder)
                write_file(self.folder / name, content, day=day)

    def restore(self, files: Mapping[str, bytes | None]) -> None:
        """Give files the content that they had; None: they were not there."""
        self.write({name: content for name, content in files.items() if content is not None})
        for name, content in files.items():
            if content is None:
                (self.folder / name).unlink(missing_ok=True)

    def delete(self, signature: str) -> bool:
        """Delete a signature and its correction; False if it was not there."""
        if self.stored(signature) is None:
            return False
        (self.folder / name_of(signature)).unlink()
        (self.folder / correction_of(signature)).unlink(missing_ok=True)
        return True

    def all(self) -> list[tuple[str, int]]:
        """Each signature and its day."""
        if not self.folder.is_dir():
            return []
        with os.scandir(self.folder) as entries:
            return [
                (entry.name.removesuffix(_SIGNATURE), int(entry.stat().st_mtime) // _DAY_S)
                for entry in entries
                if entry.name.endswith(_SIGNATURE) and not entry.name.endswith(_CORRECTION)
            ]


def name_of(signature: str) -> str:
    """The name of a signature's file.  Raises ValueError for an id that cannot be ours."""
    return _checked(signature) + _SIGNATURE


def correction_of(signature: str) -> str:
    """The name of the file of its correction.  Raises ValueError for an id that cannot be ours."""
    return _checked(signature) + _CORRECTION


def _checked(signature: str) -> str:
    if not _ID.fullmatch(signature):
        raise ValueError(f"signature {signature!r}")
    return signature
