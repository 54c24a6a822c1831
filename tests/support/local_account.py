"""A mail program's account on this machine, which is not that of the daemon, and our programs for it.

Root runs programs as such an account. Who is not root has only their own, so it is that of the daemon, too.
"""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import structlog

ROOT = Path(__file__).parents[2]
SCRIPT = """\
#!{python} -P
import sys
sys.path[:0] = {folders!r}
from dspamd.commands.{name} import main
sys.exit(main())
"""


class LocalAccount:
    """An account of the system: `name` for root, our own for others.

    Its programs have its primary group and no other, as those have that a mail server starts.
    """

    def __init__(self, name: str) -> None:
        entry = pwd.getpwnam(name) if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
        self.name, self.uid, self.gid = entry.pw_name, entry.pw_uid, entry.pw_gid

    @property
    def identity(self) -> dict[str, Any]:
        """Arguments of `subprocess.run` for its programs."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []} if os.geteuid() == 0 else {}

    def own(self, *paths: Path) -> None:
        """Make the account the owner of files."""
        for path in paths:
            if os.geteuid() == 0:
                os.chown(path, self.uid, self.gid)

    def run(
        self,
        *words: str | Path,
        stdin: bytes | None = None,
        environment: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a program as this account, with `environment` and PATH alone."""
        return subprocess.run(
            words,
            input=stdin,
            capture_output=True,
            timeout=60,
            check=False,
            cwd=cwd or "/",
            env={"PATH": "/usr/bin:/bin", **(environment or {})},
            **self.identity,
        )


def programs(folder: Path, *names: str) -> Path:
    """Put our programs into a folder from which every account can run them; returns it.

    Raises PermissionError if other accounts may not enter the tree or its libraries.
    """
    folder.mkdir()
    scripts = [folder / name for name in names]
    folders = [str(ROOT), str(Path(structlog.__file__).parents[1])]
    complaints = ""
    for python in os.path.realpath(sys.executable), "/usr/bin/python3":
        for script in scripts:
            script.write_text(SCRIPT.format(python=python, folders=folders, name=script.name))
            script.chmod(0o755)
        try:
            done = LocalAccount("nobody").run(scripts[0], "--version")
        except PermissionError as error:  # in the home of an account, for example
            complaints += f"{python}: {error}\n"
        else:
            if done.returncode == 0:
                return folder
            complaints += f"{python}: {done.stderr.decode()}\n"
    raise PermissionError(f"other accounts cannot run {names[0]}: {complaints}")
