"""The few directives of dspam.conf that a thin client needs.

`dspamc` starts once per message and cannot wait for the option table, so this
module reads the file itself, with the grammar of `dspamd.config.directives` (tests
compare the two).  It imports nothing that slows the start: no `re`, no `pathlib`.
It checks only the values that it needs and warns of nothing: the daemon and
`dspamd --check-config` do that.
"""

# ruff: noqa: PTH110, PTH112, PTH118, PTH120, PTH123, PTH207, PTH208 (pathlib is slow to load)

from __future__ import annotations

import os

_DIRECTIVES = (
    "broken",
    "classaliasspam",
    "clienthost",
    "clientident",
    "clientport",
    "correctionfailureexit",
    "directorylayout",
    "home",
    "include",
    "onfilterfailure",
    "parsetoheaders",
    "storagedriver",
    "strictcompatibility",
    "trust",
    "trustedusersecurity",
)


_ON = ("on", "yes", "true", "1")
_OFF = ("off", "no", "false", "0")


class BadValue(ValueError):
    """A directive whose value cannot be used; the text names the file."""


class Settings:
    """The directives of a configuration file for a client, by name in any case.

    An included file that the caller may not read is skipped: it has the passwords of the daemon,
    which clients must not see.  Raises OSError if another file cannot be read, and `BadValue` as
    `flag` does.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._values: dict[str, list[str]] = {}
        self._open: list[str] = []  # the files being read, outermost first
        self._read(path, strict=False)
        if self.flag("StrictCompatibility"):
            self._values.clear()
            self._read(path, strict=True)

    def all(self, name: str) -> list[str]:
        return self._values.get(name.lower(), [])

    def text(self, name: str, default: str = "") -> str:
        return (self.all(name) or [default])[0]

    def flag(self, name: str, default: str = "off") -> bool:
        """A boolean, on if any line says so.  Raises `BadValue` for a value that is neither on nor off."""
        values = [value.lower() for value in self.all(name) or [default]]
        for value in values:
            if value not in _ON + _OFF:
                raise BadValue(f"{self.path}: {name} {value[:60]}: on or off is expected")
        return any(value in _ON for value in values)

    def number(self, name: str, default: int) -> int:
        """A number, hexadecimal with 0x.  Raises `BadValue` if it is none."""
        text = self.text(name, str(default))
        try:
            return int(text, 16 if "x" in text.lower() else 10)
        except ValueError:
            raise BadValue(f"{self.path}: {name} {text[:60]}: a number is expected") from None

    def matches(self, name: str, word: str) -> bool:
        return word.lower() in [value.lower() for value in self.all(name)]

    def _read(self, path: str, *, strict: bool) -> None:
        if path in self._open:
            return
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            lines = file.read().split("\n")
        self._open.append(path)
        for line in lines:
            # To split hundreds of IgnoreHeader lines would take time.
            if not line.lower().lstrip(' \t"').startswith(_DIRECTIVES):
                continue
            key, *values = split_line(line.removesuffix("\r"), strict=strict)
            if key.lower() == "include":
                for value in values:
                    self._include(os.path.join(os.path.dirname(path), value), strict=strict)
            else:
                self._values.setdefault(key.lower(), []).extend(values)
        self._open.pop()

    def _include(self, target: str, *, strict: bool) -> None:
        try:
            paths = self._included(target)
        except PermissionError:
            return
        for path in paths:
            try:
                self._read(path, strict=strict)
            except PermissionError:
                continue

    def _included(self, target: str) -> list[str]:
        """The files that an Include names: a file, those of a directory, those of a pattern."""
        if os.path.isdir(target):
            names = sorted(name for name in os.listdir(target) if name.endswith(".conf") and name[0] != ".")
            return [os.path.join(target, name) for name in names]
        if os.path.exists(target):
            return [target]
        from glob import glob

        return sorted(glob(target))


def split_line(line: str, *, strict: bool) -> list[str]:
    """The words of a line; `strict` cuts comments as DSPAM 3.10.2 did, without regard to quotes."""
    stops = " \t" if strict else " \t#;"
    if strict:
        line = line.split("#" if "#" in line else ";", 1)[0]
    found = []
    at = 0
    while at < len(line):
        if line[at] in " \t":
            at += 1
        elif line[at] in stops:
            break
        elif line[at] == '"':
            end = line.find('"', at + 1)
            end = len(line) if end < 0 else end
            found.append(line[at + 1 : end])
            at = end + 1
        else:
            start = at
            while at < len(line) and line[at] not in stops:
                at += 1
            found.append(line[start:at])
    return found


def config_path() -> str:
    """The path of dspam.conf, or that in DSPAM_CONF unless we run with borrowed privileges."""
    own = os.getuid() == os.geteuid() and os.getgid() == os.getegid()
    return (own and os.environ.get("DSPAM_CONF")) or "/etc/dspam/dspam.conf"
