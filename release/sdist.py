"""`python -m release.sdist FOLDER`: the source distribution of this tree.

setuptools gives its files the times and owners of the tree; here they get those of the release.
"""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from release.moment import moment

_BUILD = "import sys, setuptools.build_meta as build; build.build_sdist(sys.argv[1])"


def build(folder: Path) -> Path:
    """Make the source distribution of the current directory; returns its path.

    Raises `CalledProcessError` after what setuptools says went to stderr.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-c", _BUILD, scratch]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode:
            sys.stderr.write(done.stdout)
            done.check_returncode()
        (made,) = Path(scratch).iterdir()
        _level(made, folder / made.name, moment(Path.cwd()))
    return folder / made.name


def _level(made: Path, place: Path, when: int) -> None:
    """Copy an archive; order, times, owners and rights no longer depend on who made it, and where."""
    with (
        tarfile.open(made) as theirs,
        place.open("wb") as file,
        gzip.GzipFile("", "wb", mtime=when, fileobj=file) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as ours,
    ):
        for member in sorted(theirs.getmembers(), key=lambda member: member.name):
            member.mtime, member.pax_headers = when, {}
            member.uid = member.gid = 0
            member.uname = member.gname = "root"
            member.mode = 0o755 if member.mode & 0o100 else 0o644
            ours.addfile(member, theirs.extractfile(member) if member.isfile() else None)


if __name__ == "__main__":
    os.umask(0o022)
    print(build(Path(sys.argv[1])))
