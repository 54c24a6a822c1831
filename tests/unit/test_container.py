"""The container has what any configuration may need, and etc/dspam.conf fits it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import yaml

from dspamd.config.config import Config

ROOT = Path(__file__).parents[2]
DOCKERFILE = re.sub(r"\\\n *", "", (ROOT / "Dockerfile").read_text())
SAMPLE = Config.load(ROOT / "etc/dspam.conf")


def instructions(name: str) -> list[str]:
    return re.findall(rf"^{name} (.*)", DOCKERFILE, re.M)


def test_all_libraries_come_with_it() -> None:
    """Those of PostgreSQL and MySQL come always, the others with an extra that has to be named."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (extras,) = re.findall(r"pip install .*'/src\[([\w,]+)\]'", DOCKERFILE)
    assert set(extras.split(",")) == project["optional-dependencies"].keys() - {"dev", "release"}


def test_the_sample_names_folders_that_it_has() -> None:
    (account,) = instructions("USER")
    made = re.findall(rf"install -d -o {account} -g {account} (?:-m \d+ )?(\S+)", DOCKERFILE)
    pid = Path(SAMPLE.ServerPID).parent
    assert {SAMPLE.Home, str(pid).replace("/var/run", "/run")} == set(made)
    assert instructions("VOLUME") == [SAMPLE.Home]


def test_the_program_is_where_pip_puts_it() -> None:
    (entry,) = instructions("ENTRYPOINT")
    (place,) = re.findall(r"python3 -m venv (\S+)", DOCKERFILE)
    assert entry == f'["{place}/bin/dspamd", "--config", "/etc/dspam/dspam.conf"]'
    assert f"COPY --from=build {place} {place}\n" in DOCKERFILE


def test_compose_keeps_the_dictionaries() -> None:
    service = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["dspamd"]
    folders = dict(volume.split(":")[:2] for volume in service["volumes"])
    assert folders == {"/etc/dspam": "/etc/dspam", "dictionaries": SAMPLE.Home}
