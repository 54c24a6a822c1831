"""`make` on a machine that reaches no network: it says so, in one sentence."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.source_tree import copy_to

UNREACHABLE = {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_RETRIES": "1"}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree in which nothing was made yet."""
    tree = tmp_path_factory.mktemp("clone")
    copy_to(tree)
    return tree


@pytest.mark.parametrize("target", ["demo", "build", "test", "run"])
def test_what_cannot_be_fetched_is_told_in_one_sentence(target: str, clone: Path) -> None:
    # Neither the places of packages, nor the variables of a `make test` around us.
    ours = ("PIP_", "MAKE", "MFLAGS")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    done = subprocess.run(
        ["make", target],
        cwd=clone,
        capture_output=True,
        text=True,
        timeout=100,
        env={**environment, **UNREACHABLE},
    )
    assert done.returncode == 2
    sentence, make = done.stderr.splitlines()
    assert sentence == (
        "pip could not fetch setuptools>=77: it needs a network, or a folder of wheels that "
        "PIP_NO_INDEX=1 PIP_FIND_LINKS=FOLDER name (what it tried: .venv/pip.log)."
    )
    assert make.startswith("make: *** [Makefile:")
    assert "Connection refused" in (clone / ".venv/pip.log").read_text()
