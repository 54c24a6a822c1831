"""`python -m release.deb SDIST FOLDER [WHEELS]`: the Debian package for the Debian that runs this.

debian/rules says how it is made; here its tree is laid out, with what depends on the release. The folder
WHEELS, if named, has dspamd and its libraries, and nothing is compiled or fetched.
"""

from __future__ import annotations

import email.utils
import os
import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from release.moment import environment, moment

_CHANGELOG = """\
dspamd ({version}) unstable; urgency=medium

  * Release {release}. CHANGELOG.md in this folder says what changes.

 -- {maintainer}  {date}
"""


def build(sdist: Path, folder: Path, wheels: Path | None = None) -> Path:
    """Make the package of a source distribution; returns its path.

    Raises `CalledProcessError` after what the tools said went to stderr.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="dspamd-deb-") as scratch:
        subprocess.run(["tar", "-xzf", sdist, "-C", scratch], check=True)
        (tree,) = Path(scratch).iterdir()
        when = moment(tree)
        release = tree.name.removeprefix("dspamd-")
        (maintainer,) = re.findall("^Maintainer: (.*)", (tree / "debian/control").read_text(), re.M)
        (tree / "debian/changelog").write_text(
            _CHANGELOG.format(
                version=f"{release}-1+{_distribution()}",
                release=release,
                maintainer=maintainer,
                date=email.utils.formatdate(when),
            )
        )
        variables = environment(tree)
        if wheels:
            variables["WHEELS"] = str(wheels.absolute())
        subprocess.run(
            # -d: etc/install-packages sees to what it needs; build-essential has compilers that it does not.
            ["dpkg-buildpackage", "-d", "-b", "-us", "-uc"],
            cwd=tree,
            env=variables,
            stdout=sys.stderr,
            check=True,
        )
        (made,) = Path(scratch).glob("*.deb")
        return made.replace(folder / made.name)


def _distribution() -> str:
    """The part of the version that names this Debian; it rises with an upgrade to the next one."""
    system = platform.freedesktop_os_release()
    return f"{system['ID'].replace('debian', 'deb')}{system.get('VERSION_ID', '')}"


if __name__ == "__main__":
    os.umask(0o022)
    sdist, folder, *wheels = map(Path, sys.argv[1:])
    try:
        print(build(sdist, folder, *wheels))
    except subprocess.CalledProcessError as error:
        sys.exit(f"{error.cmd[0]} failed, exit status {error.returncode}; what it said is above.")
