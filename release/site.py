"""`python -m release.site FOLDER`: all documents as web pages; FOLDER/index.html is the first one.

The pages are those of this tree, in the same places, so that their links hold. Manual pages become HTML by
mandoc. mkdocs does the rest; a link to nothing ends it with exit status 1.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

LINK = re.compile(r"\]\((?!\w+:)([^)#\s]+)((?:#[^)\s]*)?)\)")
MANUAL = re.compile(r"\.[1-8]$")
GUIDE = (
    "getting-started", "container", "integrations", "postfix", "dovecot", "maildrop", "qmail", "qpsmtpd",
    "spamassassin", "rspamd", "exim", "opensmtpd", "from-dspam", "stores", "postgresql", "mariadb",
    "tuning", "users-and-groups", "operating", "many-hosts", "security",
)  # fmt: skip
OTHERS = ("CHANGELOG.md", "SECURITY.md", "ARCHITECTURE.md", "HACKING.md")


def pages(root: Path) -> list[Path]:
    """The pages in Markdown of a tree, below it."""
    texts = [root / "README.md", *(root / name for name in OTHERS), *(root / "docs").rglob("*.md")]
    return [path.relative_to(root) for path in texts]


def manuals(root: Path) -> list[Path]:
    """The manual pages, without those that only name another one."""
    found = (path for path in sorted((root / "docs").iterdir()) if MANUAL.search(path.name))
    return [path.relative_to(root) for path in found if not path.read_text().startswith(".so ")]


def lay_out(root: Path, folder: Path) -> None:
    """Put everything that becomes a page into a folder, and the files to which pages have links."""
    for page in pages(root):
        text = (root / page).read_text()
        for name in {match[1] for match in LINK.finditer(text)}:
            there = (root / page).parent / name
            if there.is_file() and there.suffix != ".md" and not MANUAL.search(name):
                _copy(there, folder / there.resolve().relative_to(root))
        place = folder / page
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(LINK.sub(_to_page, text))
    for manual in manuals(root):
        name, section = manual.stem, manual.suffix[1:]
        (folder / f"{manual}.md").write_text(f"# {name}({section})\n\n{_html(root / manual)}\n")


def _copy(file: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(file, place)


def _to_page(link: re.Match[str]) -> str:
    """A link to a manual page goes to what becomes of it."""
    return f"]({link[1]}.md{link[2]})" if MANUAL.search(link[1]) else link[0]


def _html(manual: Path) -> str:
    """A manual page as HTML, without empty lines: in Markdown they would end it."""
    command: list[str | Path] = ["mandoc", "-T", "html", "-O", "fragment", manual]
    made = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return re.sub(r"\n\s*\n", "\n", made)


def configuration(root: Path, source: Path, folder: Path) -> dict[str, object]:
    """That of mkdocs: no fonts, scripts or numbers from elsewhere."""
    manual = [{f"{path.stem}({path.suffix[1:]})": f"{path}.md"} for path in manuals(root)]
    reference = sorted(str(page) for page in pages(root) if page.parts[:2] == ("docs", "reference"))
    work = ["docs/accuracy.md", "docs/compatibility.md", "docs/flow.md"]
    return {
        "site_name": "dspamd",
        "docs_dir": str(source),
        "site_dir": str(folder),
        "strict": True,
        "theme": {"name": "mkdocs", "highlightjs": False},
        "plugins": ["search"],
        "validation": {"links": {"anchors": "warn", "unrecognized_links": "warn"}},
        "nav": [
            {"dspamd": "README.md"},
            {"Guide": [f"docs/{name}.md" for name in GUIDE]},
            {"Manual": manual},
            {"More": [*OTHERS, *work]},
            {"DSPAM 3.10.2": reference},
        ],
    }


def build(root: Path, folder: Path) -> None:
    """Make the site.  Raises `CalledProcessError` after mkdocs or mandoc said what is wrong."""
    with tempfile.TemporaryDirectory() as scratch:
        source, settings = Path(scratch, "source"), Path(scratch, "mkdocs.yml")
        lay_out(root, source)
        settings.write_text(yaml.safe_dump(configuration(root, source, folder), sort_keys=False))
        # Not -q: mkdocs would not count the warnings that end it.
        subprocess.run([sys.executable, "-m", "mkdocs", "build", "-f", settings], check=True)


if __name__ == "__main__":
    try:
        build(Path.cwd(), Path(sys.argv[1]).resolve())
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)
