"""Reads the lines of dspam.conf: keys and values, with the place they came from.

    Key value "value with blanks"   # comment

The first word of a line is its key, every further one a value; quotes hold
blanks together, nothing is escaped.  `Include` reads another file, all `*.conf`
of a directory in the order of their names, or the files that a pattern for names
(`/etc/dspam/*.inc`) matches, at the place where it stands.

DSPAM cut comments without a look at quotes, and at `;` only where a line had no
`#`.  Here both start a comment anywhere outside quotes; a line that reads
differently now is warned of, and a strict reading does as DSPAM did
(reference/config.md 2 and 6).

What keys and values mean is none of this module's business: that is `config`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from dspamd.errors import Problem

_WORD = re.compile(r'[ \t]*(?:"([^"]*)"?|([^ \t"#;][^ \t#;]*))')
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
    """Collects the directives of a file and of all it includes, and everything wrong with them."""

    def __init__(self, *, strict: bool = False) -> None:
        self.directives: list[Directive] = []
        self.errors: list[Problem] = []
        self.warnings: list[Problem] = []
        self._strict = strict
        self._open: list[Path] = []  # the files being read, outermost first

    def read(self, path: Path) -> None:
        """Read a file; one that cannot be read is among the errors."""
        try:
            text = path.read_text("utf-8", "surrogateescape")
        except OSError as error:
            self.errors.append(Problem(str(path), 0, f"cannot be read: {error.strerror}"))
            return
        self._open.append(path.resolve())
        self.parse(text, str(path))
        self._open.pop()

    def parse(self, text: str, file: str) -> None:
        """Read lines that came from `file`."""
        for number, line in enumerate(text.split("\n"), 1):
            line = line.removesuffix("\r")
            split = classic_words(line) if self._strict else words(line)
            if not self._strict and split != classic_words(line):
                self.warnings.append(Problem(file, number, "DSPAM 3.10.2 would have cut this line elsewhere"))
            if not split:
                continue
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
            if target.is_dir():
                found = sorted(path for path in target.glob("*.conf") if not path.name.startswith("."))
            elif target.exists():
                found = [target]
            else:
                found = sorted(target.parent.glob(target.name))
                if not found:
                    self.errors.append(directive.problem(f"Include: there is no {target}"))
            for path in found:
                if path.resolve() in self._open:
                    self.errors.append(directive.problem(f"Include: {path} includes itself"))
                else:
                    self.read(path)
