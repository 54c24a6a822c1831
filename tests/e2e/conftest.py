"""The published files, made once for all tests of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.source_tree import copy_to
from tests.support.wheels import NO_NETWORK

EPOCH = {"SOURCE_DATE_EPOCH": "1000000000"}


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
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that pip makes of it, with the compiler of this machine."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "-q", "wheel", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", folder, sdist], check=True, timeout=600, env=NO_NETWORK)
    (made,) = folder.iterdir()
    return made


def published(step: str, *words: Path, tree: Path) -> Path:
    """The files that a step of `release` makes in a tree."""
    done = subprocess.run(
        [sys.executable, "-m", f"release.{step}", *words],
        cwd=tree,
        env=NO_NETWORK | EPOCH,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=600,
    )
    return Path(done.stdout.splitlines()[-1])
