"""Every citation of the reference exists: each page, each section, each quirk mark."""

from __future__ import annotations

import functools
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs/reference"

_CITATION = re.compile(
    r"\b(engine|cli|config|protocols|storage|webui|integrations)\.md(?: ([0-9]+(?:\.[0-9]+)*))?"
)
_MORE = re.compile(r"(?:, | and | to )([0-9]+(?:\.[0-9]+)*)")
_QUIRK = re.compile(r"\bQ-[A-Z][0-9]+\b")
_HEADING = re.compile(r"^#+ ([0-9]+(?:\.[0-9]+)*)\.? ", re.MULTILINE)


@functools.cache
def sections(page: str) -> set[str]:
    return set(_HEADING.findall((REFERENCE / f"{page}.md").read_text(encoding="utf-8")))


@functools.cache
def quirks() -> set[str]:
    pages = [*REFERENCE.glob("*.md"), ROOT / "docs/compatibility.md"]
    return {mark for page in pages for mark in _QUIRK.findall(page.read_text(encoding="utf-8"))}


def faults(text: str) -> list[str]:
    """The citations of a text that do not exist."""
    found = []
    for match in _CITATION.finditer(text):
        page, numbers = match[1], [match[2]] if match[2] else []
        at = match.end()
        while numbers and (more := _MORE.match(text, at)):
            numbers.append(more[1])
            at = more.end()
        if not (REFERENCE / f"{page}.md").exists():
            found.append(f"{page}.md")
        else:
            found += [f"{page}.md {number}" for number in numbers if number not in sections(page)]
    known = quirks()
    return found + [mark for mark in _QUIRK.findall(text) if mark not in known]


def tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--", "dspamd", "tests", "bench", "docs", "etc"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout
    names = listed.decode().split("\0")
    endings = (".py", ".pyx", ".pxi", ".pxd", ".pyi", ".md", ".sql", ".c")
    return [ROOT / name for name in names if name.endswith(endings) and (ROOT / name).exists()]


def test_what_is_cited_exists() -> None:
    paths = tracked()
    assert len(paths) > 300
    wrong = {
        str(path.relative_to(ROOT)): found
        for path in paths
        if path != Path(__file__) and (found := faults(path.read_text(encoding="utf-8")))
    }
    assert not wrong


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("engine.md 7.2", []),
        ("reference/engine.md 7.2 and 99.1", ["engine.md 99.1"]),
        ("storage.md 42", ["storage.md 42"]),
        ("quirk Q-T2", []),
        ("quirk Q-T99", ["Q-T99"]),
    ],
)
def test_a_wrong_citation_is_found(text: str, found: list[str]) -> None:
    assert faults(text) == found
