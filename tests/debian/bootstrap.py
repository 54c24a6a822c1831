"""`python -m tests.debian.bootstrap SUITE [FOLDER]`: the package made and lived through on a fresh Debian.

debootstrap makes the smallest root of a suite in FOLDER, unless it is there. apt installs in it what the
package is built with, the package is built there, twice, and apt installs it with all that it depends on.
Then its life begins (`tests.debian.life`) on top of that root. Needs root and a network.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from release.sdist import build
from tests.debian.newer import newer
from tests.debian.root import OPTIONS

ROOT = Path(__file__).parents[2]
MIRROR = os.environ.get("DEBIAN_MIRROR", "http://deb.debian.org/debian")
WORK = "/srv/dspamd"


class Fresh:
    """A root that debootstrap made; what is installed there stays for the next time."""

    def __init__(self, suite: str, folder: Path) -> None:
        self.path = folder
        if not (folder / "etc/debian_version").exists():
            command: list[str | Path] = ["debootstrap", "--variant=minbase", suite, folder, MIRROR]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        policy = folder / "usr/sbin/policy-rc.d"  # packages start nothing
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
        self._environment = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LC_ALL": "C.UTF-8",
            "DEBIAN_FRONTEND": "noninteractive",
        }
        if authorities := os.environ.get("PIP_CERT"):
            shutil.copy(authorities, folder / "srv/authorities.pem")
            self._environment["PIP_CERT"] = "/srv/authorities.pem"

    def run(self, command: str) -> None:
        """Run a line of the shell there, with a network; shows what it says if it fails."""
        mounts = f"mount -t proc proc {self.path}/proc && mount --rbind /dev {self.path}/dev"
        inside = f'{mounts} && exec chroot {self.path} sh -euc "$0"'
        done = subprocess.run(
            ["unshare", "--mount", "--pid", "--fork", "sh", "-c", inside, command],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if done.returncode:
            sys.exit(f"{command}: {done.stdout}")


def built(fresh: Fresh, sdist: Path) -> Path:
    """The package, made there of a source distribution; a second one is equal to it."""
    work = fresh.path / WORK[1:]
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    subprocess.run(["tar", "-xzf", sdist, "-C", work], check=True)
    shutil.copy(sdist, work)
    tree = sdist.name.removesuffix(".tar.gz")
    fresh.run(f"cd {WORK}/{tree} && etc/install-packages deb")
    fresh.run(f"cd {WORK}/{tree} && python3 -m release.deb ../{sdist.name} {WORK}/first")
    fresh.run(f"cd {WORK}/{tree} && python3 -m release.deb ../{sdist.name} {WORK}/second")
    (first,), (second,) = ((work / name).glob("*.deb") for name in ("first", "second"))
    assert first.read_bytes() == second.read_bytes(), f"two builds differ: {first}, {second}"
    return first


def main() -> None:
    suite, *folder = sys.argv[1:]
    fresh = Fresh(suite, Path(folder[0] if folder else f"build/debian/{suite}").absolute())
    begin = time.monotonic()

    def tell(what: str) -> None:
        print(f"{suite}: {what} ({time.monotonic() - begin:.0f} s)", flush=True)

    fresh.run("apt-get update")
    with tempfile.TemporaryDirectory() as scratch:
        package = built(fresh, build(Path(scratch)))
        tell(f"{package.name} built twice, byte for byte equal")
        fresh.run(f"apt-get install -y --no-install-recommends postfix {WORK}/first/{package.name}")
        tell("apt installed it with what it depends on")
        fresh.run("apt-get purge -y dspamd")
        place = Path(scratch, "place")
        place.mkdir()
        life = (sys.executable, "-m", "tests.debian.life")
        files = (fresh.path, place, package, newer(package, Path(scratch)))
        subprocess.run(["unshare", *OPTIONS, *life, *files], check=True, cwd=ROOT)
        tell("installed, mail, correction, upgrade, removal, installed, purge, moved in from DSPAM")


if __name__ == "__main__":
    main()
