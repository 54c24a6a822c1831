"""The places of the files of a user, below the directory Home.

Paths are those of DSPAM 3.10.2 in its three layouts (reference/storage.md 1), so
that its files are found where they are:

    normal   Home/data/bob@example.org/bob@example.org.mbox
    large    Home/data/b/o/bob@example.org/bob@example.org.mbox
    domain   Home/data/example.org/bob/bob.mbox

Names come out of mail addresses.  `Home` refuses a name that would lead elsewhere, or into the
directory of another user (`InvalidName`), and never repairs it: two users must not share a
file by accident.

`Home` computes paths; `prepare` makes the directory of a file, and `owners` lists the users who
have one.  It knows nothing of the content of files.
"""

from __future__ import annotations

import enum
import os
import re
from dataclasses import dataclass
from pathlib import Path

from dspamd.errors import InvalidName
from dspamd.files import make_folders

_NAME_MAX = 255  # bytes in one name of a file (POSIX, every usual file system)
_LONGEST_ENDING = len(".retrain.log.new")
_REFUSED = re.compile(r"[/\x00-\x1f\x7f]")


class Layout(enum.Enum):
    """The arrangement of the directories of users (DirectoryLayout)."""

    NORMAL = "normal"
    LARGE = "large"
    DOMAIN = "domain"


@dataclass(frozen=True, slots=True)
class Home:
    """The tree of files below Home.

    `name` is the owner of the file: a user, the group that owns a dictionary, or the localStore
    name (storage.md 1.2).  Every method that takes one raises
    `InvalidName` if it cannot be the name of a file.
    """

    path: Path
    layout: Layout = Layout.NORMAL
    txt: Path | None = None  # TxtDirectory, if configured

    @property
    def texts(self) -> Path:
        """The directory of notices and tags."""
        return self.txt or self.path / "txt"

    @property
    def default_preferences(self) -> Path:
        return self.path / "default.prefs"

    @property
    def system_log(self) -> Path:
        return self.path / "system.log"

    def directory(self, name: str) -> Path:
        """The directory of a user."""
        data = self.path / "data"
        domain, local = self._parts(name)
        if self.layout is Layout.LARGE:
            letters = os.fsencode(local)  # DSPAM took bytes for characters
            return data / os.fsdecode(letters[:1]) / os.fsdecode(letters[1:2]) / local
        return data / domain / local

    def file(self, name: str, ending: str) -> Path:
        """A file of a user; `ending` is its last part: "mbox", "log", "sig"."""
        return self.directory(name) / f"{self._parts(name)[1]}.{ending}"

    def opt_in(self, name: str) -> Path:
        """The file that, by being there, opts a user in."""
        return self._opt("opt-in", name, "dspam")

    def opt_out(self, name: str) -> Path:
        """The file that, by being there, opts a user out."""
        return self._opt("opt-out", name, "nodspam")

    def prepare(self, file: Path) -> Path:
        """Make the directory of a file; returns the file.  Blocks; raises OSError."""
        make_folders(file.parent)
        return file

    def owners(self, *endings: str) -> list[str]:
        """Names of the users who have a file with one of these endings, sorted.  Blocks; raises OSError.

        In the domain layout the record of a domain is listed without its `@`: both
        names lead to the same files.
        """
        depths = {Layout.NORMAL: (1,), Layout.LARGE: (2, 3), Layout.DOMAIN: (2,)}[self.layout]
        found = []
        for depth in depths:
            for directory in (self.path / "data").glob("/".join("*" * depth)):
                files = (directory / f"{directory.name}.{ending}" for ending in endings)
                name = directory.name
                if self.layout is Layout.DOMAIN and directory.parent.name != "local":
                    name = f"{name}@{directory.parent.name}"
                if any(map(_may_be_there, files)) and self.directory(name) == directory:
                    found.append(name)
        return sorted(found)

    def _opt(self, tree: str, name: str, ending: str) -> Path:
        domain, local = self._parts(name)
        return self.path / tree / domain / f"{local}.{ending}"

    def _parts(self, name: str) -> tuple[str, str]:
        """The directory for the domain, which only one layout has, and the name of the files."""
        domain, local = "", name
        if self.layout is Layout.DOMAIN:
            before, _, after = name.rpartition("@")
            # "@example.org", the record of a domain, is a local user of that name.
            domain, local = (after, before) if before and after else ("local", name.removeprefix("@"))
        for part in (local, domain) if domain else (local,):
            if part in ("", ".", "..") or _REFUSED.search(part) or _too_long(part):
                raise InvalidName(f"no files for {name!r}")
        return domain, local


def _too_long(part: str) -> bool:
    return len(os.fsencode(part)) > _NAME_MAX - _LONGEST_ENDING


def _may_be_there(file: Path) -> bool:
    """Whether a file is there; one that we may not look for may be, and who reads it gets the reason."""
    try:
        return file.exists()
    except PermissionError:
        return True
