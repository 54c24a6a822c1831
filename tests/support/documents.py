"""The pages of docs/ for people who run a site, as blocks of commands and of files.

The word after the fence says what a block is:

`sh`        commands for an account that may act for users; a test runs them
`root`      commands that need root, and the machine's own services; a test reads each of them
`conf`      lines of dspam.conf
`group`     the file of groups
`master.cf`, `main.cf`    lines of Postfix
`courierd`  lines of the file of that name of Courier
`qmail`     lines of `.qmail` files
`exim`      lines of files of Exim
`pgsql`, `mariadb`        statements for the administrator of that server
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = (
    "getting-started",
    "container",
    "integrations",
    "postfix",
    "dovecot",
    "maildrop",
    "qmail",
    "qpsmtpd",
    "spamassassin",
    "rspamd",
    "exim",
    "opensmtpd",
    "stores",
    "postgresql",
    "mariadb",
    "from-dspam",
    "tuning",
    "users-and-groups",
    "operating",
    "security",
    "many-hosts",
)
_BLOCK = re.compile(r"^```(?P<kind>[^\n]*)\n(?P<text>.*?)^```$", re.M | re.S)
_NAME = re.compile(r'^(?:Preference "\w+=|\S+ )', re.M)
"""What of a line of dspam.conf says which lines it replaces."""


class Block(NamedTuple):
    """What stands between two fences; `place` is the page and the line of its first line."""

    kind: str
    text: str
    place: str


def text_of(page: str) -> str:
    return (ROOT / f"docs/{page}.md").read_text()


def blocks(page: str, *kinds: str) -> list[Block]:
    """The blocks of a page in their order; with `kinds`, those alone."""
    text = text_of(page)
    found = [
        Block(
            match["kind"], match["text"], f"docs/{page}.md:{text.count(chr(10), 0, match.start('text')) + 1}"
        )
        for match in _BLOCK.finditer(text)
    ]
    return [block for block in found if not kinds or block.kind in kinds]


def shared_files(page: str) -> set[str]:
    """The files of the package that a page names."""
    return set(re.findall(r"/usr/share/dspamd/[\w./-]+\w", text_of(page)))


def commands(text: str) -> list[list[str]]:
    """The commands of a shell script without control structures, as words.  `&&` separates commands, too."""
    lines = text.replace("\\\n", " ").splitlines()
    return [shlex.split(part, comments=True) for line in lines for part in line.split(" && ") if part.strip()]


def with_lines(configuration: str, lines: str) -> str:
    """A dspam.conf with some lines in place of those of the same name."""
    for name in _NAME.findall(lines):
        configuration = re.sub(rf"^{re.escape(name)}.*\n", "", configuration, flags=re.M)
    return lines + configuration
