"""The reader of dspam.conf: keys and values, with the file and line of each.

    Key value "value with blanks"   # comment

The first word of a line is its key, each further word a value; a word in quotes may
have blanks, and there are no escapes.  `Include` reads, at its place, another file, all
`*.conf` of a directory in the order of their names, or the files that match a pattern
for names (`/etc/dspam/*.inc`).

DSPAM cut comments without regard to quotes, and at `;` only if the line had no `#`.
Here both start a comment anywhere outside quotes.  The reader warns of a line that
DSPAM read differently; a strict reading does as DSPAM did (reference/config.md 2 and 6).

Files that include each other, that never end, or that cannot be read are errors, at the
line that names them.

The module `config` knows the meaning of keys and values.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import NamedTuple

from dspamd.errors import Problem
from dspamd.file_errors import explained

_WORD = re.compile(r'[ \t]*(?:"([^"]*)"?|([^ \t"#;][^ \t#;]*))')
_QUOTED = re.compile('"[^"]*"?')
_CURLY = re.compile("[\u201c-\u201f\u2018-\u201b\u00ab\u00bb\u2039\u203a\u2033]")  # quotes of typographers
_FILE_BYTES = 4 << 20
_DEPTH = 20  # of files that include files
_FILES = 1000
_CLASSIC_WORD = re.compile(r'[ \t]*(?:"([^"]*)"?|([^ \t"][^ \t]*))')


class Directive(NamedTuple):
    """One line with a key and at least one value."""

    key: str
    values: tuple[str, ...]
    file: str
    line: int

    def problem(self, text: str) -> Problem:
        return Problem(self.file, self.line, text)


def words(line: str) -> list[str]:
    """The words of a line; the rest from a `#` or `;` outside quotes is a comment."""
    return _split(_WORD, line)


def classic_words(line: str) -> list[str]:
    """The words of a line as DSPAM 3.10.2 split it (config.md 2, rules 3 and 4)."""
    return _split(_CLASSIC_WORD, line.split("#", 1)[0] if "#" in line else line.split(";", 1)[0])


def _split(word: re.Pattern[str], line: str) -> list[str]:
    found = []
    at = 0
    while match := word.match(line, at):
        found.append(match[1] if match[2] is None else match[2])
        at = match.end()
    return found


class Reader:
    """Collects the directives of a file and of all files that it includes, and all problems in them."""

    def __init__(self, *, strict: bool = False) -> None:
        self.directives: list[Directive] = []
        self.errors: list[Problem] = []
        self.warnings: list[Problem] = []
        self._strict = strict
        self._open: list[Path] = []  # the files being read, outermost first
        self._files = 0
        self._enough = False

    def read(self, path: Path, included: Directive | None = None) -> None:
        """Read a file, which a directive may have `included`; an unreadable file becomes an error."""
        try:
            if included is not None and not path.is_file():
                raise ValueError("it is not a file")
            with path.open("rb") as file:
                content = file.read(_FILE_BYTES + 1)
            if len(content) > _FILE_BYTES:
                raise ValueError(f"it has more than {_FILE_BYTES >> 20} MiB")
            real = path.resolve()
            if included is not None and real in self._open:
                raise ValueError("it includes itself")
        except (OSError, ValueError) as error:
            self._unreadable(path, error, included)
            return
        self._files += 1
        self._open.append(real)
        self.parse(content.decode("utf-8", "surrogateescape"), str(path))
        self._open.pop()

    def _unreadable(self, path: Path, error: Exception, included: Directive | None) -> None:
        if isinstance(error, OSError):
            text = f"cannot be read: {explained(error).removeprefix(f'{path}: ')}"
        else:
            text = f"cannot be read: {error}"
        if included is None:
            self.errors.append(Problem(str(path), 0, text))
        else:
            self.errors.append(included.problem(f"Include: {path} {text}"))

    def parse(self, text: str, file: str) -> None:
        """Read lines that came from `file`."""
        for number, line in enumerate(text.split("\n"), 1):
            line = line.removesuffix("\r")
            if "\0" in line:
                self.errors.append(Problem(file, number, "this line has a NUL byte"))
                continue
            split = classic_words(line) if self._strict else words(line)
            if not self._strict and split != classic_words(line):
                self.warnings.append(Problem(file, number, "DSPAM 3.10.2 read this line differently"))
            if not split:
                continue
            if not line.isascii() and _CURLY.search(_bare(line)):
                text = 'typographic quotes are part of the value; only " is a quote'
                self.warnings.append(Problem(file, number, text))
            directive = Directive(split[0], tuple(split[1:]), file, number)
            if not directive.values:
                self.warnings.append(directive.problem(f"{directive.key} has no value and is ignored"))
            elif directive.key.lower() == "include":
                self._include(directive)
            else:
                self.directives.append(directive)

    def _include(self, directive: Directive) -> None:
        for value in directive.values:
            target = Path(directive.file).parent / value
            try:
                found = _included(target)
            except (OSError, ValueError) as error:
                self._unreadable(target, error, directive)
                continue
            if not found and not target.is_dir():
                self.errors.append(directive.problem(f"Include: there is no {target}"))
            for path in found:
                if self._enough:
                    return
                if len(self._open) >= _DEPTH or self._files >= _FILES:
                    self._enough = True
                    self.errors.append(directive.problem(f"Include: {path} is one file too many"))
                    return
                self.read(path, directive)


def _included(target: Path) -> list[Path]:
    """The files that an Include names.  Raises OSError for a folder that we may not read."""
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        os.scandir(target.parent).close()  # raises, where glob would find nothing
        return sorted(target.parent.glob(target.name))
    if not stat.S_ISDIR(mode):
        return [target]
    os.scandir(target).close()
    return sorted(path for path in target.glob("*.conf") if not path.name.startswith("."))


def _bare(line: str) -> str:
    """The part of a line outside quotes and comments."""
    return re.split("[#;]", _QUOTED.sub('""', line), maxsplit=1)[0]
