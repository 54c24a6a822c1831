"""Packages that cannot be installed beside Postfix; `etc/install-packages test` unpacks them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.support.namespaces import unshare

UNPACKED = Path(__file__).parents[2] / "build/unpacked"


class Machine:
    """This machine as some programs see it, with these packages and with the files of a test in their places.

    `folder` has the files that come before those of the packages, as `etc/passwd`, and places where the
    programs may write: `/var/*/*` and `/run`, if they are there.  The machine itself stays as it is.
    """

    def __init__(self, folder: Path, *packages: str) -> None:
        self.folder = folder
        self._layers = [folder, *(UNPACKED / package for package in packages)]
        unshare("--mount")
        for layer in self._layers:
            if not layer.is_dir():
                raise FileNotFoundError(f"{layer} is not there: etc/install-packages test")

    def _places(self) -> str:
        """Lines of sh that put everything in its place."""
        lines = []
        for top in ("etc", "usr", "var"):
            layers = ":".join(str(layer / top) for layer in self._layers if (layer / top).is_dir())
            lines.append(f"mount -t overlay overlay -o lowerdir={layers}:/{top} /{top}")
        lines += [
            f"mount --bind {place} /{place.relative_to(self.folder)}" for place in self.folder.glob("var/*/*")
        ]
        if (self.folder / "run").is_dir():
            lines.append(f"mount --bind {self.folder}/run /run")
        return "\n".join(lines)

    def _command(self, words: Sequence[str | Path]) -> list[str | Path]:
        inside = unshare("--mount", probe=self._places())
        return [*inside, "sh", "-euc", f'{self._places()}\nexec "$@"', "sh", *words]

    def run(self, *words: str | Path, **options: Any) -> subprocess.CompletedProcess[bytes]:
        """Run a program to its end, which is a good one; returns what it printed."""
        done = subprocess.run(self._command(words), capture_output=True, timeout=60, check=False, **options)
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    def start(self, *words: str | Path, output: Path) -> subprocess.Popen[bytes]:
        """Start a server."""
        with output.open("ab") as file:
            return subprocess.Popen(self._command(words), stdout=file, stderr=file)

    def add_account(self, name: str, uid: int) -> Path:
        """An account and a group that these programs know, in place of one of that name; returns its home."""
        home = self.folder / "home" / name
        home.mkdir(parents=True)
        shutil.chown(home, uid, uid)
        for file, line in ("passwd", f"{name}:x:{uid}:{uid}::{home}:/bin/sh"), ("group", f"{name}:x:{uid}:"):
            path = self.folder / "etc" / file
            text = path.read_text() if path.exists() else Path("/etc", file).read_text()
            path.write_text(f"{line}\n{text}")
        return home
