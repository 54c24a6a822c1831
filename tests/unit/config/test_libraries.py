"""dspamd reports a missing library like a mistake in the configuration: place, name, and remedy."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dspamd.config.config import Config
from dspamd.config.libraries import needed_by

ROOT = Path(__file__).parents[3]
PROGRAMS = Path(sys.executable).parent
LDAP = """\
StorageDriver hash_drv
ExtLookup on
ExtLookupDriver ldap
ExtLookupServer 127.0.0.1
ExtLookupDB x
ExtLookupQuery (uid=%u)"""
SOUND = """\
DeliveryHost 127.0.0.1
DeliveryPort 10034
DeliveryProto SMTP
ServerMode auto
ServerParameters --deliver=innocent
"""


@pytest.mark.parametrize("option", [[], ["--check-config"]])
@pytest.mark.parametrize(
    ("lines", "directive", "module", "package"),
    [
        ("StorageDriver libpgsql_drv.so", "StorageDriver libpgsql_drv.so", "asyncpg", "asyncpg"),
        ("StorageDriver libmysql_drv.so", "StorageDriver libmysql_drv.so", "aiomysql", "aiomysql"),
        ("StorageDriver libmysql_drv.so", "StorageDriver libmysql_drv.so", "pymysql", "aiomysql"),
        ("StorageDriver hash_drv\nLookup zone.example.org", "Lookup zone.example.org", "dns", "dnspython"),
        (LDAP, "ExtLookupDriver ldap", "ldap3", "ldap3"),
    ],
)
def test_it_is_named_with_what_installs_it(
    lines: str, directive: str, module: str, package: str, option: list[str], tmp_path: Path
) -> None:
    done = run(tmp_path, lines, module, "dspamd", *option)
    line = lines.splitlines().index(directive) + 1
    assert done.returncode == os.EX_CONFIG, done.stderr
    assert done.stderr == (
        f"{tmp_path}/dspam.conf:{line}: {directive} needs the Python package {package} "
        f"(No module named '{module}'); to install it: {sys.executable} -m pip install {package}\n"
    )


@pytest.mark.parametrize(
    ("driver", "module", "remedy"),
    [
        ("pgsql_drv", "asyncpg", f"to install it: {sys.executable} -m pip install asyncpg"),
        ("sqlite3_drv", "sqlite3", "Python was built without it"),
    ],
)
@pytest.mark.parametrize(
    ("command", "status"), [("dspam_stats alice", os.EX_CONFIG), ("dspam --user alice", os.EX_TEMPFAIL)]
)
def test_commands_tell_it_too(
    command: str, status: int, driver: str, module: str, remedy: str, tmp_path: Path
) -> None:
    """A message that is piped into one of them waits."""
    done = run(tmp_path, f"StorageDriver {driver}\nPgSQLDb dspam", module, *command.split())
    assert done.returncode == status, done.stderr
    assert done.stderr.removeprefix("dspam: ") == (
        f"{tmp_path}/dspam.conf:1: StorageDriver {driver} needs the Python package {module} "
        f"(No module named '{module}'); {remedy}\n"
    )


def run(
    folder: Path, lines: str, missing: str, command: str, *words: str
) -> subprocess.CompletedProcess[str]:
    """Run a program where a module is missing."""
    (folder / f"{missing}.py").write_text(
        f"raise ModuleNotFoundError(\"No module named '{missing}'\", name='{missing}')"
    )
    config = folder / "dspam.conf"
    config.write_text(f"{lines}\n{SOUND}Home {folder}\nServerPID {folder}/pid\n")
    return subprocess.run(
        [sys.executable, PROGRAMS / command, *words],
        input="Subject: hello\n\ntext\n",
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(folder), "DSPAM_CONF": str(config)},
    )


def test_a_module_of_ours_that_is_missing_is_a_bug() -> None:
    with pytest.raises(ImportError), needed_by(Config.from_text("Home /x"), Config.StorageDriver, "asyncpg"):
        raise ImportError(name="dspamd.storage.nothing")


def test_what_is_imported_outside_the_standard_library_comes_with_the_package_or_is_told() -> None:
    """The drivers come with every installation; `needed_by` imports the optional libraries."""
    project = (ROOT / "pyproject.toml").read_text()
    normal, extras = project.split("[project.optional-dependencies]")
    extras = extras.split("docs =")[0]  # the rest is for building it
    assert {"asyncpg", "aiomysql"} <= set(re.findall(r'^ +"(\w+)', normal, re.M))
    wanted = set(re.findall(r'"(\w+)>=', extras))
    source = "".join(path.read_text() for path in (ROOT / "dspamd").rglob("*.py"))
    assert wanted == set(re.findall(r'needed_by\(config, Config\.\w+, "(\w+)"', source)) - {
        "asyncpg",
        "aiomysql",
        "sqlite3",
    }
