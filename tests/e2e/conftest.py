"""The published files, made once for all tests of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.source_tree import copy_to
from tests.support.wheels import NO_NETWORK

EPOCH = {"SOURCE_DATE_EPOCH": "1000000000"}
IN_A_HURRY = {"DPKG_DEB_COMPRESSOR_LEVEL": "1"}


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree in which nothing was made yet."""
    tree = tmp_path_factory.mktemp("clone")
    copy_to(tree)
    return tree


@pytest.fixture(scope="session")
def sdist(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution of a fresh tree."""
    return published("sdist", tmp_path_factory.mktemp("sdist"), tree=clone)


@pytest.fixture(scope="session")
def compiler(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a compiler in a hurry; how fast the kernel is, is measured elsewhere."""
    program = tmp_path_factory.mktemp("compiler") / "cc"
    program.write_text('#!/bin/sh\nexec cc "$@" -O0\n')
    program.chmod(0o755)
    return {"CC": str(program), "LDSHARED": f"{program} -shared"}


@pytest.fixture(scope="session")
def wheel(sdist: Path, compiler: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that pip makes of it."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "-q", "wheel", "--no-deps", "--no-build-isolation"]
    command += ["--wheel-dir", str(folder), str(sdist)]
    subprocess.run(command, check=True, timeout=600, env=NO_NETWORK | compiler)
    (made,) = folder.iterdir()
    return made


def published(step: str, *words: Path, tree: Path) -> Path:
    """The files that a step of `release` makes in a tree."""
    done = subprocess.run(
        [sys.executable, "-m", f"release.{step}", *words],
        cwd=tree,
        env=NO_NETWORK | EPOCH | IN_A_HURRY,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=600,
    )
    return Path(done.stdout.splitlines()[-1])
