"""The layout in which the files of users lie below Home.

Each build of DSPAM had one of three layouts (`home.Layout`), and none of its files says which.
A daemon with another layout would see none of the files, and begin second, empty dictionaries
beside the old ones.  So we look: without `DirectoryLayout` the layout of the existing files
counts, and a `DirectoryLayout` that contradicts it stops the start.

A tree may have 100,000 users, and every command looks at it, so it looks at a sample.
Blocks for some milliseconds.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from dspamd.config.config import Config
from dspamd.errors import ConfigError, Problem
from dspamd.home.home import Layout

_OWN = ("css", "sdb", "log", "stats", "mbox", "prefs", "lock", "sig")  # nearly every user has one of these
_NAMES = 1_000  # of folders, read from the topmost one
_EACH = 12  # of them that are opened, of each shape
_FEW = 5  # folders opened in a folder below

Examples = dict[Layout, Path]


def layout(config: Config) -> Layout:
    """The layout of the files, or of an empty tree.  Raises `ConfigError` if the configured one differs."""
    wanted, found = Layout(config.DirectoryLayout), examples(Path(config.Home))
    if not config.given(Config.DirectoryLayout) and found:
        if len(found) > 1:
            raise ConfigError([_problem(config, f"must be set: {_mixture(found)}")])
        (wanted,) = found
    if found and wanted not in found:
        means = " or ".join(f"DirectoryLayout {other.value}" for other in found)
        text = f"{wanted.value} would not see the files of users: {_places(found)}; write {means}"
        raise ConfigError([_problem(config, text)])
    return wanted


def mixture(config: Config) -> list[Problem]:
    """A warning if files lie in the configured layout and in another one."""
    found = examples(Path(config.Home))
    if len(found) < 2 or Layout(config.DirectoryLayout) not in found:
        return []
    return [_problem(config, _mixture(found))]


def examples(home: Path) -> Examples:
    """A file of some user for each layout that has one."""
    found: Examples = {}
    for first in _spread(_folders(home / "data", _NAMES)):
        _take(found, Layout.NORMAL, first)
        for second in _folders(first, _FEW):
            if _letter(first) and f"{second.name}.".startswith(f"{first.name}."):
                _take(found, Layout.LARGE, second)  # users b and b.c: their second letter is no folder
            elif "@" not in first.name:
                _take(found, Layout.DOMAIN, second)
            if _letter(first) and _letter(second) and Layout.LARGE not in found:
                for third in _folders(second, _FEW):
                    if os.fsencode(third.name).startswith(os.fsencode(first.name + second.name)):
                        _take(found, Layout.LARGE, third)
    return found


def _letter(folder: Path) -> bool:
    """Whether a name is a single byte, which DSPAM took for a character."""
    return len(os.fsencode(folder.name)) == 1


def _take(found: Examples, layout: Layout, directory: Path) -> None:
    """Note a directory if it is that of a user in this layout."""
    if layout not in found:
        for ending in _OWN:
            file = directory / f"{directory.name}.{ending}"
            if os.path.lexists(file):
                found[layout] = file
                return


def _folders(directory: Path, most: int) -> Iterator[Path]:
    try:
        with os.scandir(directory) as entries:
            yield from (Path(entry.path) for entry in islice(entries, most) if entry.is_dir())
    except OSError:
        return  # missing, or without the right to read: `surroundings` checks that


def _spread(folders: Iterable[Path]) -> Iterator[Path]:
    """A sample of each shape: names of users, addresses, domains, single letters."""
    shapes = defaultdict[tuple[bool, bool, bool], int](int)
    for folder in folders:
        shape = "@" in folder.name, "." in folder.name, _letter(folder)
        shapes[shape] += 1
        if shapes[shape] <= _EACH:
            yield folder


def _problem(config: Config, text: str) -> Problem:
    return config.problem("DirectoryLayout", f"DirectoryLayout {text}")


def _mixture(found: Examples) -> str:
    return f"files of users lie in several layouts, and only those of one are seen: {_places(found)}"


def _places(found: Examples) -> str:
    return ", ".join(f"{file} as for {layout.value}" for layout, file in found.items())
