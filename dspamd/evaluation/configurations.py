"""The configurations that a measurement compares, and how a command line names them.

    /etc/dspam/new.conf                        a file
    osb:Tokenizer=osb,TrainingMode=toe         the common base, with these lines in place of its own

The base is a dspam.conf, or the defaults of all directives.  A line that stands in place of others
also overrules the preferences that would decide in its stead: `TrainingMode=toe` drops
`Preference "trainingMode=TEFT"`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from dspamd.config.config import Config
from dspamd.config.directives import Directive, words
from dspamd.config.options import SECTIONS
from dspamd.engine.scorers import scorer
from dspamd.errors import ConfigError, Problem, UsageError
from dspamd.file_errors import explained
from dspamd.filter.seed import seed_in

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,39}")
_PREFERENCE = "preference"
_DECIDING = ("Training and classification", "Preferences", "Headers that are not tokens")
_OVERRULED = {
    "trainingmode": ("trainingmode",),
    "feature": ("enablebnr", "enablewhitelist", "statisticalsedation"),
    "processorbias": ("processorbias",),
    "trainpristine": ("trainpristine",),
}
"""The preferences that decide instead of a directive, by its name (users/preferences.py)."""


class Configuration(NamedTuple):
    """A configuration under the name that tables show."""

    name: str
    config: Config

    @property
    def settings(self) -> dict[str, str]:
        """The options that are not at their defaults, of those that verdicts depend on.

        No password is among them.
        """
        options = [option for title in _DECIDING for option in SECTIONS[title]]
        options += [
            Config.MaxMessageSize,
            Config.StrictCompatibility,
            Config.StorageDriver,
            Config.GroupConfig,
        ]
        return {
            option.name: " ".join(value)
            for option in options
            if (value := self.config.words(option)) != option.defaults
        }

    @property
    def _has_seed(self) -> bool:
        return bool(self.config.SeedModel) and scorer(self.config.Algorithm).block is not None

    @property
    def fingerprint(self) -> str:
        """The same for the same settings and the same seed.  Raises OSError if that cannot be read."""
        seed = Path(self.config.SeedModel).read_bytes() if self._has_seed else b""
        content = repr((sorted(self.settings.items()), seed)).encode()
        return hashlib.blake2b(content, digest_size=8).hexdigest()


def configurations(named: Sequence[str], base: Path | None) -> list[Configuration]:
    """The configurations that these words name; the base alone if there are none.

    Raises UsageError for a name that comes twice, `ConfigError` for a configuration that cannot be used.
    """
    if not named:
        return [_checked("defaults" if base is None else base.name, Config.edited(_unchanged, base))]
    found = [_configuration(word, base) for word in named]
    names = [each.name for each in found]
    if twice := [name for name in names if names.count(name) > 1]:
        raise UsageError(f"two configurations are called '{twice[0]}'")
    return found


def _configuration(word: str, base: Path | None) -> Configuration:
    name, colon, settings = word.partition(":")
    if not colon or not _NAME.fullmatch(name):
        path = Path(word)
        return _checked(path.name, Config.edited(_unchanged, path))
    lines = [_line(word, setting) for setting in filter(None, settings.split(","))]
    config = Config.edited(lambda directives: _replaced(directives, lines), base)
    # What only deserves a warning in an old file is a mistake on a command line.
    if mistakes := [problem for problem in config.warnings if problem.file == word]:
        raise ConfigError(mistakes)
    return _checked(name, config)


def _checked(name: str, config: Config) -> Configuration:
    """Raises `ConfigError` for a seed that cannot be used."""
    chosen = scorer(config.Algorithm)
    try:
        if config.SeedModel and chosen.block is not None:
            seed_in(Path(config.SeedModel), chosen)  # a daemon goes on without; figures would be wrong
    except (OSError, ValueError) as error:
        raise ConfigError([Problem(config.file, 0, f"{name}: {explained(error)}")]) from error
    return Configuration(name, config)


def _unchanged(directives: list[Directive]) -> list[Directive]:
    return directives


def _line(word: str, setting: str) -> Directive:
    """The line of dspam.conf that `Directive=value` stands for."""
    key, equals, value = setting.partition("=")
    values = tuple(words(value))
    if not equals or not key.strip() or not values:
        raise UsageError(f"'{word}': Directive=value is expected, not '{setting}'")
    return Directive(key.strip(), values, word, 0)


def _replaced(directives: Iterable[Directive], lines: Sequence[Directive]) -> list[Directive]:
    """The lines of a file, with others in place of those that say the same."""
    keys = {line.key.lower() for line in lines} - {_PREFERENCE}
    preferences = {
        _preferred(value) for line in lines if line.key.lower() == _PREFERENCE for value in line.values
    }
    overruled = preferences.union(*(_OVERRULED.get(key, ()) for key in keys))
    kept = []
    for directive in directives:
        if directive.key.lower() in keys:
            continue
        if directive.key.lower() == _PREFERENCE:
            left = tuple(value for value in directive.values if _preferred(value) not in overruled)
            directive = directive._replace(values=left)
        kept.append(directive)
    return [directive for directive in kept if directive.values] + list(lines)


def _preferred(line: str) -> str:
    """The name of a preference in `name=value`."""
    return line.partition("=")[0].strip().lower()
