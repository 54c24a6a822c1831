"""The configuration: dspam.conf as a frozen value.

`Config.load` reads a file against the option table (`options`).  It returns a valid
configuration, or raises `ConfigError` with all problems at once.  It only warns of what a
migrated file is likely to contain: unknown and retired directives, repeated ones, options
without effect.

Each option of the table is an attribute with its type: `config.DeliveryHost` is a `str`,
`config.MaxMessageSize` an `int`, `config.Trust` a tuple.  An absent option has its default; an
absent text is empty.  mypy finds names that are not in the table.  In the file the case of names
does not matter, and the first value of a repeated scalar counts.

Options of storage and processing may have a profile after a dot (`HashRecMax.big`): under that
profile they apply, under any other the plain ones do.

A configuration never changes.  Reloading builds a new one (reference/config.md).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dspamd.config.directives import Directive, Reader
from dspamd.config.option import Option, T
from dspamd.config.option_types import Tolerated
from dspamd.config.options import OPTIONS, RETIRED, Options
from dspamd.engine.scorers import scorer
from dspamd.errors import ConfigError, Problem, UsageError

DEFAULT_PATH = Path("/etc/dspam/dspam.conf")


@dataclass(frozen=True)
class Config(Options):
    """A checked configuration.  Values hold passwords, so they stay out of its repr."""

    file: str
    profile: str
    warnings: tuple[Problem, ...]
    _values: Mapping[str, tuple[str, ...]] = field(repr=False)  # by lower-case key, with its suffix
    _places: Mapping[str, tuple[str, int]] = field(repr=False)  # file and line, likewise

    @classmethod
    def load(cls, path: Path | None = None) -> Config:
        """Read a file, by default the one that DSPAM_CONF names, else /etc/dspam/dspam.conf.

        Raises `ConfigError` with every problem in it.
        """
        path = path or default_path()
        return _build(lambda reader: reader.read(path), str(path))

    @classmethod
    def from_text(cls, text: str, file: str = "dspam.conf") -> Config:
        """A configuration from the text of a file.  Raises `ConfigError`."""
        return _build(lambda reader: reader.parse(text, file), file)

    @classmethod
    def edited(cls, edit: Callable[[list[Directive]], list[Directive]], path: Path | None) -> Config:
        """The configuration of a file, or without one that of the defaults, after `edit` changed its lines.

        Raises `ConfigError`.
        """

        def read(reader: Reader) -> None:
            if path is None:
                reader.parse("Home /nonexistent", "defaults")
            else:
                reader.read(path)
            reader.directives = edit(reader.directives)

        return _build(read, str(path or "defaults"))

    def with_profile(self, name: str) -> Config:
        """The same under another storage profile.  Raises UsageError if the file does not declare it."""
        if name.lower() not in map(str.lower, self.Profile):
            raise UsageError(f"No such profile '{name}'")
        return replace(self, profile=name)

    def words(self, option: Option[Any]) -> tuple[str, ...]:
        """The words of an option in their canonical spelling, those of the profile first."""
        key = option.key
        if self.profile and option.suffix == "profile":
            return self._values.get(f"{key}.{self.profile.lower()}", self._values[key])
        return self._values[key]

    def value(self, option: Option[T]) -> T:
        """The value of an option that is not known by name here."""
        return option.read(self.words(option))

    def has(self, option: Option[Any]) -> bool:
        """Whether an option has a value, set or by default; `off` is a value."""
        return self.words(option) not in ((), ("",))

    def suffixes(self, option: Option[T]) -> dict[str, T]:
        """The values of an option under its suffixes, by suffix in lower case."""
        start = f"{option.key}."
        return {
            key[len(start) :]: option.read(words)
            for key, words in self._values.items()
            if key.startswith(start)
        }

    def given(self, option: Option[Any], suffix: str = "") -> bool:
        """Whether the file sets an option: under this suffix, or, without `suffix`, in any form."""
        return self._place(f"{option.key}.{suffix}" if suffix else option.key) is not None

    def problem(self, name: str, text: str) -> Problem:
        """A problem with an option, at the place where the file sets it, if it does."""
        return Problem(*(self._place(name) or (self.file, 0)), text)

    def _place(self, name: str) -> tuple[str, int] | None:
        """The first place that sets an option; a place without a suffix comes before others."""
        name = name.lower()
        keys = (key for key in self._places if key.partition(".")[0] == name)
        return self._places.get(name) or self._places.get(next(keys, ""))


def contains(values: Iterable[str], word: str) -> bool:
    """Whether a list of words contains a word, in any case."""
    return word.lower() in map(str.lower, values)


def default_path() -> Path:
    """The file to read: DSPAM_CONF may name it, unless we run with borrowed privileges."""
    borrowed = os.getuid() != os.geteuid() or os.getgid() != os.getegid()
    named = "" if borrowed else os.environ.get("DSPAM_CONF", "")
    return Path(named) if named else DEFAULT_PATH


def _build(read: Callable[[Reader], None], file: str) -> Config:
    reader = Reader()
    read(reader)
    if reader.errors and not reader.directives:  # no file
        raise ConfigError(reader.errors)
    draft = _Draft(reader)
    if draft.value("StrictCompatibility") == "on":  # it changes how its own file is read
        reader = Reader(strict=True)
        read(reader)
        draft = _Draft(reader)
    draft.complete(file)
    if draft.errors:
        raise ConfigError(draft.errors, draft.warnings)
    return Config(file, draft.value("DefaultProfile"), tuple(draft.warnings), draft.values, draft.places)


_SHOWN = 60  # characters
_NAMES = frozenset(option.name for option in OPTIONS.values())
_LONG_NAMES = tuple(sorted((name for name in _NAMES if len(name) > 7), key=len, reverse=True))
_NAMED_ALIKE = ("AllowOverride", "IgnoreHeader", "Preference")  # their values may be names of directives


def _shown(value: str) -> str:
    """A value as the file may have it."""
    return value if 0 < len(value) <= _SHOWN else f"{value[:_SHOWN]}..." if value else '""'


def _glued(directive: Directive, option: Option[Any]) -> str:
    """The directive that stands in this line and must begin a line of its own; empty if there is none."""
    if option.name in _NAMED_ALIKE:
        return ""
    for number, value in enumerate(directive.values):
        if value in (_LONG_NAMES if option.many else _NAMES) and number:
            return value
        if value.endswith(_LONG_NAMES):
            name = next(name for name in _LONG_NAMES if value.endswith(name))
            before = value[: -len(name)][-1:]
            if before and before not in "/._-@":  # else it is the name of a file, or part of a word
                return name
    return ""


class _Draft:
    """The values of directives for a Config, and all problems with them."""

    def __init__(self, reader: Reader) -> None:
        self.errors = list(reader.errors)
        self.warnings = list(reader.warnings)
        self.values: dict[str, tuple[str, ...]] = {}
        self.places: dict[str, tuple[str, int]] = {}
        self._named: set[str] = set()  # warnings that come only once
        for directive in reader.directives:
            self._take(directive)

    def value(self, name: str) -> str:
        return self.values.get(name.lower(), ("",))[0]

    def _take(self, directive: Directive) -> None:
        """Add the values of one line to those of its option."""
        option = self._option(directive)
        if option is None:
            return
        if other := _glued(directive, option):
            self.errors.append(directive.problem(f"{other} must begin a line of its own"))
            return
        known = self.values.get(directive.key.lower(), ())
        values = known + tuple(self._canonical(option, directive))
        if not option.many and len(set(values)) > 1:
            values = (min(values, key=option.kind.words.index) if option.kind.ranked else values[0],)
            counts = values[0] if option.kind.words else "the first value"  # which may be a password
            several = "is given several times" if known else "takes one value, blanks in it need quotes"
            self.warnings.append(directive.problem(f"{option.name} {several}; {counts} counts"))
        if not option.used and values != option.defaults:
            reason = f": {option.instead}" if option.instead else " yet"
            self._once(directive, f"{option.name} has no effect{reason}")
        if values:
            self.values[directive.key.lower()] = values
            self.places.setdefault(directive.key.lower(), (directive.file, directive.line))

    def _option(self, directive: Directive) -> Option[Any] | None:
        name, dot, suffix = directive.key.partition(".")
        option = OPTIONS.get(name.lower())
        if option is None:
            self._unknown(directive, name)
        elif dot and not (option.suffix and suffix):
            self.warnings.append(directive.problem(f"nothing can follow {option.name} after a dot; ignored"))
        elif not dot and not option.bare:
            self.warnings.append(
                directive.problem(f"{option.name} needs the name of a {option.suffix} after a dot; ignored")
            )
        else:
            return option
        return None

    def _unknown(self, directive: Directive, name: str) -> None:
        """Warn of a directive that is not in the table, and name the one that is probably meant."""
        if name.lower() in RETIRED:
            successor = RETIRED[name.lower()]
            self._once(directive, f"{name} is retired" + (f", use {successor}" if successor else ""))
            return
        from difflib import get_close_matches  # rarely needed, and costs every start of a command

        near = get_close_matches(name.lower(), OPTIONS, 1)
        hint = f", did you mean {OPTIONS[near[0]].name}?" if near else ""
        self.warnings.append(directive.problem(f"unknown directive {name}{hint}"))

    def _canonical(self, option: Option[Any], directive: Directive) -> Iterator[str]:
        for value in directive.values:
            try:
                yield option.kind.canonical(value)
            except Tolerated as trouble:
                self.warnings.append(directive.problem(f"{option.name} {_shown(value)}: {trouble}"))
                if trouble.value is not None:
                    yield trouble.value
            except ValueError as trouble:
                self.errors.append(directive.problem(f"{option.name} {_shown(value)}: {trouble}"))

    def _once(self, directive: Directive, text: str) -> None:
        if text not in self._named:
            self._named.add(text)
            self.warnings.append(directive.problem(text))

    def complete(self, file: str) -> None:
        """Add the defaults, and check what concerns several options."""
        if not self.value("Home"):
            self.errors.append(Problem(file, 0, "No DSPAM home specified: Home is required"))
        for key, option in OPTIONS.items():
            self.values.setdefault(key, option.defaults)
        self._check_profiles()
        self._check_algorithms()
        hosts = [key for key in self.values if key.partition(".")[0] == "deliveryhost"]
        if any(map(self.value, hosts)) and not self.value("DeliveryProto"):
            self._without_protocol(hosts)

    def _check_profiles(self) -> None:
        """Report options for a profile that does not exist: the plain ones would silently apply."""
        default = self.value("DefaultProfile")
        declared = {name.lower() for name in self.values["profile"]}
        served = {suffix for _, suffix in self._suffixed()}
        if default and default.lower() not in declared:
            told = self.warnings if default.lower() in served else self.errors
            place = self.places["defaultprofile"]
            told.append(Problem(*place, f"DefaultProfile {default} is not declared with Profile"))
        for key, suffix in self._suffixed():
            if suffix not in declared | {default.lower()}:
                name = OPTIONS[key.partition(".")[0]].name
                text = f"{name}.{suffix} has no effect: there is no Profile {suffix}"
                self.warnings.append(Problem(*self.places[key], text))

    def _check_algorithms(self) -> None:
        """Report algorithms that cannot be combined: nothing could score mail."""
        try:
            scorer(self.values["algorithm"])
        except ValueError as error:
            self.errors.append(Problem(*self.places["algorithm"], f"Algorithm: {error}"))

    def _suffixed(self) -> Iterator[tuple[str, str]]:
        """The keys with the name of a profile after a dot, and that name."""
        for key in self.values:
            name, dot, suffix = key.partition(".")
            if dot and OPTIONS[name].suffix == "profile":
                yield key, suffix

    def _without_protocol(self, hosts: list[str]) -> None:
        """Guess or require the protocol.  DSPAM ignored such a DeliveryHost, and used the agent."""
        place = next(self.places[key] for key in hosts if key in self.places)
        port = int(self.value("DeliveryPort"))
        if self.value("StrictCompatibility") == "on":
            for key in hosts:
                del self.values[key]
            self.values["deliveryhost"] = ("",)
            self.warnings.append(Problem(*place, "DeliveryHost without DeliveryProto is ignored"))
        elif port == 25 or port >= 10025:
            self.values["deliveryproto"] = ("SMTP",)
            self.warnings.append(Problem(*place, "DeliveryHost without DeliveryProto: SMTP is assumed"))
        else:
            self.errors.append(Problem(*place, "DeliveryHost needs DeliveryProto, SMTP or LMTP"))
