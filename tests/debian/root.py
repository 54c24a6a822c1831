"""A Debian whose every file may change, and nothing of it is left in the end.

It is an overlay on the folder of a Debian, which may be `/`, the machine that runs this: what changes lies in
memory. With namespaces of its own for mounts, processes and network, all ports of the loopback interface are
free, and all processes and mounts end with the one that calls `enter`. Needs root.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import IO

OPTIONS = ("--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc")
"""Those of unshare(1) that start a process that may call `Root.enter`."""

_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
}


class Root:
    """A root on top of `base`; `place` is an empty folder for its mounts."""

    def __init__(self, base: Path, place: Path) -> None:
        self._base, self._place = base, place
        self.path = place / "root"
        self._changed = place / "changed"

    def enter(self) -> None:
        """Mount it, in the namespaces of this process."""
        layers = f"lowerdir={self._base},upperdir={self._changed},workdir={self._place}/work"
        commands: tuple[tuple[str | Path, ...], ...] = (
            ("ip", "link", "set", "lo", "up"),
            ("mount", "-t", "tmpfs", "tmpfs", self._place),
            ("mkdir", self._changed, self._place / "work", self.path),
            ("mount", "-t", "overlay", "overlay", "-o", layers, self.path),
            ("mount", "-t", "proc", "proc", self.path / "proc"),
            ("mount", "--rbind", "/dev", self.path / "dev"),
            ("mount", "-t", "tmpfs", "tmpfs", self.path / "tmp"),
            ("mount", "-t", "tmpfs", "tmpfs", self.path / "run"),
        )
        for command in commands:
            subprocess.run(command, check=True, timeout=60)

    def start(self, *command: str, output: IO[str]) -> subprocess.Popen[str]:
        """Start a command in it; `output` takes what it says."""
        return subprocess.Popen(
            ["chroot", str(self.path), *command],
            text=True,
            stdin=subprocess.DEVNULL,
            env=_ENVIRONMENT,
            stdout=output,
            stderr=subprocess.STDOUT,
        )

    def run(self, *command: str, input: str = "") -> str:
        """Run a command in it; returns what it says on both streams. Fails with that if the command does."""
        done = subprocess.run(
            ["chroot", self.path, *command],
            input=input,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            env=_ENVIRONMENT,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}"
        return done.stdout

    def made(self, word: str) -> set[str]:
        """Paths of files with a word in their names that are there now and were not in the base."""
        return {
            f"/{path.relative_to(self._changed)}"
            for path in self._changed.rglob("*")
            if word in path.name and not path.is_char_device()  # an overlay marks removed files so
        }
