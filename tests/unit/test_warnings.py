"""The extensions compile without warnings, as far as their lines are ours.

What is compiled here is the C that `make build` has made of them.  Cython writes each statement below a
comment that names its file and line.  What lies outside of our files is code of Cython itself, and so are
variables whose names it made up.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUILT = ROOT / "build" / "cython" / "dspamd"
EXTENSIONS = [
    "mail/_view",
    "mail/_features",
    "engine/_kernel",
    "engine/_weights",
    "storage/files/_css",
    "storage/files/_files",
]
FLAGS = ["-fsyntax-only", "-Wall", "-Wextra", "-Wconversion", "-Wshadow"]

_SOURCE = re.compile(r'\s*/\* "(.+)":(\d+)')
_WARNING = re.compile(r"^[^\n:]+:(\d+):\d+: warning: ([^\n]*)", re.MULTILINE)
_OF_CYTHON = re.compile(r"‘__pyx_(?![vfk]_)\w+’")


def warnings(generated: Path, root: Path) -> list[str]:
    """The warnings about our lines, below `root`, of an extension in C: file, line, text."""
    include = f"-I{sysconfig.get_path('include')}"
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    compiled = subprocess.run(
        ["gcc", *FLAGS, include, str(generated)], check=True, capture_output=True, text=True, env=environment
    )
    places = origins(generated.read_text())
    return [
        f"{place}: {text}"
        for number, text in _WARNING.findall(compiled.stderr)
        if (place := places[int(number) - 1]) and (root / place.partition(":")[0]).exists()
        if not _OF_CYTHON.search(text)
    ]


def origins(generated: str) -> list[str]:
    """For each line of generated C the line that it was made from; empty for code of Cython."""
    places, place = [], ""
    for line in generated.splitlines():
        if match := _SOURCE.match(line):
            place = f"{match[1]}:{match[2]}"
        places.append(place)
        if line.startswith("}"):  # a function ends
            place = ""
    return places


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_our_lines_compile_without_a_warning(extension: str) -> None:
    generated = BUILT / f"{extension}.c"
    origin = ROOT / "dspamd" / f"{extension}.pyx"
    assert generated.stat().st_mtime >= origin.stat().st_mtime, "older than its source: run `make build`"
    assert warnings(generated, ROOT) == []


def test_no_extension_is_forgotten() -> None:
    package = ROOT / "dspamd"
    found = {file.relative_to(package).with_suffix("").as_posix() for file in package.rglob("*.pyx")}
    assert found == set(EXTENSIONS)


def test_a_warning_is_found_where_it_is_made(tmp_path: Path) -> None:
    (tmp_path / "narrow.pyx").write_text(
        "cdef signed char narrow(long x) noexcept:\n    return x\nnarrow(1)\n"
    )
    subprocess.run([sys.executable, "-m", "cython", "-3", "narrow.pyx"], cwd=tmp_path, check=True)
    (found,) = warnings(tmp_path / "narrow.c", tmp_path)
    assert found.startswith("narrow.pyx:2: conversion from")
