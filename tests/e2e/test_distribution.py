"""The published files: the source distribution, and the wheel.

Each of them is installed into an environment of its own.  pip makes the wheel of the source distribution;
then it installs the source distribution itself.  Nothing is loaded from a
network: the new environments have libraries of ours, and no more than the package says that it requires.
"""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest

from tests.e2e.conftest import published
from tests.support.documents import blocks
from tests.support.source_tree import ROOT, tracked
from tests.support.wheels import NO_NETWORK, required

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
COMPILED = {".pyx", ".pxi", ".pxd"}
CONFIGURATION = """\
Home {folder}
ServerPID {folder}/pid
StorageDriver {driver}
PgSQLDb dspam
MySQLDb dspam
ServerMode auto
ServerParameters --deliver=innocent
DeliveryHost 127.0.0.1
DeliveryPort 10034
DeliveryProto SMTP
"""

pytestmark = pytest.mark.timeout(900)  # a compiler works


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs in an environment with only the wheel and its requirements."""
    place = environment(tmp_path_factory)
    pip("--python", place / "bin/python", "install", "--no-deps", wheel)
    add_requirements(place)
    return place / "bin"


@pytest.fixture(scope="module")
def programs_of_sdist(
    sdist: Path, compiler: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The same with the source distribution; what it needs to be built is there while it is built."""
    place = environment(tmp_path_factory)
    tools = link(required(PYPROJECT["build-system"]["requires"]), packages(place))
    words = ("install", "--no-deps", "--no-build-isolation", sdist)
    pip("--python", place / "bin/python", *words, **compiler)
    for tool in tools:
        tool.unlink()
    add_requirements(place)
    return place / "bin"


def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment without a library."""
    place = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True, timeout=120)
    return place


def packages(place: Path) -> Path:
    """The folder of the libraries of an environment."""
    return place / f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"


def add_requirements(place: Path) -> None:
    """Let an environment have what the package says that it requires, no less."""
    link(required(PROJECT["dependencies"]), packages(place))
    pip("--python", place / "bin/python", "check")


def pip(*words: str | Path, **environment: str) -> None:
    """Have our pip work without a network."""
    command = [sys.executable, "-m", "pip", "-q", *words]
    subprocess.run(command, check=True, timeout=600, env=NO_NETWORK | environment)


def link(names: set[str], place: Path) -> list[Path]:
    """Let an environment have distributions of ours; returns the links."""
    ours = Path(sysconfig.get_path("purelib"))
    links = []
    for name in names:
        for top in {file.parts[0] for file in distribution(name).files or [] if file.parts[0] != ".."}:
            if top != "__pycache__":
                links.append(place / top)
                links[-1].symlink_to(ours / top)
    return links


def test_the_source_distribution_is_the_whole_tree(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        there = {Path(*Path(name).parts[1:]) for name in archive.getnames()}
    assert {name for name in tracked() if not name.parts[0].startswith(".")} - there == set()
    assert not [
        name
        for name in there
        if name.suffix in (".so", ".pyc") or (name.suffix == ".c" and name.parts[0] == "dspamd")
    ]


def test_the_wheel_has_all_modules_and_nothing_of_how_they_were_made(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        there = {Path(name) for name in archive.namelist() if name.startswith("dspamd/")}
    compiled = {name for name in there if name.suffix == ".so"}
    assert {name.name.partition(".")[0] for name in compiled} == {
        source.stem for source in (ROOT / "dspamd").rglob("*.pyx")
    }
    assert there - compiled == {
        name for name in tracked() if name.parts[0] == "dspamd" and name.suffix not in COMPILED
    }


def test_pip_installs_the_same_of_the_source_distribution(programs: Path, programs_of_sdist: Path) -> None:
    ours = {"RECORD", "direct_url.json", "REQUESTED", "INSTALLER"}  # pip's own notes
    installed = []
    for folder in (programs, programs_of_sdist):
        (record,) = packages(folder.parent).glob("dspamd-*.dist-info/RECORD")
        lines = [line.rpartition(",")[0].rpartition(",")[0] for line in record.read_text().splitlines()]
        files = {Path(line) for line in lines}
        assert {path.name for path in files if path.parts[-2] == "bin"} == set(PROJECT["scripts"])
        kept = {path for path in files if path.suffix != ".pyc" and path.name not in ours}
        assert all((record.parents[1] / path).exists() for path in kept)
        installed.append(kept)
    assert installed[0] == installed[1]


def test_two_source_distributions_are_equal(clone: Path, sdist: Path, tmp_path: Path) -> None:
    """Whenever they are made, and whatever the tree says of times and rights."""
    for path in (clone / "README.md", clone / "dspamd/app.py"):
        path.chmod(0o600)
        path.touch()
    assert published("sdist", tmp_path, tree=clone).read_bytes() == sdist.read_bytes()


def test_the_environment_has_what_is_no_python(programs: Path) -> None:
    """Manual pages where man looks for them, and each sample and unit."""
    share = programs.parent / "share"
    for page in (ROOT / "docs").glob("*.[1-8]"):
        assert (share / f"man/man{page.suffix[1]}/{page.name}").read_bytes() == page.read_bytes()
    places = {
        "dovecot": "etc/dovecot",
        "postfix": "etc/postfix",
        "prometheus": "etc/prometheus",
        "txt": "etc/txt",
        "systemd": "systemd",
    }
    for folder, source in places.items():
        for path in (path for path in (ROOT / source).rglob("*") if path.is_file()):
            there = share / "dspamd" / folder / path.relative_to(ROOT / source)
            assert there.read_bytes() == path.read_bytes()
    assert (share / "dspamd/dspam.conf").read_bytes() == (ROOT / "etc/dspam.conf").read_bytes()


def test_the_module_is_the_daemon(programs: Path, tmp_path: Path) -> None:
    done = run(programs / "python", "-m", "dspamd", "--check-config", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("dspam.conf: usable, 0 warnings\n")


@pytest.mark.parametrize("script", PROJECT["scripts"])
def test_each_program_of_the_source_distribution_runs(
    script: str, programs_of_sdist: Path, tmp_path: Path
) -> None:
    runs(programs_of_sdist / script, "--help", tmp_path)


@pytest.mark.parametrize("option", ["--help", "--version"])
@pytest.mark.parametrize("script", PROJECT["scripts"])
def test_each_program_runs(script: str, option: str, programs: Path, tmp_path: Path) -> None:
    runs(programs / script, option, tmp_path)


def runs(program: Path, option: str, folder: Path) -> None:
    """Run a program, which tells something about itself."""
    done = subprocess.run(
        [program, option],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "DSPAM_CONF": f"{folder}/none"},
    )
    # As recorded of the original, these two print their help on standard error.
    told, silent = done.stdout, done.stderr
    if option == "--help" and program.name in ("dspam", "dspamc"):
        told, silent = silent, told
    assert (done.returncode, silent) == (0, "")
    assert told.strip()


def test_a_dictionary_is_made_with_what_was_installed(programs: Path, tmp_path: Path) -> None:
    """The schema of SQLite and the kernel are there, and the commands find each other."""
    (tmp_path / "mail").write_bytes(b"Subject: hello\n\nmany words\n")
    with (tmp_path / "mail").open("rb") as mail:
        words = ("--user", "alice", "--class=spam", "--source=corpus", "--mode=teft")
        done = run(programs / "dspam", *words, folder=tmp_path, stdin=mail.fileno())
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"SC:\s+1\b", run(programs / "dspam_stats", "alice", folder=tmp_path).stdout)


@pytest.mark.parametrize("driver", ["sqlite3_drv", "hash_drv", "pgsql_drv", "mysql_drv"])
def test_each_driver_is_there(driver: str, programs: Path, tmp_path: Path) -> None:
    done = run(programs / "dspamd", "--check-config", folder=tmp_path, driver=driver)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_lines_for_the_source_install_it(programs: Path, tmp_path: Path) -> None:
    """Below a folder, with the environment that is there, and without the manager of this machine."""
    (text,) = (block.text for block in blocks("getting-started", "root") if "python3 -m venv" in block.text)
    for folder in ("usr/bin", "etc/sysusers.d", "etc/tmpfiles.d", "etc/systemd/system"):
        (tmp_path / folder).mkdir(parents=True)
    for name, line in (("passwd", "root:x:0:0::/:/bin/sh"), ("group", "root:x:0:")):
        (tmp_path / "etc" / name).write_text(line + "\n")
    lines = re.sub(r"^(python3 -m venv|/opt/dspamd/bin/pip|systemctl) .*\n", "", text, flags=re.M)
    lines = lines.replace("&& systemctl daemon-reload", "").replace("/opt/dspamd", str(programs.parent))
    lines = re.sub(r" (/(etc|usr)/)", rf" {tmp_path}\1", lines)
    lines = re.sub(r"(systemd-sysusers|systemd-tmpfiles)", rf"\1 --root={tmp_path}", lines)
    subprocess.run(["sh", "-eux"], input=lines, text=True, cwd=ROOT, check=True, timeout=60)
    assert {path.name for path in (tmp_path / "usr/bin").iterdir()} == set(PROJECT["scripts"])
    assert (tmp_path / "run/dspam").is_dir()
    config = tmp_path / "etc/dspam/dspam.conf"
    pid = f"ServerPID {tmp_path}/run/dspam/dspam.pid\n"  # tmpfiles made that folder
    config.write_text(pid + config.read_text())
    done = subprocess.run(
        [tmp_path / "usr/bin/dspamd", "--config", config, "--check-config"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    units = {path.name for path in (tmp_path / "etc/systemd/system").iterdir()}
    enabled = re.findall(r"systemctl enable --now (.*)", text)[0].split()
    assert {name if "." in name else f"{name}.service" for name in enabled} <= units


def run(
    *command: str | Path, folder: Path, driver: str = "sqlite3_drv", stdin: int = subprocess.DEVNULL
) -> subprocess.CompletedProcess[str]:
    """Run a program of the new environment, away from this tree."""
    config = folder / "dspam.conf"
    config.write_text(CONFIGURATION.format(folder=folder, driver=driver))
    environment = {"PATH": "/usr/bin:/bin", "DSPAM_CONF": str(config)}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, cwd=folder, env=environment, stdin=stdin
    )
