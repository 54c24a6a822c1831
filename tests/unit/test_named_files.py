"""The pages for people who work on dspamd name only files that exist."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ("ARCHITECTURE.md", "HACKING.md", "SECURITY.md", "docs/flow.md")
_CODE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\(([^)#:\s]+)\)")
_ENDINGS = r"(?:py|pyx|pxi|pxd|md|txt|conf|toml|5)"
_FILE = re.compile(rf"(?:[\w.-]+/)*[\w-]+\.{_ENDINGS}|(?:[\w.-]+/)+|(?:[a-z_]+/)+[a-z_]+")


def tracked() -> set[str]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(listed.stdout.split())


def missing(page: str, text: str, files: set[str]) -> list[str]:
    """The files and folders that a page names and that do not exist, below the root or dspamd/."""
    known = files | {f"{folder}/" for file in files for folder in map(str, Path(file).parents)}
    names = {file.rpartition("/")[2] for file in files}
    named = [name for code in _CODE.findall(text) for name in code.split() if _FILE.fullmatch(name)]
    lost = [
        name
        for name in named
        if not {name, f"dspamd/{name}", f"dspamd/{name}.py", f"{name}/", f"dspamd/{name}/"} & known
        and ("/" in name or name not in names | {"dspam.conf"})
    ]
    folder = (ROOT / page).parent
    return lost + [link for link in _LINK.findall(text) if not (folder / link).exists()]


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_a_page_names_exists(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert text.isascii() or page == "ARCHITECTURE.md"
    assert missing(page, text, tracked()) == []


@pytest.mark.parametrize(
    "text", ["`dspamd/nothing.py`", "`engine/nothing.pxi`", "`nothing/`", "[x](nothing.md)"]
)
def test_a_file_that_does_not_exist_is_found(text: str) -> None:
    assert len(missing("HACKING.md", text, {"dspamd/app.py", "dspamd/engine/modes.py"})) == 1


@pytest.mark.parametrize("text", ["`dspamd/app.py`", "`engine/modes.py`", "`modes.py`", "`dspamd/engine/`"])
def test_a_file_that_exists_is_not(text: str) -> None:
    assert missing("HACKING.md", text, {"dspamd/app.py", "dspamd/engine/modes.py"}) == []
