"""The Debian package: built, checked by Debian's own checker, and its whole life in a root of its own.

The root is this machine below a layer that is thrown away (`tests.debian.root`). The package takes our wheel
and the libraries of these tests, so nothing is compiled or fetched for it; `make deb-test` does it all, on
fresh roots.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.debian.newer import newer
from tests.debian.root import OPTIONS
from tests.e2e.conftest import published
from tests.support.documents import PAGES, shared_files
from tests.support.namespaces import unshare
from tests.support.source_tree import ROOT
from tests.support.wheels import packed, required

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# The wheel of these tests comes from a Python that may not be Debian's.
OURS = "custom-library-search-path"

pytestmark = pytest.mark.timeout(900)  # a compiler works


@pytest.fixture(scope="module")
def package(clone: Path, sdist: Path, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package for the Python of this machine, which has to be the minor version that runs the tests."""
    wheels = tmp_path_factory.mktemp("wheels")
    (wheels / wheel.name).symlink_to(wheel)
    extras = PROJECT["optional-dependencies"]
    for name in required([*PROJECT["dependencies"], *extras["blacklists"], *extras["ldap"]]):
        packed(name, wheels)
    return published("deb", sdist, tmp_path_factory.mktemp("deb"), wheels, tree=clone)


def test_lintian_finds_nothing(package: Path) -> None:
    options = ("--fail-on=error,warning", "--allow-root", f"--suppress-tags={OURS}")
    done = subprocess.run(["lintian", *options, package], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_apparmor_understands_the_profile() -> None:
    options = ("--skip-kernel-load", "--skip-cache", "--quiet")
    profile = ROOT / "debian/apparmor"
    done = subprocess.run(["apparmor_parser", *options, profile], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_logrotate_understands_its_lines(tmp_path: Path) -> None:
    """It moves a log away that is there; of its account there may be none on this machine."""
    lines = (ROOT / "debian/dspamd.logrotate").read_text()
    log = tmp_path / "dspam.debug"
    log.write_text("a line\n")
    tmp_path.chmod(0o755)
    (tmp_path / "lines").write_text(
        lines.replace("/var/log/dspam", str(tmp_path)).replace("    su dspam dspam\n", "")
    )
    options = ("--force", "--state", tmp_path / "state")
    done = subprocess.run(
        ["logrotate", *options, tmp_path / "lines"], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert not log.exists() and (tmp_path / "dspam.debug.1").read_text() == "a line\n"


def test_it_has_the_pages_and_the_files_that_they_name(package: Path) -> None:
    """The pages as they are: their links name no compressed files."""
    done = subprocess.run(["dpkg-deb", "--contents", package], capture_output=True, text=True, timeout=60)
    there = {line.split()[5].removeprefix(".").rstrip("/") for line in done.stdout.splitlines()}
    for page in PAGES:
        assert {f"/usr/share/doc/dspamd/docs/{page}.md", *shared_files(page)} <= there
    scripts = [line for line in done.stdout.splitlines() if re.search("/(daemontools|runit)/.*[a-z]$", line)]
    assert len([line for line in scripts if line.startswith("-rwxr-xr-x")]) == 5


def test_it_lives_from_installation_to_purge(package: Path, tmp_path: Path) -> None:
    place = tmp_path / "root"
    place.mkdir()
    life = (sys.executable, "-m", "tests.debian.life")
    files = ("/", place, package, newer(package, tmp_path))
    layers = f"lowerdir=/,upperdir={place}/a,workdir={place}/b"
    probe = f"mount -t tmpfs t {place}; cd {place}; mkdir a b c; mount -t overlay t -o {layers} c"
    enter = unshare(*OPTIONS, probe=probe)
    done = subprocess.run([*enter, *life, *files], capture_output=True, text=True, timeout=600, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
