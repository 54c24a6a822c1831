"""Wheels of the libraries that run the tests, for tests that install some without a network."""

from __future__ import annotations

import os
import zipfile
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement

NO_NETWORK = {**os.environ, "PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1"}
"""The environment of a pip that fetches nothing."""


def required(requirements: list[str]) -> set[str]:
    """Names of the distributions that these requirements mean, and of those which those require."""
    found: set[str] = set()
    waiting = list(requirements)
    while waiting:
        requirement = Requirement(waiting.pop())
        wanted = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if wanted and requirement.name not in found:
            found.add(requirement.name)
            waiting += distribution(requirement.name).requires or []
    return found


def packed(name: str, folder: Path) -> Path:
    """The wheel from which a distribution was installed, made again."""
    installed = distribution(name)
    *_, tag = (
        line.partition(": ")[2]
        for line in (installed.read_text("WHEEL") or "").splitlines()
        if line.startswith("Tag: ")
    )
    wheel = folder / f"{installed.name.replace('-', '_')}-{installed.version}-{tag}.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for file in installed.files or []:
            if file.parts[0] != ".." and file.suffix != ".pyc":
                archive.write(str(file.locate()), str(file))
    return wheel
